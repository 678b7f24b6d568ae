//! Which delivery goes next, from which source, over which connection. Pure.
//!
//! Everything is per site: no list of all queues is ever walked. A site holds what is ready for it, line by
//! line (a pool's mail for one set of hosts), and the connections that are open to it.
//! [`Egress::balance`] says which connections to wake or to open; a connection that has finished a message
//! pulls the next; what came of it is heard ([`Egress::heard`]) and changes what may go next.

mod awake;
mod blame;
pub mod blocklist;
mod books;
mod budget;
mod calendar;
mod capacity;
mod connection;
mod counted;
mod decision;
#[cfg(test)]
mod examples;
mod figures;
pub mod forecast;
mod gate;
mod halts;
mod health;
mod hosts;
mod item;
mod learned;
mod levers;
mod limits;
mod line;
mod mailing;
mod memory;
mod netblock;
mod open;
mod order;
mod path;
mod paths;
mod pull;
mod push;
mod room;
mod rotation;
mod site;
mod sources;
mod swap;
mod swap_by_hand;
#[cfg(test)]
mod tests;
mod turns;
pub mod vetting;
mod view;
pub mod warm_up;

pub use blame::{Heard, Said};
pub use books::{Egress, Settings};
pub use capacity::{DayOfPool, day_of_pools};
pub use connection::{Action, ConnectionId, Pull};
pub use decision::{Decision, DecisionKind};
pub use figures::{AtProvider, Figures, HEALTH, OfSource};
pub use gate::Reason;
pub use halts::{Halt, Halted};
pub use health::{Health, Why};
pub use item::Item;
pub use levers::{BY_HAND, PathLever};
pub use limits::Limits;
pub use mailing::{Mailing, OTHER, Share};
pub use memory::{Kept, Saving};
pub use paths::{PathState, Warming};
pub use push::{Refused, Waits, WaitsFor};
pub use site::{Destination, SiteKind};
pub use sources::{Listed, Sources, Standing};
pub use swap::{SourceLever, Wanted};
pub use swap_by_hand::{Coming, Leaving};
pub use turns::LaneKey;
pub use view::{Obstacle, PathView, SiteView};
