//! What happened: one line of the story of a message, or of the relay.
//!
//! An event is written in the same batch as the change that it explains (design, invariant
//! 2). Its JSON form is a contract (design, section 7): fields are added, never renamed.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{Id, Message};

/// One JSON object of `events/*.jsonl` and of `tambo trace --json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Event {
    /// Its own id; sorts by time.
    #[schema(value_type = String)]
    pub id: Id,
    /// RFC 3339, UTC.
    pub time: String,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: EventKind,
    /// Tambo's id of the message.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<String>)]
    pub message: Option<Id>,
    /// Content of its Message-ID header.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub message_id: Option<String>,
    /// Listener it came in by.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub listener: Option<String>,
    /// Address of the client that sent it, or wanted to.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<String>)]
    pub client: Option<IpAddr>,
    /// Account it belongs to.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub account: Option<String>,
    /// Pool it is sent from.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pool: Option<String>,
    /// Opaque words of the submitter.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub tags: Vec<String>,
    /// MAIL FROM; empty for `<>`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sender: Option<String>,
    /// The recipient it is about.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub recipient: Option<String>,
    /// Where its mail really goes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub site: Option<String>,
    /// Provider that the site belongs to.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub provider: Option<String>,
    /// Host that was spoken to.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub mx: Option<String>,
    /// Source that was used.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub source: Option<String>,
    /// Protocol version and cipher suite of the connection; `none` in clear.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tls: Option<String>,
    /// Reply code.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub code: Option<u16>,
    /// Enhanced code (RFC 3463).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub enhanced: Option<String>,
    /// Text of the reply, or ours where the peer said nothing.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reply: Option<String>,
    /// Rule that classified the reply.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rule: Option<String>,
    /// What the reply is about.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub category: Option<String>,
    /// A sentence for people: what happened, or what is done next.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub detail: Option<String>,
    /// What was decided, of events of type `source`: `slowed`, `suspended`, `halted`, `swapped` …
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub decision: Option<String>,
    /// Number of the attempt, from 1.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub attempt: Option<u32>,
    /// When it is tried again, RFC 3339; of what was accepted to be sent later, when that is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next_attempt: Option<String>,
    /// When it is likely to go, of what waits for a limit of ours; RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expected: Option<String>,
    /// Octets of the message.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub size: Option<u64>,
    /// Since it was accepted, or was to be sent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub seconds: Option<f64>,
}

/// The `type` of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    /// We took responsibility for a recipient.
    Accepted,
    /// We refused one (or a whole message) in the SMTP session.
    Rejected,
    /// A peer took responsibility. Final.
    Delivered,
    /// To be tried again.
    Deferred,
    /// It waits for a limit of ours, and was not attempted: `detail` says which, `next_attempt` until when.
    Waiting,
    /// Refused for good or removed by an operator. Final.
    Bounced,
    /// Its time was over. Final.
    Expired,
    /// Not sent, because its address is on the suppression list: `detail` says since when and why. Final.
    Suppressed,
    /// An address, or all of a domain, was put on the suppression list or taken off: `decision` says which.
    Suppression,
    /// Set aside by a person.
    Held,
    /// No longer set aside.
    Released,
    /// It goes another way, because the routes have changed.
    Rerouted,
    /// A source changed its state.
    Source,
    /// The relay itself: started, stopped, reloaded, a record that could not be read.
    Relay,
}

impl EventKind {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Accepted,
        Self::Rejected,
        Self::Delivered,
        Self::Deferred,
        Self::Waiting,
        Self::Bounced,
        Self::Expired,
        Self::Suppressed,
        Self::Suppression,
        Self::Held,
        Self::Released,
        Self::Rerouted,
        Self::Source,
        Self::Relay,
    ];

    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::Delivered => "delivered",
            Self::Deferred => "deferred",
            Self::Waiting => "waiting",
            Self::Bounced => "bounced",
            Self::Expired => "expired",
            Self::Suppressed => "suppressed",
            Self::Suppression => "suppression",
            Self::Held => "held",
            Self::Released => "released",
            Self::Rerouted => "rerouted",
            Self::Source => "source",
            Self::Relay => "relay",
        }
    }

    /// The one that is written so.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

impl Event {
    /// An event about a message: what is known of it, but neither recipient nor outcome.
    pub fn of_message(id: Id, kind: EventKind, message: &Message) -> Self {
        Self {
            message: Some(message.id),
            message_id: message.message_id.clone(),
            listener: Some(message.listener.clone()),
            account: Some(message.account.clone()),
            pool: message.pool.clone(),
            tags: message.tags.clone(),
            sender: Some(message.sender.to_string()),
            ..Self::new(id, kind)
        }
    }

    /// An event with nothing but its id, time and kind.
    pub fn new(id: Id, kind: EventKind) -> Self {
        Self {
            time: id.time().to_rfc3339(),
            id,
            kind,
            message: None,
            message_id: None,
            listener: None,
            client: None,
            account: None,
            pool: None,
            tags: Vec::new(),
            sender: None,
            recipient: None,
            site: None,
            provider: None,
            mx: None,
            source: None,
            tls: None,
            code: None,
            enhanced: None,
            reply: None,
            rule: None,
            category: None,
            detail: None,
            decision: None,
            attempt: None,
            next_attempt: None,
            expected: None,
            size: None,
            seconds: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn types_are_called_as_they_are_written() {
        for kind in EventKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.word());
            assert_eq!(EventKind::named(kind.word()), Some(kind));
        }
    }

    #[test]
    fn the_page_tells_of_every_field_and_type() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/events.md");
        let page = std::fs::read_to_string(page).unwrap();
        let told = |heading: &str| -> BTreeSet<String> {
            let section = page.split(heading).nth(1).unwrap().split("\n## ").next().unwrap();
            let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
            rows.map(|row| row.split('`').next().unwrap().to_owned()).collect()
        };
        let schema = serde_json::to_value(<Event as utoipa::PartialSchema>::schema()).unwrap();
        let fields = schema["properties"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(told("\n## Fields\n"), fields);
        let types = EventKind::ALL.map(|kind| kind.word().to_owned()).into();
        assert_eq!(told("\n## Types\n"), types);
    }
}
