//! Which delivery goes next, from which source, over which connection. Pure.
//!
//! Everything is per site: no list of all queues is ever walked. A site holds what is ready
//! for it, lane by lane, and the connections that are open to it. [`Egress::balance`] says which
//! connections to wake or to open; a connection that has finished a message pulls the next.

mod connection;
mod limits;
mod room;
mod site;
mod sites;
mod sources;
mod turns;
mod view;

pub use connection::{Action, ConnectionId, Pull};
pub use limits::Limits;
pub use sites::{Egress, Refused, SiteKind};
pub use sources::Sources;
pub use turns::LaneKey;
pub use view::{Obstacle, PathView, SiteView};
