//! Whether a domain lets an address send its mail: `check_host` of SPF (RFC 7208 section 4).
//!
//! It is asked of the same name servers as everything else, and keeps to the limits that receivers have:
//! ten terms that ask the DNS, two of them without an answer, ten names of an MX or PTR. The parser of
//! mail-auth lets pass what receivers refuse, so each term is looked at before. `exp=` is not looked up:
//! nobody reads it here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};
use mail_auth::common::parse::TxtRecordParser;
use mail_auth::spf::{Directive, Macro, Mechanism, Qualifier, Spf, Variables};

use super::{BoxFuture, DnsError, MailDns};

/// Terms that ask the DNS (RFC 7208 section 4.6.4).
const LOOKUPS_MAX: u32 = 10;
/// Of them, those that find nothing.
const VOID_LOOKUPS_MAX: u32 = 2;
/// Names of one MX or PTR that are looked up.
const NAMES_MAX: usize = 10;
/// Octets of a name of the DNS.
const NAME_OCTETS_MAX: usize = 253;

/// What SPF says of an address (RFC 7208 section 2.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpfResult {
    /// The domain publishes no SPF.
    None,
    /// It says nothing about the address.
    Neutral,
    /// The address may send.
    Pass,
    /// It may not.
    Fail,
    /// It probably may not.
    SoftFail,
    /// The DNS did not answer; the reason.
    TempError(String),
    /// The record is wrong; what about it.
    PermError(String),
}

/// What was found of a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpfFound {
    /// What it says.
    pub result: SpfResult,
    /// The record of the domain itself, as published.
    pub record: Option<String>,
}

/// Whether `domain` (a lower-case A-label) lets `address` send mail from `postmaster` of it, with this
/// name in EHLO.
pub async fn check_host(dns: &dyn MailDns, address: IpAddr, domain: &str, helo: &str) -> SpfFound {
    let mut check = Check { dns, address, helo, sender: domain, lookups: 0, voids: 0 };
    let record = match check.record(domain).await {
        Ok(Some(record)) => record,
        Ok(None) => return SpfFound { result: SpfResult::None, record: None },
        Err(result) => return SpfFound { result, record: None },
    };
    let result = check.evaluate(&record, domain).await.unwrap_or_else(|result| result);
    SpfFound { result, record: Some(record) }
}

/// One evaluation and what it has used up.
struct Check<'a> {
    dns: &'a dyn MailDns,
    address: IpAddr,
    helo: &'a str,
    /// Domain of the sender, whatever domain is evaluated.
    sender: &'a str,
    lookups: u32,
    voids: u32,
}

/// A step, or the result that ends everything.
type Step<T> = Result<T, SpfResult>;

