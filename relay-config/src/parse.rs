//! Parsers of single values: a TOML value in, our type or a [`Mistake`] that says how to mend it.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use jiff::civil::Date;
use toml::de::DeValue;

use crate::fields::{Located, Value};
use crate::problem::Mistake;
use crate::send_window::SendWindow;
use crate::values::{self, AddressPattern, ByteSize, DomainPattern, Percent, Rate};

/// Longest name of a listener, account, source, pool or provider: they become labels of metrics.
const NAME_OCTETS_MAX: usize = 64;

pub(crate) fn string(value: Value<'_>) -> Result<String, Mistake> {
    match value.get_ref() {
        DeValue::String(text) => Ok(text.as_ref().to_owned()),
        other => Err(expected("text in quotes", other)),
    }
}

/// Text that says something.
pub(crate) fn text(value: Value<'_>) -> Result<String, Mistake> {
    let text = string(value)?;
    if text.trim().is_empty() {
        return Err(Mistake::new("is empty", "write a value or remove the key"));
    }
    if text.chars().any(char::is_control) {
        return Err(Mistake::new("holds a control character", "remove it"));
    }
    Ok(text)
}

pub(crate) fn boolean(value: Value<'_>) -> Result<bool, Mistake> {
    value.get_ref().as_bool().ok_or_else(|| expected("true or false", value.get_ref()))
}

/// A whole number of at least `least`.
pub(crate) fn count_from(least: u32) -> impl Fn(Value<'_>) -> Result<u32, Mistake> {
    move |value| {
        let DeValue::Integer(number) = value.get_ref() else {
            return Err(expected("a whole number", value.get_ref()));
        };
        let read = i64::from_str_radix(number.as_str(), number.radix()).ok();
        read.and_then(|number| u32::try_from(number).ok()).filter(|n| *n >= least).ok_or_else(
            || {
                Mistake::new(
                    format!("{} is out of range", number.as_str()),
                    format!("write a whole number from {least} to {}", u32::MAX),
                )
            },
        )
    }
}

pub(crate) fn port(value: Value<'_>) -> Result<u16, Mistake> {
    let number = count_from(1)(value)?;
    u16::try_from(number)
        .map_err(|_| Mistake::new(format!("{number} is no port"), "write a number from 1 to 65535"))
}

/// A number from 0 to 0.5.
pub(crate) fn share(value: Value<'_>) -> Result<f64, Mistake> {
    let text = match value.get_ref() {
        DeValue::Float(number) => number.as_str(),
        DeValue::Integer(number) => number.as_str(),
        other => return Err(expected("a number", other)),
    };
    text.parse().ok().filter(|share| (0.0..=0.5).contains(share)).ok_or_else(|| {
        Mistake::new(format!("{text} is out of range"), "write a number from 0.0 to 0.5")
    })
}

