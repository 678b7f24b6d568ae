//! What came of it, told: events, notices to senders (RFC 3464), the event files, the trace.

mod classify;
mod dsn;
mod event;
mod files;
mod filter;
mod follow;
mod horizon;
mod messages;
mod search;
mod sink;
pub mod tally;
mod told;
mod trace;
pub mod webhook;
mod words;

pub use classify::{verdict, verdict_of_attempt, verdicts};
pub use dsn::{Notice, notice, returned};
pub use event::{Context, events};
pub use files::{EventFiles, Limits as FileLimits};
pub use filter::{Field, Filter};
pub use follow::events_after;
pub use horizon::Horizon;
pub use messages::{FoundMessage, search_messages};
pub use search::{Found, Search, search};
pub use sink::JsonlSink;
pub use told::{Told, What};
pub use trace::{Question, trace};
