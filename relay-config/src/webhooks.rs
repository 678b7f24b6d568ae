//! What a `[[webhook]]` may hold: where events are posted to, and which.

use std::net::IpAddr;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::config::Place;
use crate::fields::{Fields, Located, Reader, Value};
use crate::parse::{clip, count_from, duration, list, located, name, one_of, path, string, text};
use crate::problem::Mistake;
use crate::values::parse_domain;

/// Webhooks: each reads all events, one after the other.
const WEBHOOKS_MAX: usize = 20;
/// Events of one request at most: a few hundred KB.
const BATCH_MAX: u32 = 1_000;
/// Octets of a URL.
const URL_OCTETS_MAX: usize = 2_000;

/// Types of events, as they are written.
pub const EVENT_TYPES: [&str; 12] = [
    "accepted",
    "rejected",
    "delivered",
    "deferred",
    "waiting",
    "bounced",
    "expired",
    "held",
    "released",
    "rerouted",
    "source",
    "relay",
];

/// A `[[webhook]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Stands in logs, metrics and commands; its place among the events is kept under it.
    pub name: Arc<str>,
    /// Where events are posted to.
    pub url: WebUrl,
    /// File whose first line is the secret that requests are signed with.
    pub secret_file: PathBuf,
    /// Where `secret_file` stands in the configuration.
    pub place: Place,
    /// Types of events; none: all.
    pub types: Vec<String>,
    /// Tags, of which an event must have one; none: any or none.
    pub tags: Vec<String>,
    /// Accounts; none: all.
    pub accounts: Vec<String>,
    /// Events of one request at most.
    pub batch: u32,
    /// Time in which a request gathers events.
    pub wait: Duration,
    /// Time for a request and its answer.
    pub timeout: Duration,
    /// Age at which events are passed over.
    pub max_age: Duration,
}

/// An address in the web.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebUrl {
    /// TLS, with a certificate that is checked.
    pub tls: bool,
    /// Name or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Path and query, from the first slash on.
    pub target: String,
}

impl WebUrl {
    /// From `https://host:port/path?query`.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.len() > URL_OCTETS_MAX {
            return Err("is longer than 2000 octets");
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("has characters that a URL does not have");
        }
        let (scheme, rest) = text.split_once("://").ok_or("has no scheme")?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return Err("is neither http nor https"),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        if authority.contains('@') {
            return Err("has a user or a password, which it may not");
        }
        if target.contains('#') {
            return Err("has a fragment (`#`), which is never sent");
        }
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                let port = port.parse().ok().filter(|port| *port > 0).ok_or("has no port")?;
                (host, port)
            }
            _ => (authority, if tls { 443 } else { 80 }),
        };
        let inside = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let address: Option<IpAddr> = match inside {
            Some(inside) => Some(IpAddr::V6(inside.parse().map_err(|_| "has no host")?)),
            None => host.parse().ok(),
        };
        let host = match address {
            Some(address) => address.to_string(),
            None => parse_domain(host).map_err(|_| "has no host")?,
        };
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        Ok(Self { tls, host, port, target })
    }

    /// Host and port as a request names them (RFC 9110 section 7.2).
    pub fn authority(&self) -> String {
        let v6 = self.host.contains(':');
        let host = if v6 { format!("[{}]", self.host) } else { self.host.clone() };
        match (self.tls, self.port) {
            (true, 443) | (false, 80) => host,
            _ => format!("{host}:{}", self.port),
        }
    }
}

impl std::fmt::Display for WebUrl {
    /// Without the query, which may hold a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        let path = self.target.split('?').next().unwrap_or_default();
        write!(f, "{scheme}://{}{path}", self.authority())
    }
}

/// A `[[webhook]]` as written.
#[derive(Debug)]
pub(crate) struct WebhookSection {
    name: String,
    url: WebUrl,
    secret_file: Located<PathBuf>,
    types: Vec<&'static str>,
    tags: Vec<String>,
    accounts: Vec<Located<String>>,
    batch: u32,
    wait: Duration,
    timeout: Duration,
    max_age: Duration,
}

/// Reads a `[[webhook]]`.
pub(crate) fn webhook(f: &mut Fields<'_>) -> Option<WebhookSection> {
    let name = f.required(
        "name",
        "\"crm\"",
        "Shown in logs, metrics and commands. How far it has got is kept under this name: another one begins anew.",
        name,
    );
    let url = f.required(
        "url",
        "\"https://crm.example.pe/tambo\"",
        "Where events are posted to, as a JSON array. `http` is in clear: for the same machine. Redirects are not followed.",
        url,
    );
    let secret_file = f.required(
        "secret_file",
        "\"/etc/tambo/crm.secret\"",
        "File whose first line is the secret that requests are signed with (HMAC-SHA256), 16 octets or more, readable by the service's user only.",
        located(path),
    );
    let types = f.or(
        "types",
        "[]",
        "Types of events that are posted, as in [\"bounced\", \"expired\"]. Empty: all.",
        list(one_of(&TYPES)),
    );
    let tags = f.or("tags", "[]", "Only events with one of these tags. Empty: all.", list(text));
    let accounts =
        f.or("accounts", "[]", "Only events of these accounts. Empty: all.", list(located(text)));
    let batch = f.or("batch", "100", "Events of one request at most, 1,000 at most.", batch);
    let wait = f.or(
        "wait",
        "\"1s\"",
        "How long a request that is not full waits for more events.",
        duration,
    );
    let timeout = f.or("timeout", "\"10s\"", "Time for a request and its answer.", duration);
    let max_age = f.or(
        "max_age",
        "\"3d\"",
        "Events that are older are passed over, counted and told of in the log, when the server did not take them for so long.",
        duration,
    );
    Some(WebhookSection {
        name: name?,
        url: url?,
        secret_file: secret_file?,
        types,
        tags,
        accounts,
        batch,
        wait,
        timeout,
        max_age,
    })
}

