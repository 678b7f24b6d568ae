//! Small values that people write in their own notation: sizes, durations, rates, patterns.

use std::fmt;
use std::time::Duration;

/// A number of octets, written `50MiB`, `512KiB`, `1GiB` or as a plain number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

/// So many in a time, written `1500/h`, `60/m`, `5/s`, `10000/d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    /// How many.
    pub count: u32,
    /// In which time.
    pub per: Duration,
}

/// A part of a whole, written `2%` or `0.5%`. In hundredths of a percent, so that it is exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Percent {
    hundredths: u32,
}

/// Mail addresses that a person names: `*`, `*@example.pe`, `*@*.example.pe`, `x@example.pe`.
///
/// Domains are compared as lower-case A-labels (RFC 5890), local parts to the letter
/// but for the case of ASCII.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AddressPattern {
    /// `None`: any local part.
    local: Option<String>,
    domain: DomainPattern,
}

/// Domains that a person names: `*`, `example.pe`, `*.example.pe` (any depth, not the domain itself).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum DomainPattern {
    /// Every domain.
    Any,
    /// This one.
    Exact(String),
    /// Those that end in a dot and this.
    Below(String),
}

impl ByteSize {
    /// From what a person wrote.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let factor: u64 = match unit.trim() {
            "" | "B" => 1,
            "KiB" | "K" => 1 << 10,
            "MiB" | "M" => 1 << 20,
            "GiB" | "G" => 1 << 30,
            "TiB" | "T" => 1 << 40,
            "kB" | "KB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            _ => return Err("has no unit that is known".to_owned()),
        };
        let octets = number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
        octets.map(Self).ok_or_else(|| "is no size".to_owned())
    }
}

impl Rate {
    /// From what a person wrote.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (count, unit) = text.split_once('/').ok_or("has no unit of time")?;
        let per = match unit.trim() {
            "s" | "second" => Duration::from_secs(1),
            "m" | "min" | "minute" => Duration::from_mins(1),
            "h" | "hour" => Duration::from_hours(1),
            "d" | "day" => Duration::from_hours(24),
            _ => return Err("has no unit of time that is known".to_owned()),
        };
        match count.trim().parse() {
            Ok(0) => Err("is zero: nothing would ever be sent".to_owned()),
            Ok(count) => Ok(Self { count, per }),
            Err(_) => Err("is no rate".to_owned()),
        }
    }
}

impl Percent {
    /// All of it.
    pub const WHOLE: Self = Self { hundredths: 10_000 };

    /// From what a person wrote: more than nothing, at most 100 %, with at most two decimals.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let number = text.trim().strip_suffix('%').ok_or("has no %")?.trim_end();
        let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(decimals) || whole.len() > 3 {
            return Err("is no percentage");
        }
        if decimals.len() > 2 {
            return Err("has more than two decimals");
        }
        let hundredths = format!("{whole}{decimals:0<2}").parse();
        match hundredths.map_err(|_| "is no percentage")? {
            0 => Err("is nothing"),
            hundredths if hundredths > Self::WHOLE.hundredths => Err("is more than all"),
            hundredths => Ok(Self { hundredths }),
        }
    }

    /// Whether `part` is at least this much of `whole`; of nothing, nothing is.
    pub fn is_reached(self, part: u32, whole: u32) -> bool {
        whole > 0 && Self::scaled(part) >= self.times(whole)
    }

    /// Whether `part` is more than this much of `whole`.
    pub fn is_exceeded(self, part: u32, whole: u32) -> bool {
        Self::scaled(part) > self.times(whole)
    }

    /// So much of `whole`, rounded down.
    pub fn of(self, whole: u32) -> u32 {
        let part = self.times(whole) / u64::from(Self::WHOLE.hundredths);
        u32::try_from(part).unwrap_or(u32::MAX)
    }

    fn scaled(part: u32) -> u64 {
        u64::from(part) * u64::from(Self::WHOLE.hundredths)
    }

    fn times(self, whole: u32) -> u64 {
        u64::from(whole) * u64::from(self.hundredths)
    }
}

