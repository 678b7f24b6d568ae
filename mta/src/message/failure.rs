//! What came of an attempt, and for a failure: what it is about, whose fault, what next.
//!
//! The idea of scopes is Postfix's (one file decides for all failures), fault and retry
//! are said apart so that no caller has to guess them from a code. `smtp_out/trouble.rs`
//! makes them, `dispatch` reads scope and retry, `outcome` classifies the reply.

use std::time::Duration;

use relay_config::responses::Phase;
use serde::{Deserialize, Serialize};

use super::Reply;

/// How far a failure reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    /// This recipient alone.
    Recipient,
    /// This message to this destination: all its recipients in the transaction.
    Message,
    /// This connection: what it had not finished goes elsewhere.
    Session,
    /// This source at this site: another source may be heard.
    Path,
    /// The site: no source will be heard.
    Site,
}

/// Who or what is to blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fault {
    /// The peer said no or misbehaved.
    Peer,
    /// A rule of ours or of the operator.
    Policy,
    /// This machine: no memory, no address, no file.
    Local,
    /// Names.
    Dns,
    /// The handshake or a certificate.
    Tls,
}

/// What may be done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Retry {
    /// At once, at the next host of the destination.
    NextHost,
    /// Later; the peer may have said when.
    Later(Option<Duration>),
    /// Not at all.
    Never,
}

/// Something did not go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{cause}")]
pub struct Failure {
    /// How far it reaches.
    pub scope: Scope,
    /// Whose fault.
    pub fault: Fault,
    /// What next.
    pub retry: Retry,
    /// What the peer said, or what we say in its place (RFC 3463 codes of our own).
    pub reply: Reply,
    /// When the peer said it; `None`: the reply is ours.
    pub phase: Option<Phase>,
    /// A sentence for people: what happened, at which step.
    pub cause: String,
}

/// What came of an attempt for one recipient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The peer took responsibility, with this final reply.
    Delivered(Reply),
    /// It did not.
    Failed(Failure),
}