/// How many times as much, from 1.0 to 2.0; in thousandths, rounded.
pub(crate) fn growth(value: Value<'_>) -> Result<u32, Mistake> {
    let text = match value.get_ref() {
        DeValue::Float(number) => number.as_str(),
        DeValue::Integer(number) => number.as_str(),
        other => return Err(expected("a number", other)),
    };
    let read: Option<f64> = text.parse().ok().filter(|growth| (1.0..=2.0).contains(growth));
    let Some(growth) = read else {
        let mend = "write a number from 1.0 to 2.0";
        return Err(Mistake::new(format!("{text} is out of range"), mend));
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1000 to 2000")]
    let thousandths = (growth * 1000.0).round() as u32;
    Ok(thousandths)
}

/// Hours of each day, with their time zone.
pub(crate) fn send_window(value: Value<'_>) -> Result<SendWindow, Mistake> {
    let text = string(value)?;
    SendWindow::parse(&text).map_err(|why| {
        let mend =
            "write hours and a zone of the IANA database, as in \"08:00-20:00 America/Lima\"";
        Mistake::new(format!("`{}` {why}", clip(&text)), mend)
    })
}

pub(crate) fn size(value: Value<'_>) -> Result<ByteSize, Mistake> {
    let read = match value.get_ref() {
        DeValue::Integer(number) => ByteSize::parse(number.as_str()),
        _ => ByteSize::parse(&string(value)?),
    };
    read.map_err(|why| {
        Mistake::new(
            format!("the value {why}"),
            "write for example \"50MiB\", \"512KiB\" or \"1GiB\"",
        )
    })
}

/// A duration that is not zero.
pub(crate) fn duration(value: Value<'_>) -> Result<Duration, Mistake> {
    let mend = "write for example \"30s\", \"5m\", \"4h\" or \"2d\"";
    let DeValue::String(text) = value.get_ref() else {
        return Err(Mistake::new("a duration in quotes is expected", mend));
    };
    values::parse_duration(text)
        .map_err(|why| Mistake::new(format!("`{}` {why}", clip(text)), mend))
}

/// A duration, or `"never"`.
pub(crate) fn duration_or_never(value: Value<'_>) -> Result<Option<Duration>, Mistake> {
    match value.get_ref() {
        DeValue::String(text) if text == "never" => Ok(None),
        _ => duration(value).map(Some),
    }
}

/// A value, or `"none"`.
pub(crate) fn or_none<T>(
    parse: impl Fn(Value<'_>) -> Result<T, Mistake>,
) -> impl Fn(Value<'_>) -> Result<Option<T>, Mistake> {
    move |value| match value.get_ref() {
        DeValue::String(text) if text == "none" => Ok(None),
        _ => parse(value).map(Some),
    }
}

pub(crate) fn rate(value: Value<'_>) -> Result<Rate, Mistake> {
    let text = string(value)?;
    Rate::parse(&text).map_err(|why| {
        Mistake::new(
            format!("`{}` {why}", clip(&text)),
            "write for example \"1500/h\", \"60/m\" or \"5/s\"",
        )
    })
}

/// A part of a whole.
pub(crate) fn percent(value: Value<'_>) -> Result<Percent, Mistake> {
    let mend = "write for example \"2%\" or \"0.5%\"";
    let DeValue::String(text) = value.get_ref() else {
        return Err(Mistake::new("a percentage in quotes is expected", mend));
    };
    Percent::parse(text).map_err(|why| Mistake::new(format!("`{}` {why}", clip(text)), mend))
}

/// A day without a time.
pub(crate) fn date(value: Value<'_>) -> Result<Date, Mistake> {
    let mend = "write a day without quotes and without a time, as in 2026-01-15";
    let wrong = || Mistake::new("a day is expected", mend);
    let written = value.get_ref().as_datetime().ok_or_else(wrong)?;
    let (Some(date), None, None) = (written.date, written.time, written.offset) else {
        return Err(wrong());
    };
    let part = |number: u8| i8::try_from(number).map_err(|_| wrong());
    let year = i16::try_from(date.year).map_err(|_| wrong())?;
    Date::new(year, part(date.month)?, part(date.day)?).map_err(|_| wrong())
}

pub(crate) fn path(value: Value<'_>) -> Result<PathBuf, Mistake> {
    text(value).map(PathBuf::from)
}

pub(crate) fn ip(value: Value<'_>) -> Result<IpAddr, Mistake> {
    let text = string(value)?;
    text.parse().map_err(|_| {
        let message = format!("`{}` is no IP address", clip(&text));
        Mistake::new(message, "write for example \"203.0.113.11\" or \"2001:db8::11\"")
    })
}

pub(crate) fn socket(value: Value<'_>) -> Result<SocketAddr, Mistake> {
    let text = string(value)?;
    text.parse().map_err(|_| {
        let mend = "write an address and a port, as in \"0.0.0.0:25\" or \"[::]:25\"";
        Mistake::new(format!("`{}` is no address with a port", clip(&text)), mend)
    })
}

/// `10.20.0.0/16`, or a single address.
pub(crate) fn network(value: Value<'_>) -> Result<IpNet, Mistake> {
    let text = string(value)?;
    let read: Option<IpNet> =
        text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    let Some(network) = read else {
        let message = format!("`{}` is no network", clip(&text));
        return Err(Mistake::new(
            message,
            "write for example \"10.20.0.0/16\" or \"2001:db8::/48\"",
        ));
    };
    if network.addr() != network.network() {
        let message = format!("`{}` has bits set after its prefix", clip(&text));
        let network = network.trunc();
        let mend = format!(
            "write \"{network}\" for the network, \"{}\" for one host",
            network_host(&text)
        );
        return Err(Mistake::new(message, mend));
    }
    Ok(network)
}

fn network_host(text: &str) -> &str {
    text.split('/').next().unwrap_or(text)
}

/// A host name, not an address.
pub(crate) fn host_name(value: Value<'_>) -> Result<String, Mistake> {
    let text = string(value)?;
    values::parse_domain(&text).map_err(|why| {
        Mistake::new(
            format!("`{}` {why}", clip(&text)),
            "write a full host name, as in \"relay.example.pe\"",
        )
    })
}

/// A host name, or an address.
pub(crate) fn host(value: Value<'_>) -> Result<String, Mistake> {
    let text = string(value)?;
    if text.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
        return Ok(text.trim_matches(['[', ']']).to_owned());
    }
    host_name(value)
}

pub(crate) fn pattern(value: Value<'_>) -> Result<AddressPattern, Mistake> {
    let text = string(value)?;
    AddressPattern::parse(&text).map_err(|why| {
        let message = format!("`{}` {why}", clip(&text));
        Mistake::new(
            message,
            "write \"*@example.pe\", \"*@*.example.pe\", \"ana@example.pe\" or \"*\"",
        )
    })
}

/// A domain, or all below it; `mend` says what may be written.
pub(crate) fn domain_pattern(value: Value<'_>, mend: &str) -> Result<DomainPattern, Mistake> {
    let text = string(value)?;
    DomainPattern::parse(&text)
        .map_err(|why| Mistake::new(format!("`{}` {why}", clip(&text)), mend))
}

/// `name@domain`.
pub(crate) fn mailbox(value: Value<'_>) -> Result<String, Mistake> {
    let text = string(value)?;
    let valid = text.rsplit_once('@').is_some_and(|(local, domain)| {
        values::is_dot_atom(local) && values::parse_domain(domain).is_ok()
    });
    if valid {
        return Ok(text);
    }
    let message = format!("`{}` is no mail address", clip(&text));
    Err(Mistake::new(message, "write for example \"postmaster@example.pe\""))
}

/// A name that can stand in logs, metrics and commands.
pub(crate) fn name(value: Value<'_>) -> Result<String, Mistake> {
    let text = string(value)?;
    let fits = !text.is_empty()
        && text.len() <= NAME_OCTETS_MAX
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-@+".contains(&b));
    if fits {
        return Ok(text);
    }
    let message = format!("`{}` is no usable name", clip(&text));
    Err(Mistake::new(message, "use at most 64 letters, digits and . _ - @ +"))
}

/// A DKIM selector: labels of the DNS (RFC 6376 section 3.1), lower case.
pub(crate) fn selector(value: Value<'_>) -> Result<String, Mistake> {
    let text = string(value)?;
    values::parse_selector(&text).map_err(|why| {
        let message = format!("`{}` {why}", clip(&text));
        Mistake::new(message, "write letters, digits and -, as in \"s2026a\"")
    })
}

/// A PHC string of argon2id.
pub(crate) fn password_hash(value: Value<'_>) -> Result<String, Mistake> {
    let text = string(value)?;
    let mend = "run `tambo password` and paste what it prints";
    if !text.starts_with("$argon2id$v=19$m=") {
        // The value may be somebody's password in clear: it is not repeated here.
        return Err(Mistake::new(
            "is no argon2id hash (passwords are never stored in clear)",
            mend,
        ));
    }
    let parts: Vec<&str> = text.split('$').collect();
    if parts.len() != 6 || parts.get(4..).is_none_or(|rest| rest.iter().any(|p| p.len() < 10)) {
        return Err(Mistake::new("is an argon2id hash that was cut off", mend));
    }
    Ok(text)
}

/// A list, each item read by `parse`; one mistake stops it, at its item.
pub(crate) fn list<T>(
    parse: impl Fn(Value<'_>) -> Result<T, Mistake>,
) -> impl Fn(Value<'_>) -> Result<Vec<T>, Mistake> {
    move |value| {
        let DeValue::Array(items) = value.get_ref() else {
            return Err(Mistake::new("a list is expected", "put the value between [ and ]"));
        };
        items.iter().map(|item| parse(item).map_err(|mistake| mistake.at(item.span()))).collect()
    }
}

/// A list that is not empty.
pub(crate) fn some<T>(
    parse: impl Fn(Value<'_>) -> Result<T, Mistake>,
) -> impl Fn(Value<'_>) -> Result<Vec<T>, Mistake> {
    let list = list(parse);
    move |value| {
        let items = list(value)?;
        if items.is_empty() {
            return Err(Mistake::new("is empty", "write at least one value"));
        }
        Ok(items)
    }
}

/// A value that keeps its place.
pub(crate) fn located<T>(
    parse: impl Fn(Value<'_>) -> Result<T, Mistake>,
) -> impl Fn(Value<'_>) -> Result<Located<T>, Mistake> {
    move |value| parse(value).map(|parsed| Located { value: parsed, span: value.span() })
}

/// One of a few words.
pub(crate) fn one_of<T: Copy>(
    words: &'static [(&'static str, T)],
) -> impl Fn(Value<'_>) -> Result<T, Mistake> {
    move |value| {
        let known =
            words.iter().map(|(word, _)| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
        let text = string(value)
            .map_err(|mistake| Mistake { mend: format!("write one of {known}"), ..mistake })?;
        words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning).ok_or_else(|| {
            Mistake::new(
                format!("`{}` is not known here", clip(&text)),
                format!("write one of {known}"),
            )
        })
    }
}

fn expected(what: &str, found: &DeValue<'_>) -> Mistake {
    let message = format!("{what} is expected, this is {} {}", article(found), found.type_str());
    Mistake::new(message, format!("write {what}"))
}

fn article(value: &DeValue<'_>) -> &'static str {
    if value.is_integer() || value.is_array() { "an" } else { "a" }
}

/// A quoted value, short and without control characters.
pub(crate) fn clip(text: &str) -> String {
    let mut clipped: String =
        text.chars().take(60).map(|c| if c.is_control() { '?' } else { c }).collect();
    if text.chars().count() > 60 {
        clipped.push('…');
    }
    clipped
}
