//! `via` of a source: the gateway that connects in its place, so that an address need not be on this machine.
//!
//! A gateway is given by address: a name would have to be looked up before each connection, and mail would
//! stop where its zone does. What it is told, and in which octets, is a matter of whoever connects.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::config::Credentials;
use crate::fields::{Fields, Value};
use crate::parse::{path, string, text};
use crate::problem::Mistake;

/// Longest user name that SOCKS can say (RFC 1929 section 2).
const USERNAME_OCTETS_MAX: usize = 255;
/// How a gateway is written.
const MEND: &str = "write \"socks5://10.0.0.5:1080\" or \"haproxy://10.0.0.5:2525\"";

/// The host that a source is behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gateway {
    /// Where it listens.
    pub address: SocketAddr,
    /// How it is told where to connect.
    pub protocol: GatewayProtocol,
}

/// How a gateway is told where to connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GatewayProtocol {
    /// SOCKS version 5 (RFC 1928). It is not told the address to connect from: that is a matter of its own
    /// configuration, by the port that it is reached at or by user name.
    Socks5 {
        /// User name and password (RFC 1929); `None`: it asks for none.
        credentials: Option<Credentials>,
    },
    /// A header of the PROXY protocol, version 2, which says both addresses (`HAProxy`).
    ProxyHeader,
}

/// As it is written in `via`.
impl fmt::Display for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.protocol {
            GatewayProtocol::Socks5 { .. } => "socks5",
            GatewayProtocol::ProxyHeader => "haproxy",
        };
        write!(f, "{scheme}://{}", self.address)
    }
}

/// Reads `via` of a source, and with whose name it is used.
pub(crate) fn via(f: &mut Fields<'_>, from: Option<IpAddr>) -> Option<Gateway> {
    let gateway = f.optional(
        "via",
        "\"socks5://10.0.0.5:1080\"",
        "A gateway that connects in place of this machine, for an address that is elsewhere: `socks5://` (RFC 1928) or `haproxy://` (PROXY protocol, version 2), with its address and port. `address` is then what the gateway sends from: a PROXY header names it, SOCKS cannot, so its server must be set to it.",
        gateway,
    );
    let username = f.optional(
        "username",
        "\"relay\"",
        "User name at a SOCKS gateway (RFC 1929). It and the password are sent in clear: keep the way there private.",
        username,
    );
    let password_file = f.optional(
        "password_file",
        "\"/etc/tambo/gateway.pw\"",
        "File whose first line is the password at a SOCKS gateway.",
        path,
    );
    let credentials = Credentials::paired(f, username, password_file);
    for key in ["username", "password_file"] {
        if !f.is_written(key) {
            continue;
        }
        if !f.is_written("via") {
            let mend = "add `via = \"socks5://…\"`, or remove it";
            f.mistake(key, Mistake::new("nobody asks for it: the source has no `via`", mend));
        } else if gateway.as_ref().is_some_and(|it| it.protocol == GatewayProtocol::ProxyHeader) {
            let message = "the PROXY protocol has no passwords";
            let mend = "remove it, and let the gateway take connections from this machine only";
            f.mistake(key, Mistake::new(message, mend));
        }
    }
    if f.is_written("via") && from.is_some_and(|from| from.is_unspecified()) {
        let message = "nobody knows from which address the gateway sends";
        f.mistake("address", Mistake::new(message, "write the address that it sends from"));
    }
    let Gateway { address, protocol } = gateway?;
    Some(match protocol {
        GatewayProtocol::ProxyHeader => Gateway { address, protocol },
        GatewayProtocol::Socks5 { .. } => {
            Gateway { address, protocol: GatewayProtocol::Socks5 { credentials } }
        }
    })
}

fn gateway(value: Value<'_>) -> Result<Gateway, Mistake> {
    let text = string(value)?;
    let Some((scheme, place)) = text.split_once("://") else {
        return Err(Mistake::new("does not say how the gateway is spoken to", MEND));
    };
    let protocol = match scheme {
        "socks5" => GatewayProtocol::Socks5 { credentials: None },
        "haproxy" => GatewayProtocol::ProxyHeader,
        _ => return Err(Mistake::new("is no kind of gateway that is known here", MEND)),
    };
    if place.contains('@') {
        // It may hold a password, which is not repeated.
        let mend = "write `username` and `password_file` beside it";
        return Err(Mistake::new("has a user name in it", mend));
    }
    match place.parse::<SocketAddr>() {
        Ok(address) if address.port() != 0 && !address.ip().is_unspecified() => {
            Ok(Gateway { address, protocol })
        }
        _ => Err(Mistake::new("has no address with a port after `://`", MEND)),
    }
}

fn username(value: Value<'_>) -> Result<String, Mistake> {
    let name = text(value)?;
    if name.len() > USERNAME_OCTETS_MAX {
        let mend = format!("write at most {USERNAME_OCTETS_MAX} octets");
        return Err(Mistake::new("is longer than SOCKS can say", mend));
    }
    Ok(name)
}
