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
    ("event_streams", "too many streams of events are open: 503"),
    ("events.max_size", "the event files are too large: the oldest is removed"),
    ("halts", "the oldest halt of a sending domain or campaign was ended"),
    ("header_size", "a header section was too long: 552"),
    ("hops", "a message came by too many servers, as in a loop: 554"),
    ("idempotency_keys", "an account gave more names to its requests than are remembered: 429"),
    ("lanes", "memory follows no more lanes; the rest waits on disk"),
    ("limits.connections", "all connections of clients are in use: 421"),
    ("listener.limits.connections", "all connections of a listener are in use: 421"),
    ("login_guesses", "a person or network gave too many wrong passwords to the web: wait"),
    ("login_guesses_kept", "the oldest wrong passwords given to the web are forgotten"),
    ("login_queue", "too many passwords of the web wait to be checked: try again"),
    ("message_size", "a message was too big: 552, or 400 over the API"),
    ("messages_per_connection", "a client sent more messages than one connection carries: 421"),
    ("messages_per_day", "an account sent more messages than it may: 450, or 429 over the API"),
    ("messages_per_hour", "an account sent more messages than it may: 450, or 429 over the API"),
    ("min_free_space", "the disk is almost full: 452"),
    ("password_failures", "passwords of an address or account are not checked for a while: 454"),
    ("password_failures_kept", "the oldest wrong passwords are forgotten"),
    ("password_queue", "too many passwords wait to be checked: 454"),
    ("passwords_remembered", "a right password was not remembered; it is checked again"),
    ("probes", "a destination is not asked while another is: 409"),
    ("rate", "a connection waits because the rate of its source or site is used"),
    ("ready_deliveries", "memory holds no more deliveries; the rest waits on disk"),
    ("recipients_per_day", "an account sent to more recipients than it may: 450"),
    ("recipients_per_hour", "an account sent to more recipients than it may: 450"),
    ("recipients_per_message", "a message has too many recipients: 452"),
    ("recipients_per_request", "a request to send has too many recipients: 400"),
    ("remembered_paths", "no more of what was known of sources at silent sites is remembered"),
    ("request_size", "a request to send is too large: 413"),
    ("requests_in_flight", "requests to send that arrive found no room in memory: 503"),
    ("routes", "no more routes are remembered; they are looked up again"),
    ("second_factors_shown", "second factors that were begun and not confirmed are forgotten"),
    ("sessions_of_a_user", "a person has too many sessions in the web: the oldest ended"),
    ("standing_holds", "there are as many standing holds as there may be: refused"),
    ("substitutions", "a recipient of a request has too many substitutions: 400"),
    (
        "suppression_counts",
        "what servers say of more recipients is not counted toward the suppression list",
    ),
    ("suppressions", "the suppression list is full: 409, and servers' words put nobody on it"),
    (
        "tally_names",
        "sums of more names of an hour, or tags of a day, are added up together as `other`",
    ),
    ("tally_rows", "an answer about sums would have too many rows: 400"),
    ("tokens", "no more tokens are made; those that nobody uses can be revoked: 409"),
    ("told_paths", "an answer about sources tells no more paths"),
    ("users", "no more people are added; those who are gone can be removed: 409"),
    ("wanted_tls", "no more hosts that refuse mail in clear are remembered"),
    ("web_file_rows", "a file of the web has no more rows than this; the command line reads on"),
    ("webhook.max_age", "events are passed over that the server of a webhook did not take in time"),
    ("wire_connections", "`tambo wire` does not show or look into one more connection"),
    ("wire_lines", "lines of conversations came too fast for `tambo wire`: left out"),
    ("wire_watchers", "too many watch conversations: 503"),
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
