//! Every limit that is counted when it is reached, with what happens then. A limit stands here under
//! its key in the configuration, or under what it bounds where nobody can set it.

/// Name and what happens when it is reached.
pub(super) const LIMITS: &[(&str, &str)] = &[
    ("addresses_per_attempt", "a destination has more addresses than an attempt tries"),
    ("admin_connections", "too many connections to `admin.bind` or the control socket: closed"),
    ("api_requests", "a token asked too often: 429"),
    ("blame_counts", "no more replies that blame are counted toward a rule's share"),
    ("blocklist_subjects", "blocklists are not asked about all addresses and domains"),
    ("bodies_in_flight_max", "messages that arrive found no room in memory: 452"),
    ("body_cache_max", "a body was not kept in memory; it is read back from disk"),
    ("broken_tls", "no more hosts whose TLS does not work are remembered"),
    ("connections", "each source has all connections to a site that it may have"),
    ("connections_per_address", "a client has too many connections: 421"),
    ("connections_per_trusted_address", "a client of `relay_from` has too many connections: 421"),
    ("connections_total", "a site has all connections that it may have"),
    ("delay_notices", "a mailbox was not told of yet another delay in this hour"),
    ("delivery.connections", "all connections to servers are in use; sites take turns"),
    ("dkim_fields_of_a_name", "a message has more fields of one name than are signed"),
    ("errors", "a client made too many errors: 421"),
    ("halts", "the oldest halt of a sending domain or campaign was ended"),
    ("header_size", "a header section was too long: 552"),
    ("hops", "a message came by too many servers, as in a loop: 554"),
    ("lanes", "memory follows no more lanes; the rest waits on disk"),
    ("limits.connections", "all connections of clients are in use: 421"),
    ("listener.limits.connections", "all connections of a listener are in use: 421"),
    ("message_size", "a message was too big: 552"),
    ("messages_per_connection", "a client sent more messages than one connection carries: 421"),
    ("messages_per_day", "an account sent more messages than it may: 450"),
    ("messages_per_hour", "an account sent more messages than it may: 450"),
    ("min_free_space", "the disk is almost full: 452"),
    ("password_failures", "passwords of an address or account are not checked for a while: 454"),
    ("password_failures_kept", "the oldest wrong passwords are forgotten"),
    ("password_queue", "too many passwords wait to be checked: 454"),
    ("passwords_remembered", "a right password was not remembered; it is checked again"),
    ("rate", "a connection waits because the rate of its source or site is used"),
    ("ready_deliveries", "memory holds no more deliveries; the rest waits on disk"),
    ("recipients_per_day", "an account sent to more recipients than it may: 450"),
    ("recipients_per_hour", "an account sent to more recipients than it may: 450"),
    ("recipients_per_message", "a message has too many recipients: 452"),
    ("remembered_paths", "no more of what was known of sources at silent sites is remembered"),
    ("routes", "no more routes are remembered; they are looked up again"),
    ("tokens", "no more tokens are made; those that nobody uses can be revoked: 409"),
    ("told_paths", "an answer about sources tells no more paths"),
    ("wanted_tls", "no more hosts that refuse mail in clear are remembered"),
    ("wrong_tokens", "an address showed too many wrong tokens: 429"),
];

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn product(folder: &Path, text: &mut String) {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                product(&path, text);
            } else if path.extension().is_some_and(|it| it == "rs") {
                let file = std::fs::read_to_string(&path).unwrap();
                text.push_str(file.split("#[cfg(test)]\nmod tests {").next().unwrap());
            }
        }
    }

    #[test]
    fn every_limit_that_is_counted_is_known_and_no_other() {
        let mut text = String::new();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        for stage in std::fs::read_dir(source).unwrap().flatten() {
            if stage.path().is_dir() && !stage.path().ends_with("metrics") {
                product(&stage.path(), &mut text);
            }
        }
        let counted: Vec<&str> =
            text.split("limit_hit(\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert!(counted.len() > 20, "{counted:?}");
        for name in counted {
            assert!(LIMITS.iter().any(|(known, _)| *known == name), "{name} is not in the table");
        }
        for (name, _) in LIMITS {
            assert!(text.contains(&format!("\"{name}\"")), "{name} is reached nowhere");
        }
        assert!(LIMITS.is_sorted());
    }
}