impl Check<'_> {
    /// The one SPF record of a domain (RFC 7208 sections 4.4 and 4.5).
    async fn record(&self, domain: &str) -> Step<Option<String>> {
        let texts = match self.dns.texts(domain).await {
            Ok(answer) => answer.records,
            Err(DnsError::NoSuchName | DnsError::NoRecords) => Vec::new(),
            Err(error @ DnsError::Unavailable(_)) => {
                return Err(SpfResult::TempError(format!("{domain}: {error}")));
            }
        };
        let is_spf = |text: &String| {
            let version = text.split(' ').next().unwrap_or_default();
            version.eq_ignore_ascii_case("v=spf1")
        };
        let mut records = texts.into_iter().filter(is_spf);
        let first = records.next();
        if records.next().is_some() {
            return Err(wrong(format!("{domain} has more than one SPF record")));
        }
        Ok(first)
    }

    fn evaluate<'b>(
        &'b mut self,
        record: &'b str,
        domain: &'b str,
    ) -> BoxFuture<'b, Step<SpfResult>> {
        Box::pin(async move {
            let spf = parse(record).map_err(|why| wrong(format!("{domain}: {why}")))?;
            for directive in &spf.directives {
                if self.matches(directive, domain).await? {
                    return Ok(match directive.qualifier {
                        Qualifier::Pass => SpfResult::Pass,
                        Qualifier::Fail => SpfResult::Fail,
                        Qualifier::SoftFail => SpfResult::SoftFail,
                        Qualifier::Neutral => SpfResult::Neutral,
                    });
                }
            }
            let Some(redirect) = &spf.redirect else { return Ok(SpfResult::Neutral) };
            self.count_lookup()?;
            let target = self.target(redirect, domain).await?;
            let Some(record) = self.record(&target).await? else {
                return Err(wrong(format!("redirect={target} leads to no SPF record")));
            };
            self.evaluate(&record, &target).await
        })
    }

    async fn matches(&mut self, directive: &Directive, domain: &str) -> Step<bool> {
        match &directive.mechanism {
            Mechanism::All => Ok(true),
            Mechanism::Ip4 { addr, mask } => Ok(self.in_network(IpAddr::V4(*addr), *mask, 0)),
            Mechanism::Ip6 { addr, mask } => Ok(self.in_network(IpAddr::V6(*addr), 0, *mask)),
            Mechanism::A { macro_string, ip4_mask, ip6_mask } => {
                self.count_lookup()?;
                let target = self.target(macro_string, domain).await?;
                let found = self.addresses(&target).await?;
                Ok(found.into_iter().any(|it| self.in_network(it, *ip4_mask, *ip6_mask)))
            }
            Mechanism::Mx { macro_string, ip4_mask, ip6_mask } => {
                self.count_lookup()?;
                let target = self.target(macro_string, domain).await?;
                for host in self.mx_hosts(&target).await? {
                    let found = self.addresses(&host).await?;
                    if found.into_iter().any(|it| self.in_network(it, *ip4_mask, *ip6_mask)) {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Mechanism::Include { macro_string } => {
                self.count_lookup()?;
                let target = self.target(macro_string, domain).await?;
                let Some(record) = self.record(&target).await? else {
                    return Err(wrong(format!("include:{target} leads to no SPF record")));
                };
                Ok(self.evaluate(&record, &target).await? == SpfResult::Pass)
            }
            Mechanism::Ptr { macro_string } => {
                self.count_lookup()?;
                let target = self.target(macro_string, domain).await?;
                let below = format!(".{target}");
                let names = self.validated_names().await;
                Ok(names.iter().any(|name| *name == target || name.ends_with(&below)))
            }
            Mechanism::Exists { macro_string } => {
                self.count_lookup()?;
                let target = self.target(macro_string, domain).await?;
                // RFC 7208 section 5.7: an A record, also where the address is IPv6.
                let found = self.dns.listing(&target).await.map(|answer| answer.records);
                Ok(!self.heard(&target, found)?.is_empty())
            }
        }
    }

    fn in_network(&self, network: IpAddr, mask4: u32, mask6: u128) -> bool {
        match (self.address, network) {
            (IpAddr::V4(address), IpAddr::V4(network)) => {
                (u32::from(address) ^ u32::from(network)) & mask4 == 0
            }
            (IpAddr::V6(address), IpAddr::V6(network)) => {
                (u128::from(address) ^ u128::from(network)) & mask6 == 0
            }
            _ => false,
        }
    }

    fn count_lookup(&mut self) -> Step<()> {
        self.lookups += 1;
        if self.lookups > LOOKUPS_MAX {
            return Err(wrong(format!("it needs more than {LOOKUPS_MAX} look-ups")));
        }
        Ok(())
    }

    /// Nothing found is counted, no answer ends it.
    fn heard<T>(&mut self, name: &str, found: Result<Vec<T>, DnsError>) -> Step<Vec<T>> {
        match found {
            Ok(records) if !records.is_empty() => Ok(records),
            Ok(_) | Err(DnsError::NoSuchName | DnsError::NoRecords) => {
                self.voids += 1;
                if self.voids > VOID_LOOKUPS_MAX {
                    let why = format!(
                        "more than {VOID_LOOKUPS_MAX} names in it do not exist, such as {name}"
                    );
                    return Err(wrong(why));
                }
                Ok(Vec::new())
            }
            Err(error @ DnsError::Unavailable(_)) => {
                Err(SpfResult::TempError(format!("{name}: {error}")))
            }
        }
    }

    /// Addresses of the same family as ours.
    async fn addresses(&mut self, name: &str) -> Step<Vec<IpAddr>> {
        let found = self.dns.addresses(name).await.map(|answer| answer.records);
        let family = self.address.is_ipv4();
        let found = found.map(|all| all.into_iter().filter(|it| it.is_ipv4() == family).collect());
        self.heard(name, found)
    }

    async fn mx_hosts(&mut self, name: &str) -> Step<Vec<String>> {
        let found = self.dns.mx(name).await.map(|answer| answer.records);
        let hosts = self.heard(name, found)?;
        if hosts.len() > NAMES_MAX {
            return Err(wrong(format!("mx:{name} has more than {NAMES_MAX} hosts")));
        }
        Ok(hosts.into_iter().map(|mx| mx.host).filter(|host| !host.is_empty()).collect())
    }

    /// Names of the address that lead back to it (RFC 7208 section 5.5); none, where the DNS fails.
    async fn validated_names(&self) -> Vec<String> {
        let names = self.dns.pointers(self.address).await.map(|answer| answer.records);
        let mut validated = Vec::new();
        for name in names.unwrap_or_default().into_iter().take(NAMES_MAX) {
            let back = self.dns.addresses(&name).await;
            if back.is_ok_and(|answer| answer.records.contains(&self.address)) {
                validated.push(name);
            }
        }
        validated
    }

    /// The name that a term means (RFC 7208 section 7), the domain itself without one.
    async fn target(&self, name: &Macro, domain: &str) -> Step<String> {
        let sender = format!("postmaster@{}", self.sender);
        let mut values = Variables::new();
        values.set_ip(&self.address);
        values.set_sender(sender.as_bytes());
        values.set_domain(domain.as_bytes());
        values.set_helo_domain(self.helo.as_bytes());
        if name.needs_ptr() {
            let validated = self.validated_names().await;
            let below = format!(".{domain}");
            let best = validated.iter().find(|it| *it == domain);
            let best = best.or_else(|| validated.iter().find(|it| it.ends_with(&below)));
            let best = best.or(validated.first()).map_or("unknown", String::as_str);
            values.set_validated_domain(best.as_bytes().to_vec());
        }
        let made = name.eval(&values, domain, false).trim_end_matches('.').to_ascii_lowercase();
        // RFC 7208 section 7.3: what is too long loses labels from the left.
        let mut target = made.as_str();
        while target.len() > NAME_OCTETS_MAX {
            let Some((_, rest)) = target.split_once('.') else { break };
            target = rest;
        }
        let fits = target.split('.').all(|label| (1..=63).contains(&label.len()));
        let printable = target.bytes().all(|octet| octet.is_ascii_graphic());
        if fits && printable && target.len() <= NAME_OCTETS_MAX {
            Ok(target.to_owned())
        } else {
            Err(wrong(format!("a name in the record of {domain} is no name")))
        }
    }
}

fn wrong(why: String) -> SpfResult {
    SpfResult::PermError(why)
}

/// The record, if every term is one that RFC 7208 knows.
fn parse(record: &str) -> Result<Spf, String> {
    for term in record.split(' ').skip(1).filter(|term| !term.is_empty()) {
        if !is_term(term) {
            return Err(format!("`{}` is no term of SPF", clip(term)));
        }
    }
    Spf::parse(record.as_bytes()).map_err(|_| "it is no SPF record".to_owned())
}

/// Whether it is a directive or a modifier (RFC 7208 section 4.6.1), as far as mail-auth would let it
/// pass though it is not.
fn is_term(term: &str) -> bool {
    let unqualified = term.strip_prefix(['+', '-', '~', '?']);
    let directive = unqualified.unwrap_or(term).to_ascii_lowercase();
    let end = directive.find([':', '/', '=']).unwrap_or(directive.len());
    let (name, rest) = directive.split_at(end);
    if rest.starts_with('=') {
        // A modifier has no qualifier; those that are not known are ignored.
        let mut letters = name.bytes();
        let named = letters.next().is_some_and(|first| first.is_ascii_alphabetic())
            && letters.all(|it| it.is_ascii_alphanumeric() || b"-_.".contains(&it));
        return unqualified.is_none() && named;
    }
    let value = rest.strip_prefix(':');
    match name {
        "all" => rest.is_empty(),
        "include" | "exists" => value.is_some_and(|value| !value.is_empty()),
        "a" | "mx" => value != Some("") && has_lengths(rest),
        "ptr" => value != Some("") && !rest.starts_with('/'),
        "ip4" => {
            value.is_some_and(|it| it.parse::<Ipv4Addr>().is_ok() || it.parse::<Ipv4Net>().is_ok())
        }
        "ip6" => {
            value.is_some_and(|it| it.parse::<Ipv6Addr>().is_ok() || it.parse::<Ipv6Net>().is_ok())
        }
        _ => false,
    }
}

/// Whether what follows the name ends in no length, or in `/24`, `//64` or `/24//64`.
fn has_lengths(rest: &str) -> bool {
    let fits = |text: &str, most: u8| {
        let leading = text.len() > 1 && text.starts_with('0');
        !leading
            && text.bytes().all(|it| it.is_ascii_digit())
            && text.parse::<u8>().is_ok_and(|it| it <= most)
    };
    // A slash inside braces is a delimiter of a macro (RFC 7208 section 7.1).
    let (_, lengths) = rest.rsplit_once('}').unwrap_or(("", rest));
    let Some((_, lengths)) = lengths.split_once('/') else { return true };
    match lengths.split_once('/') {
        None => fits(lengths, 32),
        Some(("", six)) => fits(six, 128),
        Some((four, six)) => {
            fits(four, 32) && six.strip_prefix('/').is_some_and(|six| fits(six, 128))
        }
    }
}

fn clip(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).take(60).collect()
}

#[cfg(test)]
mod tests;
