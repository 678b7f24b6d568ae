//! `[[route]]`: which mail goes to a smarthost, and the routing domain that mail shares.
//!
//! All mail that one smarthost takes in the same way has one routing domain, whatever the domains of
//! its recipients, so that a message to twenty of them is one transaction. Other mail has the
//! domain of its recipients.

use std::sync::Arc;

use crate::config::{Route, Smarthost, SmarthostTls};

/// Every route, in the order written: the first that matches holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Routes(Arc<[Named]>);

#[derive(Debug, Clone, PartialEq)]
struct Named {
    route: Arc<Route>,
    name: Arc<str>,
}

impl Routes {
    /// In this order.
    pub fn new(routes: impl IntoIterator<Item = Arc<Route>>) -> Self {
        let named = |route: Arc<Route>| Named { name: name(&route.smarthost).into(), route };
        Self(routes.into_iter().map(named).collect())
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.0.iter().map(|named| &named.route)
    }

    /// No mail goes to a smarthost.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The routing domain of mail to this address, whose domain is a lower-case A-label.
    pub fn routing_domain<'a>(&'a self, local_part: &str, domain: &'a str) -> &'a str {
        let mut matching = self.0.iter().filter(|named| {
            named.route.recipients.iter().any(|pattern| pattern.matches(local_part, domain))
        });
        matching.next().map_or(domain, |named| &named.name)
    }

    /// The smarthost that a routing domain stands for; `None`: it is a domain.
    pub fn smarthost(&self, routing_domain: &str) -> Option<&Smarthost> {
        let named = self.0.iter().find(|named| *named.name == *routing_domain);
        named.map(|named| &named.route.smarthost)
    }
}

/// Whether a routing domain is that of a smarthost, also of one that is no longer configured: no
/// domain has a colon but an address literal, which stands in brackets.
pub fn is_smarthost(routing_domain: &str) -> bool {
    routing_domain.contains(':') && !routing_domain.starts_with('[')
}

/// `host:port`, and whatever else a connection must satisfy: one that is encrypted, or was
/// logged in as somebody, is shared only with mail that wants the same.
fn name(smarthost: &Smarthost) -> String {
    let mut name = format!("{}:{}", smarthost.host, smarthost.port);
    match smarthost.tls {
        SmarthostTls::Off => name.push_str("/clear"),
        SmarthostTls::Opportunistic => {}
        SmarthostTls::Required => name.push_str("/tls"),
    }
    if let Some(credentials) = &smarthost.credentials {
        name.push('/');
        // It stands in keys of the spool, which have their own use for control characters.
        name.extend(credentials.username.chars().filter(|c| !c.is_control()));
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Credentials;
    use crate::values::AddressPattern;

    fn route(recipients: &[&str], host: &str, username: Option<&str>) -> Arc<Route> {
        Arc::new(Route {
            recipients: recipients.iter().map(|it| AddressPattern::parse(it).unwrap()).collect(),
            smarthost: Smarthost {
                host: host.to_owned(),
                port: 587,
                tls: SmarthostTls::Required,
                credentials: username.map(|username| Credentials {
                    username: username.to_owned(),
                    password_file: "/pw".into(),
                }),
            },
        })
    }

    #[test]
    fn the_first_route_that_matches_holds() {
        let routes = Routes::new([
            route(&["ana@x.pe"], "one", Some("u\0u")),
            route(&["*@x.pe", "*@*.x.pe"], "two", None),
        ]);
        let check = |local: &str, domain: &str, expected: &str| {
            assert_eq!(routes.routing_domain(local, domain), expected, "{local}@{domain}");
        };
        check("ana", "x.pe", "one:587/tls/uu");
        check("eva", "x.pe", "two:587/tls");
        check("ana", "a.x.pe", "two:587/tls");
        check("ana", "y.pe", "y.pe");
        assert_eq!(routes.smarthost("two:587/tls").map(|it| it.host.as_str()), Some("two"));
        assert_eq!(routes.smarthost("y.pe"), None);
        assert!(is_smarthost("gone:25") && is_smarthost("2001:db8::1:25/clear"));
        assert!(!is_smarthost("y.pe") && !is_smarthost("[IPv6:2001:db8::1]"));
    }
}
