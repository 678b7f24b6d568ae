//! The vocabulary: what every stage of mail talks about. No I/O, no clock.

mod address;
mod delivery;
mod event;
mod failure;
mod id;
#[expect(clippy::module_inception, reason = "the noun of the file is the noun of the folder")]
mod message;
mod reply;
mod submission;
mod time;

pub use address::{Address, AddressError, Domain, ReversePath};
pub use delivery::{
    Attempt, Delivery, DeliveryId, Hold, Lane, Priority, Recipient, RecipientState,
};
pub use event::{Event, EventKind};
pub use failure::{Failure, Fault, Outcome, Retry, Scope};
pub use id::{Id, IdGenerator, ParseIdError};
pub use message::{BodyType, Message};
pub use reply::{EnhancedCode, Reply};
pub use submission::{Submission, SubmittedBody};
pub use time::Timestamp;
