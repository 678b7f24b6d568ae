//! What is handed in, as it is written: names and kinds of the fields, nothing of what they mean.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// A message that is to be sent: `raw`, or parts that become one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Letter {
    /// Who sends it: stands in From, and failures are told to it.
    pub from: Party,
    /// Who gets it. When one of them has `substitutions`, even `{}`, each gets a message of its own, and subject,
    /// text, html and the values of headers are templates: `{{ name }}`, `{% if … %}`, `{% for … %}`.
    pub to: Vec<To>,
    /// Who gets it too, and is seen by all. Not together with substitutions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cc: Vec<Party>,
    /// Where answers go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<Party>,
    /// What it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// It as plain text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// It as HTML; values of variables are escaped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub html: Option<String>,
    /// More header fields, as `List-Unsubscribe`; not those that the other parts make.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
    /// The whole message (RFC 5322) instead of parts; `from` and `to` are its envelope.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw: Option<String>,
    /// Opaque words that travel into events: at most 8 of 64 of A-Z a-z 0-9 . _ -
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Pool to send from; nothing: that of the account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// Its turn, from -9 to 9; above 0 only for accounts with `allow_headers`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<i8>,
    /// When it is to be sent (RFC 3339), to the second; nothing, or a time that is over: now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send_at: Option<String>,
    /// A name for this request: sent again within 24 hours with the same content, it is answered as the first
    /// time and nothing is sent twice. The header `Idempotency-Key` is the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
}

/// Somebody: `ana@example.pe`, `Ana <ana@example.pe>`, or both apart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged, expecting = "an address as text, or {\"address\": …, \"name\": …}")]
pub enum Party {
    /// In one text.
    Text(String),
    /// Apart.
    Apart(NamedParty),
}

/// Address and name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NamedParty {
    /// `ana@example.pe`
    pub address: String,
    /// Shown beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A recipient.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(
    untagged,
    expecting = "an address as text, or {\"address\": …, \"name\": …, \"substitutions\": {…}}"
)]
pub enum To {
    /// In one text.
    Text(String),
    /// With more that is known of it.
    Known(KnownRecipient),
}

/// A recipient with what templates may say of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KnownRecipient {
    /// `ana@example.pe`
    pub address: String,
    /// Shown beside it; in templates `name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Values of variables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub substitutions: Option<Map<String, Value>>,
}

/// A file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Attachment {
    /// Its name.
    pub name: String,
    /// Its octets in base64.
    pub content: String,
    /// As `application/pdf`; nothing: `application/octet-stream`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// Its name for the HTML, which shows it by `cid:…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cid: Option<String>,
}

/// Something that is wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Mistake {
    /// Where it stands in the request (RFC 6901), as in `/to/3/address`.
    pub pointer: String,
    /// What is wrong, and the mend.
    pub detail: String,
}

impl Letter {
    /// The address in `from`, not checked, without control characters and bounded.
    pub fn from_text(&self) -> String {
        self.from.split().0.chars().filter(|c| !c.is_control()).take(320).collect()
    }
}

impl Party {
    /// Address and name, not checked.
    pub(super) fn split(&self) -> (&str, Option<&str>) {
        match self {
            Self::Text(text) => split(text),
            Self::Apart(apart) => (apart.address.trim(), apart.name.as_deref()),
        }
    }
}

impl To {
    /// Address and name, not checked.
    pub(super) fn split(&self) -> (&str, Option<&str>) {
        match self {
            Self::Text(text) => split(text),
            Self::Known(known) => (known.address.trim(), known.name.as_deref()),
        }
    }

    pub(super) fn substitutions(&self) -> Option<&Map<String, Value>> {
        match self {
            Self::Text(_) => None,
            Self::Known(known) => known.substitutions.as_ref(),
        }
    }
}

/// `Ana <ana@x.pe>`, `"Ana" <ana@x.pe>` or `ana@x.pe`
fn split(text: &str) -> (&str, Option<&str>) {
    let text = text.trim();
    let Some(inside) = text.strip_suffix('>') else { return (text, None) };
    let Some((name, address)) = inside.rsplit_once('<') else { return (text, None) };
    let name = name.trim();
    let name = name.strip_prefix('"').and_then(|it| it.strip_suffix('"')).unwrap_or(name);
    (address.trim(), Some(name).filter(|name| !name.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_stands_alone_or_behind_a_name() {
        for (text, address, name) in [
            ("ana@x.pe", "ana@x.pe", None),
            (" <ana@x.pe>", "ana@x.pe", None),
            ("Ana Ríos <ana@x.pe>", "ana@x.pe", Some("Ana Ríos")),
            ("\"Ríos, Ana\" < ana@x.pe >", "ana@x.pe", Some("Ríos, Ana")),
            ("ana@x.pe>", "ana@x.pe>", None),
        ] {
            assert_eq!(Party::Text(text.to_owned()).split(), (address, name), "{text}");
        }
    }
}