/// Each type as a word of the configuration.
const TYPES: [(&str, &str); 12] = {
    let mut words = [("", ""); 12];
    let mut place = 0;
    while place < words.len() {
        words[place] = (EVENT_TYPES[place], EVENT_TYPES[place]);
        place += 1;
    }
    words
};

fn url(value: Value<'_>) -> Result<WebUrl, Mistake> {
    let written = string(value)?;
    let mend = "write for example \"https://crm.example.pe/tambo\"";
    WebUrl::parse(&written).map_err(|why| {
        // What may hold a secret is not repeated.
        let secret = written.contains(['?', '@']);
        let shown = if secret { "the URL".to_owned() } else { format!("`{}`", clip(&written)) };
        Mistake::new(format!("{shown} {why}"), mend)
    })
}

fn batch(value: Value<'_>) -> Result<u32, Mistake> {
    let count = count_from(1)(value)?;
    if count > BATCH_MAX {
        return Err(Mistake::new(format!("{count} is too many"), "write at most 1000"));
    }
    Ok(count)
}

/// Puts the webhooks together; `is_account` knows the accounts, `keep` how long there are events.
pub(crate) fn resolve(
    written: Vec<Located<WebhookSection>>,
    reader: &mut Reader,
    place: impl Fn(Range<usize>) -> Place,
    is_account: impl Fn(&str) -> bool,
    keep: Duration,
) -> Vec<Arc<Webhook>> {
    if let Some(beyond) = written.get(WEBHOOKS_MAX) {
        let message = format!("there are {} webhooks", written.len());
        let mistake = Mistake::new(message, format!("write at most {WEBHOOKS_MAX}"));
        reader.problem(beyond.span.clone(), "webhook", mistake);
    }
    let mut webhooks: Vec<Arc<Webhook>> = Vec::new();
    for Located { value: section, span } in written {
        if webhooks.iter().any(|known| *known.name == section.name) {
            let message = format!("`{}` is there twice", section.name);
            let mistake = Mistake::new(message, "give each its own `name`");
            reader.problem(span.clone(), "webhook.name", mistake);
        }
        for account in section.accounts.iter().filter(|account| !is_account(&account.value)) {
            let message = format!("there is no account `{}`", clip(&account.value));
            let mistake = Mistake::new(message, "write the name of an [[account]]");
            reader.problem(account.span.clone(), "webhook.accounts", mistake);
        }
        if section.max_age > keep {
            let mistake = Mistake::new(
                "is longer than `events.keep`: what is older is gone",
                "write at most that",
            );
            reader.problem(span, "webhook.max_age", mistake);
        }
        let owned = |words: Vec<&str>| words.into_iter().map(str::to_owned).collect();
        webhooks.push(Arc::new(Webhook {
            name: section.name.into(),
            url: section.url,
            place: place(section.secret_file.span),
            secret_file: section.secret_file.value,
            types: owned(section.types),
            tags: section.tags,
            accounts: section.accounts.into_iter().map(|account| account.value).collect(),
            batch: section.batch,
            wait: section.wait,
            timeout: section.timeout,
            max_age: section.max_age,
        }));
    }
    webhooks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_as_they_are_written() {
        for (text, shown, target) in [
            ("https://crm.example.pe/tambo", "https://crm.example.pe/tambo", "/tambo"),
            ("HTTP://Crm.Example.pe", "http://crm.example.pe/", "/"),
            ("http://10.0.0.7:8080/a/b?key=x", "http://10.0.0.7:8080/a/b", "/a/b?key=x"),
            ("https://[fd00::7]?x", "https://[fd00::7]/", "/?x"),
            ("https://[fd00::7]:8443/", "https://[fd00::7]:8443/", "/"),
            ("http://localhost:80/", "http://localhost/", "/"),
        ] {
            let url = WebUrl::parse(text).unwrap();
            assert_eq!((url.to_string().as_str(), url.target.as_str()), (shown, target), "{text}");
        }
        for text in [
            "",
            "crm.example.pe",
            "ftp://x.pe/",
            "https://",
            "https:///x",
            "https://user:secret@x.pe/",
            "https://x.pe/#a",
            "https://x.pe:0/",
            "https://x.pe:99999/",
            "https://x.pe:/",
            "https://[fd00::7/",
            "https://[10.0.0.7]/",
            "https://x pe/",
            "https://x.pe/\r\nHost: y",
            "https://ñ.pe/\u{e1}",
        ] {
            assert!(WebUrl::parse(text).is_err(), "{text}");
        }
    }
}
