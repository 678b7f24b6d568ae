//! What came of it, told: events, notices to senders (RFC 3464), the event files, the trace.

mod classify;
mod dsn;
mod event;
mod sink;
mod trace;

pub use classify::category;
pub use dsn::{Failed, notice, original_headers};
pub use event::{Context, events};
pub use sink::JsonlSink;
pub use trace::{Question, trace};
