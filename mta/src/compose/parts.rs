//! The parts of a message after they were checked, and how they are stored as a template.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::message::{Address, Timestamp};

/// The version of what is stored: its first octet.
const VERSION: u8 = 1;

/// What a message is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parts {
    /// From.
    pub from: Mailbox,
    /// To; of a template, nobody: each recipient stands in its own.
    pub to: Vec<Mailbox>,
    /// Cc.
    pub cc: Vec<Mailbox>,
    /// Reply-To.
    pub reply_to: Option<Mailbox>,
    /// Date.
    pub date: Timestamp,
    /// Subject.
    pub subject: Option<String>,
    /// It as plain text.
    pub text: Option<String>,
    /// It as HTML.
    pub html: Option<String>,
    /// More header fields.
    pub headers: Vec<(String, String)>,
    /// Files.
    pub files: Vec<File>,
}

/// Somebody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mailbox {
    /// Address.
    pub address: Address,
    /// Shown beside it.
    pub name: Option<String>,
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Its name.
    pub name: String,
    /// As `application/pdf`.
    pub content_type: String,
    /// Its name for the HTML.
    pub cid: Option<String>,
    /// Its octets.
    pub content: Bytes,
}

impl Parts {
    /// As stored.
    pub fn to_bytes(&self) -> Bytes {
        match postcard::to_extend(self, vec![VERSION]) {
            Ok(bytes) => bytes.into(),
            // Writing to a Vec cannot run out of room and our types have no maps of unknown length.
            Err(error) => unreachable!("parts that cannot be encoded: {error}"),
        }
    }

    /// As read; an error says what is wrong with it.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        match bytes.split_first() {
            Some((&VERSION, rest)) => postcard::from_bytes(rest).map_err(|error| error.to_string()),
            Some((version, _)) => Err(format!(
                "version {version} of a template; this program knows up to version {VERSION}"
            )),
            None => Err("an empty template".to_owned()),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// From `ana@x.pe`, one line of text.
    pub fn parts() -> Parts {
        Parts {
            from: Mailbox { address: Address::parse("ana@x.pe").unwrap(), name: None },
            to: vec![],
            cc: vec![],
            reply_to: None,
            date: Timestamp::from_millis(1_795_525_500_123),
            subject: Some("Acto".to_owned()),
            text: Some("hola".to_owned()),
            html: None,
            headers: vec![],
            files: vec![],
        }
    }

    #[test]
    fn what_is_stored_is_read_and_what_is_not_ours_is_refused() {
        let parts = parts();
        assert_eq!(Parts::from_bytes(&parts.to_bytes()), Ok(parts));
        assert!(Parts::from_bytes(&[2, 0]).unwrap_err().contains("version 2"));
        assert!(Parts::from_bytes(&[]).is_err() && Parts::from_bytes(&[1, 9]).is_err());
    }
}