/// A duration from what a person wrote: `90s`, `5m`, `1h30m`, `2d`. Not zero, at most 366 days.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let mut total = Duration::ZERO;
    let mut rest = text.trim();
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let number: u32 = number.parse().map_err(|_| "is no duration".to_owned())?;
        let unit = match unit {
            "ms" => Duration::from_millis(1),
            "s" => Duration::from_secs(1),
            "m" => Duration::from_mins(1),
            "h" => Duration::from_hours(1),
            "d" => Duration::from_hours(24),
            "w" => Duration::from_hours(24 * 7),
            "" => return Err("has no unit".to_owned()),
            _ => return Err("has a unit that is not known".to_owned()),
        };
        total = total.saturating_add(unit.saturating_mul(number));
        rest = after.trim_start();
    }
    match total {
        Duration::ZERO => Err("is zero".to_owned()),
        total if total > Duration::from_hours(24 * 366) => Err("is longer than a year".to_owned()),
        total => Ok(total),
    }
}

/// A host or mail domain as lower-case A-label. Not an address, not a single label of digits.
pub fn parse_domain(text: &str) -> Result<String, &'static str> {
    let ascii = idna::domain_to_ascii(text).map_err(|_| "is no host name")?.to_ascii_lowercase();
    let fits = ascii.len() <= 253
        && ascii.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        });
    if !fits {
        return Err("is no host name");
    }
    if ascii.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return Err("is an address, not a name");
    }
    Ok(ascii)
}

/// A DKIM selector as lower-case labels (RFC 6376 section 3.1).
pub fn parse_selector(text: &str) -> Result<String, &'static str> {
    let fits = text.len() <= 63
        && text.split('.').all(|label| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        });
    if fits { Ok(text.to_ascii_lowercase()) } else { Err("is no selector") }
}

/// Whether a local part needs no quotes (RFC 5321 Dot-string).
pub fn is_dot_atom(text: &str) -> bool {
    text.len() <= 64
        && text.split('.').all(|atom| {
            !atom.is_empty()
                && atom
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b))
        })
}

impl AddressPattern {
    /// From what a person wrote.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (local, domain) = match text.rsplit_once('@') {
            None if text == "*" => ("*", "*"),
            None => return Err("has no @"),
            Some(parts) => parts,
        };
        let local = match local {
            "*" => None,
            local if is_dot_atom(local) && !local.contains('*') => Some(local.to_owned()),
            _ => return Err("has a local part that is neither * nor a name"),
        };
        Ok(Self { local, domain: DomainPattern::parse(domain)? })
    }

    /// The domains it means.
    pub fn domain(&self) -> &DomainPattern {
        &self.domain
    }

    /// Whether the address is meant. `domain` is a lower-case A-label.
    pub fn matches(&self, local_part: &str, domain: &str) -> bool {
        self.domain.matches(domain)
            && self.local.as_ref().is_none_or(|local| local.eq_ignore_ascii_case(local_part))
    }
}

impl DomainPattern {
    /// From what a person wrote.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        match text.strip_prefix("*.") {
            _ if text == "*" => Ok(Self::Any),
            Some(parent) => parse_domain(parent).map(Self::Below),
            None => parse_domain(text).map(Self::Exact),
        }
    }

    /// Whether the domain (a lower-case A-label) is meant.
    pub fn matches(&self, domain: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(exact) => exact == domain,
            Self::Below(parent) => domain
                .strip_suffix(parent.as_str())
                .is_some_and(|prefix| prefix.len() > 1 && prefix.ends_with('.')),
        }
    }

    /// Whether every domain that `other` means is meant.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) => true,
            (_, Self::Any) => false,
            (_, Self::Exact(domain)) => self.matches(domain),
            (Self::Below(_), Self::Below(parent)) => self == other || self.matches(parent),
            (Self::Exact(_), Self::Below(_)) => false,
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.per.as_secs() {
            1 => write!(f, "{}/s", self.count),
            60 => write!(f, "{}/m", self.count),
            3600 => write!(f, "{}/h", self.count),
            86_400 => write!(f, "{}/d", self.count),
            seconds => write!(f, "{} in {seconds} s", self.count),
        }
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, decimals) = (self.hundredths / 100, self.hundredths % 100);
        match (decimals, decimals % 10) {
            (0, _) => write!(f, "{whole}%"),
            (_, 0) => write!(f, "{whole}.{}%", decimals / 10),
            _ => write!(f, "{whole}.{decimals:02}%"),
        }
    }
}

impl fmt::Display for AddressPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.local.as_deref().unwrap_or("*"), self.domain)
    }
}

