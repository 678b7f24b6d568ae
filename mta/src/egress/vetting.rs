//! Whether a source may take the place of another: what receivers look at, looked at before they do.
//!
//! An address that was never used has no credit: without names that fit, and an SPF record that knows it,
//! its first mail is refused and the address is spoilt. So a standby passes only when all of this is
//! right (RFC 5321 section 4.1.1.1, RFC 7208). What is wrong says what was found, what was expected, and the line
//! to publish. What could not be found out does not pass, and is no fault either. Pure: the facts are found
//! in `dispatch/vetting.rs`.

use std::fmt;
use std::net::IpAddr;

use relay_config::blocklists::{ListAction, ListOf};
use relay_config::config::Source;

use crate::outside::DnsError;
use crate::outside::dns::pointer_name;
use crate::outside::spf::{SpfFound, SpfResult};

use super::blocklist::{Standing, State};

/// What is known of a source.
#[derive(Debug, Clone)]
pub struct Facts {
    /// This machine has its address, or its gateway answers; the reason why not.
    pub bound: Result<(), String>,
    /// What the DNS says of its public address and of its name in EHLO.
    pub names: Names,
    /// What each domain that mail is sent from says of it.
    pub spf: Vec<(String, SpfFound)>,
    /// What blocklists say of it.
    pub standings: Vec<Standing>,
}

/// The names of a source.
#[derive(Debug, Clone)]
pub struct Names {
    /// Names of its public address (PTR).
    pub pointers: Result<Vec<String>, DnsError>,
    /// Addresses of that name, if it is one.
    pub forward: Result<Vec<IpAddr>, DnsError>,
    /// Addresses of its name in EHLO.
    pub helo: Result<Vec<IpAddr>, DnsError>,
}

/// What was looked at, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What.
    pub what: What,
    /// What came of it.
    pub outcome: Outcome,
}

/// Something that is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// The address is on this machine, or its gateway answers.
    Bound,
    /// The public address is known and has one name.
    Pointer,
    /// That name leads back to the address.
    Forward,
    /// The name in EHLO leads to the address.
    Helo,
    /// SPF of this domain.
    Spf(String),
    /// No blocklist that acts has the address.
    Blocklist(String),
}

/// What came of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is as it should be.
    Passed,
    /// It is not.
    Failed {
        /// What is there.
        found: String,
        /// What should be.
        expected: String,
        /// What to do; a line of the DNS where one is missing.
        mend: String,
    },
    /// It could not be found out yet; the reason. To be tried again.
    Unknown(String),
}

/// What is to be said of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It may be used.
    Passes,
    /// It may not, until something is mended.
    Fails,
    /// Not yet: something could not be found out. To be tried again.
    Later,
}

/// Looks at all of it.
pub fn examine(source: &Source, facts: &Facts) -> Vec<Check> {
    let mut checks = vec![Check { what: What::Bound, outcome: bound(source, facts) }];
    checks.extend(examine_names(source, &facts.names));
    if source.public.is_unspecified() {
        return checks;
    }
    checks.extend(facts.spf.iter().map(|(domain, found)| Check {
        what: What::Spf(domain.clone()),
        outcome: spf(domain, source.public, found),
    }));
    checks.extend(facts.standings.iter().filter_map(|standing| {
        let what = What::Blocklist(standing.list.name.to_string());
        Some(Check { what, outcome: blocklist(standing)? })
    }));
    checks
}

/// Looks at its names only: what receivers ask of an address before they hear a word.
pub fn examine_names(source: &Source, names: &Names) -> Vec<Check> {
    if source.public.is_unspecified() {
        let outcome = failed(
            format!("nobody knows from which address `{}` sends", source.name),
            "one address that the world sees".to_owned(),
            "write `public = \"203.0.113.11\"` in its [[source]]".to_owned(),
        );
        return vec![Check { what: What::Pointer, outcome }];
    }
    let mut checks = vec![Check { what: What::Pointer, outcome: pointer(source, names) }];
    // Without one name there is nothing to look up.
    if let Ok([name]) = names.pointers.as_deref() {
        let outcome = leads_back(name, source.public, &names.forward);
        checks.push(Check { what: What::Forward, outcome });
    }
    let outcome = leads_back(&source.helo, source.public, &names.helo);
    checks.push(Check { what: What::Helo, outcome });
    checks
}

/// What all checks say together.
pub fn verdict(checks: &[Check]) -> Verdict {
    if checks.iter().any(|check| matches!(check.outcome, Outcome::Failed { .. })) {
        return Verdict::Fails;
    }
    let unknown = checks.iter().any(|check| matches!(check.outcome, Outcome::Unknown(_)));
    if unknown { Verdict::Later } else { Verdict::Passes }
}

fn failed(found: String, expected: String, mend: String) -> Outcome {
    Outcome::Failed { found, expected, mend }
}

fn bound(source: &Source, facts: &Facts) -> Outcome {
    let Err(found) = &facts.bound else { return Outcome::Passed };
    let address = source.address;
    if let Some(gateway) = &source.via {
        return failed(
            found.clone(),
            "it takes connections of this relay".to_owned(),
            format!("start or mend {gateway}, or mend `via` of `{}`", source.name),
        );
    }
    failed(
        found.clone(),
        format!("{address} on one of its interfaces"),
        format!(
            "add {address} to an interface (`ip address add`), or mend `address` of `{}`",
            source.name
        ),
    )
}

