//! What the driver is told to do next; the words of both parts of a conversation.

use bytes::Bytes;

/// What is done next.
#[derive(Debug)]
pub enum Move {
    /// Wait for a reply.
    Read,
    /// Send these octets, then wait for a reply.
    Send(Vec<Bytes>),
    /// Do the TLS handshake, then [`super::opening::Opening::tls_started`].
    StartTls,
    /// It is done.
    Done,
}

/// For the tests of both parts.
#[cfg(test)]
pub mod testing {
    use super::Move;
    use crate::message::{Failure, Reply};

    pub(in super::super) fn reply(text: &str) -> Reply {
        let lines: Vec<&str> = text.split('|').collect();
        let code = lines[0][..3].parse().unwrap();
        Reply::from_lines(code, lines.iter().map(|line| line.get(4..).unwrap_or("")))
    }

    pub(in super::super) fn sent(step: Result<Move, Failure>) -> String {
        match step.unwrap() {
            Move::Send(pieces) => String::from_utf8(pieces.concat()).unwrap(),
            other => format!("{other:?}"),
        }
    }
}
