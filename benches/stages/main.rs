//! What one message costs in each stage, without sockets: `cargo bench`, read by `benches/README.md`.
//!
//! Each figure is of work that a message really causes: the session reads a whole dialog, the commit is synced
//! to a real disk, egress decides among 18 sources with 10,000 sites in its books.

#![expect(clippy::unwrap_used, reason = "a bench whose world cannot be built ends")]

mod egress;
mod events;
mod outgoing;
mod session;
mod spool;

use criterion::{criterion_group, criterion_main};

/// A configuration with these lines after what every one needs.
pub fn config(more: &str) -> relay_config::Config {
    let text = format!(
        "[server]\nhostname = \"relay.example\"\n[[listener]]\nname = \"relay\"\nbind = [\"127.0.0.1:0\"]\n\
         tls = \"off\"\nrelay_from = [\"127.0.0.0/8\"]\n{more}"
    );
    match relay_config::load(&text, "bench") {
        Ok(loaded) => loaded.config,
        Err(problems) => panic!("{problems:#?}\n{text}"),
    }
}

criterion_group!(
    stages,
    session::one_message,
    spool::commit,
    spool::queue,
    events::made,
    events::beside_messages,
    egress::decision,
    outgoing::classify,
    outgoing::sign
);
criterion_main!(stages);