fn pointer(source: &Source, names: &Names) -> Outcome {
    let owner = pointer_name(source.public);
    let line = format!("{owner}. PTR {}.", source.helo);
    let expected = format!("one PTR record of {}", source.public);
    let ask = "who gave you the address publishes it, or lets you";
    match &names.pointers {
        Ok(names) if names.len() == 1 => Outcome::Passed,
        Ok(names) if !names.is_empty() => failed(
            format!("{} of them: {}", names.len(), names.join(", ")),
            expected,
            format!("keep `{line}` and remove the others; {ask}"),
        ),
        Err(DnsError::Unavailable(why)) => Outcome::Unknown(format!("{owner}: {why}")),
        Ok(_) | Err(DnsError::NoSuchName | DnsError::NoRecords) => {
            failed("none".to_owned(), expected, format!("publish `{line}`; {ask}"))
        }
    }
}

/// Whether a name leads to the address.
fn leads_back(name: &str, address: IpAddr, found: &Result<Vec<IpAddr>, DnsError>) -> Outcome {
    let kind = if address.is_ipv4() { "A" } else { "AAAA" };
    let mend = format!("publish `{name}. {kind} {address}`");
    let expected = format!("{name} has the address {address}");
    match found {
        Ok(addresses) if addresses.contains(&address) => Outcome::Passed,
        Ok(addresses) if !addresses.is_empty() => {
            let found: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            failed(format!("{name} has {}", found.join(", ")), expected, mend)
        }
        Err(DnsError::Unavailable(why)) => Outcome::Unknown(format!("{name}: {why}")),
        Err(DnsError::NoSuchName) => failed(format!("{name} does not exist"), expected, mend),
        Ok(_) | Err(DnsError::NoRecords) => {
            failed(format!("{name} has no address"), expected, mend)
        }
    }
}

fn spf(domain: &str, address: IpAddr, found: &SpfFound) -> Outcome {
    let term = if address.is_ipv4() { format!("ip4:{address}") } else { format!("ip6:{address}") };
    let expected = format!("SPF of {domain} lets {address} send");
    let said = |word: &str| {
        let record = found.record.as_deref().unwrap_or_default();
        format!("it says {word}: \"{}\"", clip(record))
    };
    // A term in front is the first that matches: nothing before it can refuse (RFC 7208 section 4.6.2).
    let with_term = || {
        let record = found.record.as_deref().unwrap_or("v=spf1 -all");
        let rest = record.get("v=spf1".len()..).unwrap_or_default();
        format!("publish `{domain}. TXT \"v=spf1 {term}{rest}\"` in its place")
    };
    match &found.result {
        SpfResult::Pass => Outcome::Passed,
        SpfResult::TempError(why) => Outcome::Unknown(why.clone()),
        SpfResult::None => failed(
            format!("{domain} publishes no SPF"),
            expected,
            format!(
                "publish `{domain}. TXT \"v=spf1 {term} -all\"`, with every address that sends for it"
            ),
        ),
        SpfResult::Fail => failed(said("fail"), expected, with_term()),
        SpfResult::SoftFail => failed(said("softfail"), expected, with_term()),
        SpfResult::Neutral => failed(said("neutral"), expected, with_term()),
        SpfResult::PermError(why) => failed(
            why.clone(),
            expected,
            format!("mend the SPF record of {domain}; terms such as `{term}` cost no look-up"),
        ),
    }
}

/// `None`: a list that is not about addresses, or whose listings do not act, is no obstacle.
fn blocklist(standing: &Standing) -> Option<Outcome> {
    let list = &standing.list;
    let acts = list.codes.iter().any(|code| code.action == ListAction::Act);
    if list.of != ListOf::Addresses || !acts {
        return None;
    }
    Some(match &standing.state {
        // One that does not work for long is ignored, here as everywhere.
        State::Clear | State::Ignored(_) => Outcome::Passed,
        State::Listed(listed) if listed.action < ListAction::Act => Outcome::Passed,
        State::Suspected(_, action) if *action < ListAction::Act => Outcome::Passed,
        State::Listed(listed) => {
            let ask = match &listed.delisting {
                Some(page) => format!("ask to be taken out: {page}"),
                None => "ask the list to take it out".to_owned(),
            };
            failed(listed.to_string(), format!("not listed by {}", list.name), ask)
        }
        State::Suspected(since, _) => {
            let name = &list.name;
            Outcome::Unknown(format!("{name} lists it since {since}, which is to be confirmed"))
        }
        State::Unknown(_) => Outcome::Unknown(format!("{} has not answered yet", list.name)),
    })
}

/// Text of strangers, short and in one line.
fn clip(text: &str) -> String {
    const CHARACTERS_MAX: usize = 500;
    text.chars().map(|c| if c.is_control() { '?' } else { c }).take(CHARACTERS_MAX).collect()
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bound => f.write_str("address"),
            Self::Pointer => f.write_str("PTR"),
            Self::Forward => f.write_str("name of the address"),
            Self::Helo => f.write_str("name in EHLO"),
            Self::Spf(domain) => write!(f, "SPF of {domain}"),
            Self::Blocklist(list) => write!(f, "blocklist {list}"),
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.outcome {
            Outcome::Passed => write!(f, "{}: as it should be", self.what),
            Outcome::Failed { found, expected, mend } => {
                write!(f, "{}: found: {found}; expected: {expected}; to mend: {mend}", self.what)
            }
            Outcome::Unknown(why) => {
                write!(f, "{}: not known yet, and tried again: {why}", self.what)
            }
        }
    }
}
