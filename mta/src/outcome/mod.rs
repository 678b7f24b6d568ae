//! What came of it, told: events, notices to senders (RFC 3464), the event files, the trace.

mod classify;
mod dsn;
mod event;
mod sink;
mod told;
mod trace;
mod words;

pub use classify::{verdict, verdicts};
pub use dsn::{Notice, notice, returned};
pub use event::{Context, events};
pub use sink::JsonlSink;
pub use told::{Told, What};
pub use trace::{Question, trace};
