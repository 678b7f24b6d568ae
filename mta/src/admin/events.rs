//! What is asked about events and messages of the past, and what is answered.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::outside::BoxFuture;

use super::ControlError;

/// A question about events: what stands before, and what all of them can be asked for.
macro_rules! question {
    ($(#[$about:meta])* $name:ident { $($(#[$meta:meta])* $field:ident: $kind:ty,)* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, IntoParams)]
        #[serde(deny_unknown_fields, default)]
        #[into_params(parameter_in = Query)]
        pub struct $name {
            $($(#[$meta])* pub $field: $kind,)*
            /// Tambo's id of a message.
            pub message: Option<String>,
            /// Content of a Message-ID header.
            pub message_id: Option<String>,
            /// Address of a recipient.
            pub recipient: Option<String>,
            /// Domain of the recipient.
            pub domain: Option<String>,
            /// MAIL FROM.
            pub sender: Option<String>,
            /// One of the tags.
            pub tag: Option<String>,
            /// Account.
            pub account: Option<String>,
            /// Listener that it came in by.
            pub listener: Option<String>,
            /// Pool.
            pub pool: Option<String>,
            /// Where the mail really goes: a provider, or the hosts of a domain.
            pub site: Option<String>,
            /// Provider.
            pub provider: Option<String>,
            /// Source that was used.
            pub source: Option<String>,
            /// What a reply was about.
            pub category: Option<String>,
            /// Rule that classified the reply.
            pub rule: Option<String>,
            /// Not before: RFC 3339, a day (`2026-11-24`), or how long ago (`2h`, `7d`).
            pub since: Option<String>,
            /// Before: written like `since`.
            pub until: Option<String>,
        }

        impl $name {
            /// What is asked of the fields of events.
            pub fn fields(&self) -> impl Iterator<Item = (&'static str, &str)> {
                let all = [
                    ("message", &self.message),
                    ("message_id", &self.message_id),
                    ("recipient", &self.recipient),
                    ("domain", &self.domain),
                    ("sender", &self.sender),
                    ("tag", &self.tag),
                    ("account", &self.account),
                    ("listener", &self.listener),
                    ("pool", &self.pool),
                    ("site", &self.site),
                    ("provider", &self.provider),
                    ("source", &self.source),
                    ("category", &self.category),
                    ("rule", &self.rule),
                ];
                all.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)))
            }
        }
    };
}

question! {
    /// Which events are meant: all that is asked for must be so.
    EventQuery {
        /// Rows at most: 100 when not given.
        #[param(minimum = 1, maximum = 1000)]
        limit: Option<usize>,
        /// `next` of the page before.
        from: Option<String>,
        /// `-id`: the newest first, as when not given; `id`: the oldest first.
        sort: Option<String>,
        /// Types, with commas between them: `bounced,expired`.
        #[serde(rename = "type")]
        kind: Option<String>,
    }
}

question! {
    /// Which events are followed: all that is asked for must be so.
    FollowQuery {
        /// Id of an event: those after it are sent. Without it and without `since`, those from now on.
        from: Option<String>,
        /// Types, with commas between them: `bounced,expired`.
        #[serde(rename = "type")]
        kind: Option<String>,
    }
}

question! {
    /// Which messages are meant: all that is asked for must be so. Site, provider, source, pool, category, rule,
    /// recipient and domain are asked of what happened to it; times, of when it was accepted.
    MessageQuery {
        /// Rows at most: 100 when not given.
        #[param(minimum = 1, maximum = 1000)]
        limit: Option<usize>,
        /// `next` of the page before.
        from: Option<String>,
        /// `-id`: the newest first, as when not given; `id`: the oldest first.
        sort: Option<String>,
        /// `waiting`: something is left to do; `ended`: nothing is; or the type of the last event of one of its
        /// recipients, as `delivered`, `deferred`, `bounced`.
        state: Option<String>,
    }
}

/// A page of what was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Found<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// Where the next page begins (`from`); nothing: this is the last.
    pub next: Option<String>,
    /// The page ended before it was full, because one question reads 20,000 events at most, of messages 3,000: ask on with
    /// `next`, or for a shorter time.
    pub stopped: bool,
}

/// A message that was accepted, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MessageRow {
    /// Tambo's id; `/api/v1/messages/{id}` tells its story.
    pub message: String,
    /// Content of Message-ID.
    pub message_id: Option<String>,
    /// MAIL FROM; empty for `<>`.
    pub sender: Option<String>,
    /// When it was accepted (RFC 3339).
    pub accepted: String,
    /// Listener that it came in by.
    pub listener: Option<String>,
    /// Account.
    pub account: Option<String>,
    /// Pool.
    pub pool: Option<String>,
    /// Opaque words of the submitter.
    pub tags: Vec<String>,
    /// Octets.
    pub size: Option<u64>,
    /// `waiting` while something is left to do, else `ended`.
    pub state: String,
    /// One of its recipients: that which was asked for.
    pub recipient: Option<String>,
    /// How many of its recipients are in which state: the type of the last event about each, as `delivered`.
    pub recipients: BTreeMap<String, u64>,
    /// When something last happened (RFC 3339).
    pub last: String,
    /// The last reply, or reason.
    pub last_reply: Option<String>,
}

/// Events that follow one another.
pub trait EventFlow: Send {
    /// The next ones that are meant, as soon as there are some; none, after so long a time.
    fn next(&mut self, patience: Duration) -> BoxFuture<'_, Result<Passed, ControlError>>;
}

/// What a reader of events has passed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Passed {
    /// Id and JSON of each event that is meant.
    pub events: Vec<(String, String)>,
    /// The last id that was passed, meant or not.
    pub place: String,
}