impl fmt::Display for DomainPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Exact(domain) => f.write_str(domain),
            Self::Below(parent) => write!(f, "*.{parent}"),
        }
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_labels() {
        assert_eq!(parse_selector("S2026a").as_deref(), Ok("s2026a"));
        assert!(parse_selector("2026.lima").is_ok());
        let long = "x".repeat(64);
        for bad in ["", "a_b", "a b", "-a", "a-", ".a", "a..b", "a;d=x", "ñ", &long] {
            assert!(parse_selector(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_rates_and_durations() {
        assert_eq!(ByteSize::parse("50MiB"), Ok(ByteSize(50 << 20)));
        assert_eq!(ByteSize::parse("512"), Ok(ByteSize(512)));
        assert!(ByteSize::parse("50 parsecs").is_err());
        assert!(ByteSize::parse("99999999999TiB").is_err());
        assert_eq!(Rate::parse("1500/h"), Ok(Rate { count: 1500, per: Duration::from_hours(1) }));
        assert!(Rate::parse("0/h").is_err());
        assert!(Rate::parse("15").is_err());
        for written in ["5/s", "60/m", "1500/h", "10000/d"] {
            assert_eq!(Rate::parse(written).unwrap().to_string(), written);
        }
        assert_eq!(parse_duration("1h30m"), Ok(Duration::from_mins(90)));
        assert_eq!(parse_duration("2d"), Ok(Duration::from_hours(48)));
        for bad in ["", "0s", "5", "5 parsecs", "m", "-5m", "99999d"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn percentages_are_exact() {
        for written in ["2%", "0.5%", "0.05%", "12.34%", "100%"] {
            assert_eq!(Percent::parse(written).unwrap().to_string(), written);
        }
        assert_eq!(Percent::parse("2.50 %"), Percent::parse("2.5%"));
        for bad in ["2", "", "%", "0%", "0.00%", "100.01%", "-1%", "1.%", ".5%", "0.005%", "9999%"]
        {
            assert!(Percent::parse(bad).is_err(), "{bad}");
        }
        let half = Percent::parse("0.5%").unwrap();
        assert!(half.is_reached(1, 200) && !half.is_reached(1, 201) && !half.is_reached(0, 0));
        assert!(half.is_exceeded(2, 399) && !half.is_exceeded(2, 400) && half.is_exceeded(1, 0));
        assert_eq!((half.of(399), half.of(400), Percent::WHOLE.of(u32::MAX)), (1, 2, u32::MAX));
    }

    #[test]
    fn patterns_that_cover_others() {
        let check = |wide: &str, narrow: &str, expected: bool| {
            let parse = |text| DomainPattern::parse(text).unwrap();
            assert_eq!(parse(wide).covers(&parse(narrow)), expected, "{wide} {narrow}");
            assert_eq!(parse(wide).to_string(), wide);
        };
        check("*", "*.x.pe", true);
        check("*.x.pe", "*", false);
        check("*.x.pe", "*.x.pe", true);
        check("*.x.pe", "*.a.x.pe", true);
        check("*.a.x.pe", "*.x.pe", false);
        check("*.x.pe", "a.x.pe", true);
        check("*.x.pe", "x.pe", false);
        check("*.x.pe", "*.ax.pe", false);
        check("x.pe", "x.pe", true);
        check("x.pe", "*.x.pe", false);
    }

    #[test]
    fn patterns_of_addresses() {
        let check = |pattern: &str, local: &str, domain: &str, expected: bool| {
            let pattern = AddressPattern::parse(pattern).unwrap();
            assert_eq!(pattern.matches(local, domain), expected, "{pattern:?} {local} {domain}");
        };
        check("*", "ana", "x.pe", true);
        check("*@x.pe", "ana", "x.pe", true);
        check("*@x.pe", "ana", "a.x.pe", false);
        check("*@*.x.pe", "ana", "a.x.pe", true);
        check("*@*.x.pe", "ana", "x.pe", false);
        check("*@*.x.pe", "ana", "ax.pe", false);
        check("Ana@X.pe", "ana", "x.pe", true);
        check("ana@x.pe", "eva", "x.pe", false);
        check("*@peñaranda.pe", "ana", "xn--pearanda-e3a.pe", true);
        for bad in ["x.pe", "@x.pe", "a*@x.pe", "a@x..pe", "a@*x.pe", "a@1.2.3.4"] {
            assert!(AddressPattern::parse(bad).is_err(), "{bad}");
        }
    }
}
