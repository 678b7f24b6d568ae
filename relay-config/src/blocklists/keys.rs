//! What a `[[blocklist]]` of the configuration may hold, and what it takes from what is known.

use std::net::Ipv4Addr;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::config::Place;
use crate::fields::{Fields, Located, Reader, Value};
use crate::parse::{
    boolean, clip, duration, located, name, one_of, or_none, path, some, string, text,
};
use crate::problem::Mistake;
use crate::values::parse_domain;

use super::builtin::{KnownCode, Row, builtin};
use super::{ACTIONS, Blocklist, Code, KEY, KINDS, KeyFile, ListAction, ListOf};

/// Lists: each of them is asked about each address, by servers that belong to strangers.
const LISTS_MAX: usize = 30;
/// Octets of a zone: with 64 of an IPv6 address and 63 of a key a name of the DNS must hold it (253).
const ZONE_OCTETS_MAX: usize = 120;
/// Lists of strangers who are asked more often than this may stop to answer.
const EVERY_POLITE_MIN: Duration = Duration::from_mins(5);

/// A range of answers.
pub(super) type Answers = (Ipv4Addr, Ipv4Addr);

/// A `[[blocklist]]` as written.
#[derive(Debug)]
pub(crate) struct BlocklistSection {
    blocklist: Blocklist,
    key_file: Option<Located<PathBuf>>,
}

/// Reads a `[[blocklist]]`.
#[expect(clippy::too_many_lines, reason = "a table of keys")]
pub(crate) fn blocklist(f: &mut Fields<'_>) -> Option<BlocklistSection> {
    let zone = f.required(
        "zone",
        "\"zen.spamhaus.org\"",
        "The list: the DNS zone that is asked. Of those in blocklists.md what is not written here is known. `{key}` as its first label stands for the key in `key_file`, as in `{key}.zen.dq.spamhaus.net`.",
        zone,
    );
    let row = zone.as_deref().and_then(|zone| builtin().of_zone(zone));
    let name = f.optional(
        "name",
        "\"zen\"",
        "What it is called in events, metrics and commands; without it, its zone (without the key).",
        name,
    );
    let key_file = f.optional(
        "key_file",
        "\"/etc/tambo/dqs.key\"",
        "File whose first line is the key of the zone, readable by the service's user only. It is never shown.",
        located(path),
    );
    let of = f.optional(
        "of",
        "\"addresses\"",
        "`addresses`: of the sources, as others see them; `domains`: those of `[[dkim]]` and of `senders`. As known, else addresses.",
        one_of(&KINDS),
    );
    let ipv6 = f.optional(
        "ipv6",
        "true",
        "Whether the list knows IPv6 addresses. As known, else true.",
        boolean,
    );
    let every = f.optional(
        "every",
        "\"15m\"",
        "How often each address or domain is asked about. As known, else 15 minutes for addresses and an hour for domains.",
        duration,
    );
    let confirm_after = f.or(
        "confirm_after",
        "\"5m\"",
        "A second answer that says the same, this much later, before anything is done: about a listing and about its end.",
        duration,
    );
    let action = f.optional(
        "action",
        "\"act\"",
        "What a listing leads to: `act` quarantines the source and replaces it (a domain is only told of), `warn` tells the operator, `inform` records. As known for each answer, else `act`. What says nothing of the source itself (PBL) never acts.",
        one_of(&ACTIONS),
    );
    let listed = f.optional(
        "listed",
        "[\"127.0.0.2\", \"127.0.0.4-127.0.0.7\"]",
        "The answers that are listings; all others say nothing. As known, else 127.0.0.2.",
        some(answers),
    );
    let bitmask = f.optional(
        "bitmask",
        "false",
        "The last octet of an answer is a sum, and each answer in `listed` one bit of it. As known, else false.",
        boolean,
    );
    let test = f.optional(
        "test",
        "\"127.0.0.2\"",
        "What the list always lists, asked each time to see whether it works: an address or a domain; `none`: there is nothing. As known, else 127.0.0.2 or the domain `test` (RFC 5782 section 5).",
        or_none(string),
    );
    let delisting = f.optional(
        "delisting",
        "\"https://lists.example.pe/remove\"",
        "Page where to ask to be taken out, for people. As known.",
        text,
    );
    let zone = zone?;
    check(f, &zone, key_file.is_some(), row, every);
    let of = of.or(row.map(|row| row.of)).unwrap_or(ListOf::Addresses);
    check_test(f, of, test.as_ref());
    let usual = match of {
        ListOf::Addresses => ("127.0.0.2", Duration::from_mins(15)),
        ListOf::Domains => ("test", Duration::from_hours(1)),
    };
    let known = |of_row: fn(&Row) -> Option<String>, other: Option<String>| match row {
        Some(row) => of_row(row),
        None => other,
    };
    let visible = zone.strip_prefix(KEY).unwrap_or(&zone).trim_start_matches('.');
    let name: Arc<str> = name.map_or_else(|| visible.into(), Into::into);
    let bitmask = bitmask.or(row.map(|row| row.bitmask)).unwrap_or(false);
    if bitmask && listed.iter().flatten().any(|(first, last)| first != last) {
        let mend = "write each bit, as in [\"127.0.0.2\", \"127.0.0.8\"]";
        f.mistake("listed", Mistake::new("a range of sums means nothing", mend));
    }
    let blocklist = Blocklist {
        name,
        key: None,
        of,
        ipv6: ipv6.or(row.map(|row| row.ipv6)).unwrap_or(true),
        every: every.or(row.map(|row| row.every)).unwrap_or(usual.1),
        confirm_after,
        bitmask,
        codes: codes(row, bitmask, listed, action),
        test: test.unwrap_or_else(|| known(|row| row.test.clone(), Some(usual.0.to_owned()))),
        delisting: delisting.or_else(|| known(|row| Some(row.delisting.clone()), None)),
        zone,
    };
    Some(BlocklistSection { blocklist, key_file })
}

