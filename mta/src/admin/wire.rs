//! Conversations with clients and servers, as they are held.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Which conversations are watched: all that is asked for must be so.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct WireQuery {
    /// `out`: with servers; `in`: with clients. Both when not given.
    pub direction: Option<String>,
    /// Where the mail goes: a provider, or the hosts of a domain. Servers only.
    pub site: Option<String>,
    /// Source that is used. Servers only.
    pub source: Option<String>,
    /// Listener that it came in by. Clients only.
    pub listener: Option<String>,
    /// Address of the client or server, or name of the server.
    pub peer: Option<String>,
    /// Mails to this domain: each is shown from MAIL on, the first with the opening of its connection.
    pub domain: Option<String>,
    /// Mails to this address.
    pub recipient: Option<String>,
    /// Connections at a time: 16 when not given.
    #[param(minimum = 1, maximum = 64)]
    pub connections: Option<usize>,
    /// How long, as `10m`, which is when not given; an hour at most.
    pub time: Option<String>,
}

/// A line of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WireLine {
    /// When (RFC 3339).
    pub time: String,
    /// Numbers the connection, since the relay was started.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub connection: Option<u64>,
    /// `in`: with a client; `out`: with a server.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub direction: Option<String>,
    /// Where the mail goes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub site: Option<String>,
    /// From which source.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub source: Option<String>,
    /// Where a client came in.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub listener: Option<String>,
    /// Address of a client.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub peer: Option<String>,
    /// `begun`: the connection is seen from here on; `done`: something was done; `sent`: we said it; `heard`: the other side
    /// said it; `ended`: the connection is over; `left_out`: so much is not shown; `over`: the time of the stream is.
    pub kind: String,
    /// What was done or said; passwords and mail are left out.
    pub text: String,
}
