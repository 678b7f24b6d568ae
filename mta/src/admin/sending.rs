//! What is handed in to be sent, and what is answered.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::compose::Letter;

/// A request to send.
#[derive(Debug, Clone, PartialEq)]
pub struct SendOrder {
    /// What.
    pub letter: Letter,
    /// The account that the caller sends as.
    pub account: Option<String>,
    /// Where it came from.
    pub client: Option<IpAddr>,
    /// The request's own name.
    pub key: Option<String>,
    /// SHA-256 of its body: what is sent again under one name must be the same.
    pub digest: [u8; 32],
}

/// What was accepted: it is on disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Sent {
    /// Tambo's ids. One for all recipients; with substitutions one for each, in the order of `to`, where an address
    /// that stands there twice counts once.
    pub ids: Vec<String>,
    /// Recipients.
    pub recipients: usize,
    /// Addresses that stood there more than once, and get it once.
    pub duplicates: usize,
    /// When it is sent (RFC 3339); nothing: now.
    pub send_at: Option<String>,
    /// Variables of templates that not everybody has a value for: they render empty.
    pub undefined: Vec<UndefinedVariable>,
    /// What looks like a mistake, in sentences.
    pub warnings: Vec<String>,
    /// This request was answered before, and nothing was sent again.
    #[serde(default)]
    pub replayed: bool,
}

/// A variable that some recipients have no value for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UndefinedVariable {
    /// Its name.
    pub variable: String,
    /// How many recipients have none.
    pub recipients: usize,
    /// The first of them.
    pub first: String,
}