/// Puts the lists together.
pub(crate) fn resolve(
    written: Vec<Located<BlocklistSection>>,
    reader: &mut Reader,
    place: impl Fn(Range<usize>) -> Place,
) -> Vec<Arc<Blocklist>> {
    if let Some(beyond) = written.get(LISTS_MAX) {
        let message = format!("there are {} lists", written.len());
        let mistake = Mistake::new(message, format!("write at most {LISTS_MAX}"));
        reader.problem(beyond.span.clone(), "blocklist", mistake);
    }
    let mut lists: Vec<Arc<Blocklist>> = Vec::new();
    for Located { value: BlocklistSection { mut blocklist, key_file }, span } in written {
        if lists.iter().any(|list| list.name == blocklist.name) {
            let message = format!("`{}` is there twice", blocklist.name);
            let mend = "write all of it in one table, or give each its own `name`";
            reader.problem(span, "blocklist.name", Mistake::new(message, mend));
        }
        blocklist.key = key_file.map(|file| KeyFile { place: place(file.span), path: file.value });
        lists.push(Arc::new(blocklist));
    }
    lists
}

/// What may stand in a zone: a name of the DNS, and [`KEY`] before it.
pub(super) fn zone(value: Value<'_>) -> Result<String, Mistake> {
    let written = string(value)?;
    let mend = "write for example \"zen.spamhaus.org\" or \"{key}.zen.dq.spamhaus.net\"";
    let (prefix, rest) = match written.strip_prefix("{key}.") {
        Some(rest) => ("{key}.", rest),
        None => ("", written.as_str()),
    };
    // The key may stand there in clear: the value is not repeated here.
    let lower = rest.trim_end_matches('.').to_ascii_lowercase();
    let secret = lower.ends_with(".dq.spamhaus.net");
    if secret && (prefix.is_empty() || lower.split('.').count() != 4) {
        let mend =
            "write \"{key}\" in its place and put the key into the file that `key_file` names";
        return Err(Mistake::new("the key of a zone does not stand in this file", mend));
    }
    let domain = parse_domain(&lower)
        .map_err(|why| Mistake::new(format!("`{}` {why}", clip(&written)), mend))?;
    if domain.len() > ZONE_OCTETS_MAX {
        let message = format!("is longer than {ZONE_OCTETS_MAX} octets");
        return Err(Mistake::new(message, mend));
    }
    Ok(format!("{prefix}{domain}"))
}

