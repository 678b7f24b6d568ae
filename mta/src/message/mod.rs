//! The vocabulary: what every stage of mail talks about. No I/O, no clock.

mod address;
mod delivery;
mod event;
#[cfg(test)]
pub(crate) mod examples;
mod failure;
mod id;
#[expect(clippy::module_inception, reason = "the noun of the file is the noun of the folder")]
mod message;
mod notification;
mod reply;
mod submission;
mod time;

pub use address::{Address, AddressError, Domain, ReversePath};
pub use delivery::{
    Attempt, Delivery, DeliveryId, Hold, Lane, Personal, Priority, Recipient, RecipientParameters,
    RecipientState,
};
pub use event::{Event, EventKind};
pub use failure::{Failure, Fault, Outcome, Retry, Scope};
pub use id::{Id, IdGenerator, ParseIdError};
pub use message::{BodyType, Message};
pub use notification::{Notify, OriginalRecipient, ReturnContent, encode_xtext, parse_envelope_id};
pub use reply::{EnhancedCode, Reply};
pub use submission::{Submission, SubmittedBody};
pub use time::Timestamp;