/// `127.0.0.2`, or `127.0.0.4-127.0.0.7`.
pub(super) fn answers(value: Value<'_>) -> Result<Answers, Mistake> {
    let written = string(value)?;
    let mend = "write for example \"127.0.0.2\" or \"127.0.0.4-127.0.0.7\"";
    let (first, last) = written.split_once('-').unwrap_or((&written, &written));
    let parse = |text: &str| text.trim().parse::<Ipv4Addr>().ok();
    let range = parse(first).zip(parse(last)).filter(|(first, last)| first <= last);
    let Some((first, last)) = range else {
        let message = format!("`{}` is neither an answer nor a range of answers", clip(&written));
        return Err(Mistake::new(message, mend));
    };
    if !(first.is_loopback() && last.is_loopback()) {
        let message = format!("`{}` is not in 127.0.0.0/8, where lists answer", clip(&written));
        return Err(Mistake::new(message, mend));
    }
    // RFC 5782 section 2.1 and what lists answer to whom they refuse.
    if first <= Ipv4Addr::LOCALHOST || last >= Ipv4Addr::new(127, 255, 255, 0) {
        let message = format!("`{}` is never a listing", clip(&written));
        return Err(Mistake::new(message, "127.0.0.1 and 127.255.255.0/24 are errors of a list"));
    }
    Ok((first, last))
}

fn check(
    f: &mut Fields<'_>,
    zone: &str,
    has_key: bool,
    row: Option<&Row>,
    every: Option<Duration>,
) {
    match (zone.starts_with(KEY), has_key) {
        (true, false) if !f.is_written("key_file") => {
            let mend = "add `key_file` with the path of a file that holds the key";
            f.mistake("zone", Mistake::new("there is no key for `{key}`", mend));
        }
        (false, true) => {
            let mend = "begin `zone` with `{key}.`, or remove the file";
            f.mistake("key_file", Mistake::new("the zone has no `{key}`", mend));
        }
        _ => {}
    }
    if let Some(since) = builtin().gone(zone) {
        f.mistake("zone", Mistake::new(format!("this list is no more: {since}"), "remove it"));
    }
    if row.is_some() && every.is_some_and(|every| every < EVERY_POLITE_MIN) {
        let message = "asks servers of strangers so often that they may refuse";
        f.warn("every", message, "write \"15m\", or remove the key");
    }
}

fn check_test(f: &mut Fields<'_>, of: ListOf, test: Option<&Option<String>>) {
    let Some(Some(test)) = test else { return };
    let (fits, mend) = match of {
        ListOf::Addresses => {
            (test.parse::<Ipv4Addr>().is_ok(), "write an IPv4 address, or \"none\"")
        }
        ListOf::Domains => (parse_domain(test).is_ok(), "write a domain, or \"none\""),
    };
    if !fits {
        let message = format!("`{}` is nothing that a list of {} has", clip(test), of.word());
        f.mistake("test", Mistake::new(message, mend));
    }
}

/// The codes of the list: those known, or of them those that are `listed`. What the operator says they
/// lead to holds, but for those that never lead to so much.
fn codes(
    row: Option<&Row>,
    bitmask: bool,
    listed: Option<Vec<Answers>>,
    action: Option<ListAction>,
) -> Vec<Code> {
    let known = row.map_or(&[][..], |row| &row.codes);
    let decided = |known: &KnownCode| {
        let action = action.map_or(known.code.action, |action| action.min(known.most));
        Code { action, ..known.code.clone() }
    };
    let listed = match listed {
        None if row.is_some() => return known.iter().map(decided).collect(),
        None => vec![(Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 0, 0, 2))],
        Some(listed) => listed,
    };
    let mut codes = Vec::new();
    let mut others = Vec::new();
    for (first, last) in listed {
        let overlaps = |known: &&KnownCode| known.code.first <= last && first <= known.code.last;
        let before = codes.len();
        codes.extend(known.iter().filter(overlaps).map(decided).map(|code| Code {
            first: code.first.max(first),
            last: code.last.min(last),
            ..code
        }));
        // The first code that has an answer says what it means: these come last.
        if !bitmask || codes.len() == before {
            let action = action.unwrap_or(ListAction::Act);
            others.push(Code { first, last, meaning: "listed".into(), action });
        }
    }
    codes.extend(others);
    codes
}
