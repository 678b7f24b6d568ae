//! What a `[[provider]]` of the configuration may hold, and how its hosts are written.

use std::ops::Range;
use std::sync::Arc;

use crate::fields::{Fields, Located, Value};
use crate::origin::Setting;
use crate::parse::{clip, domain_pattern, located, name, some, string};
use crate::problem::Mistake;
use crate::sections::{Reference, reference};
use crate::values::DomainPattern;

use super::builtin::builtin;
use super::limits::{self, WrittenLimits};

/// Patterns of hosts or domains in one table: all are compared each time a domain is looked up.
const PATTERNS_MAX: usize = 200;

/// A `[[provider]]` as written.
#[derive(Debug)]
pub(crate) struct ProviderSection {
    pub name: Located<Arc<str>>,
    pub mx: Option<Setting<Vec<Located<DomainPattern>>>>,
    pub domains: Option<Setting<Vec<Located<DomainPattern>>>>,
    /// `mx` or `domains` is written, be it wrong.
    pub says_who: bool,
    pub pool: Option<Reference>,
    /// Limits of the template that was chosen, if any.
    pub template: WrittenLimits,
    pub limits: WrittenLimits,
    /// Where `[provider.limits]` stands, or else the table.
    pub place: Option<Range<usize>>,
}

/// Reads a `[[provider]]`.
pub(crate) fn provider(f: &mut Fields<'_>) -> Option<ProviderSection> {
    let name = f.required(
        "name",
        "\"google\"",
        "A built-in provider (see providers.md), of which only the keys given here change; or a new one, with `mx` or `domains`. It stands in events and metrics.",
        located(new_name),
    );
    let mx = f.setting(
        "mx",
        "[\"*.example.com\"]",
        "Hosts of the provider: `*.example.com`, `mx.example.com`. A domain is its when every MX host matches one. Those of a new provider are tried before the built-in ones; given for a built-in one they replace its own.",
        patterns(host_pattern),
    );
    let domains = f.setting(
        "domains",
        "[\"example.com\"]",
        "Domains of recipients that are the provider's whatever their MX: `example.com`, `*.example.com`. They are looked at before any host.",
        patterns(mail_domain_pattern),
    );
    let pool = f.optional(
        "pool",
        "\"bulk\"",
        "Only mail of this pool has these limits. `mx` and `domains` belong in a table without `pool`.",
        reference,
    );
    let template = f.setting(
        "template",
        "\"small-site\"",
        "Limits to begin with, in place of the built-in ones (see providers.md); those in `[provider.limits]` hold before them.",
        template,
    );
    let says_who = f.is_written("mx") || f.is_written("domains");
    let place = f.place("limits");
    let limits = f.table(
        "limits",
        "Limits of this provider. Those that are not written stay built-in, or else those of `[delivery.limits]`.",
        limits::providers,
    );
    let template = template.map_or_else(WrittenLimits::default, |chosen| {
        chosen.value.limits.chosen(&chosen.origin.by_template(&chosen.value.name))
    });
    let name = name?;
    let name = Located { value: name.value.into(), span: name.span };
    Some(ProviderSection { name, mx, domains, says_who, pool, template, limits, place })
}

/// `*.example.com` or `mx.example.com`.
pub(super) fn host_pattern(value: Value<'_>) -> Result<DomainPattern, Mistake> {
    narrow(value, "write for example \"*.example.com\" or \"mx.example.com\"")
}

/// `*.example.com` or `example.com`.
fn mail_domain_pattern(value: Value<'_>) -> Result<DomainPattern, Mistake> {
    narrow(value, "write for example \"example.com\" or \"*.example.com\"")
}

/// A pattern that does not take the world, or a good part of it.
fn narrow(value: Value<'_>, mend: &str) -> Result<DomainPattern, Mistake> {
    let written = string(value)?;
    if let Some(rest) = written.strip_prefix('.') {
        let message = format!("`{}` begins with a dot", clip(&written));
        return Err(Mistake::new(message, format!("write \"*.{}\"", clip(rest))));
    }
    match domain_pattern(value, mend)? {
        DomainPattern::Any => Err(Mistake::new(
            "`*` is every destination",
            "put the limits of everyone in [delivery.limits]",
        )),
        DomainPattern::Below(parent) if !parent.contains('.') => {
            let message = format!("`*.{parent}` is a whole top-level domain");
            Err(Mistake::new(message, mend))
        }
        pattern => Ok(pattern),
    }
}

fn patterns(
    parse: fn(Value<'_>) -> Result<DomainPattern, Mistake>,
) -> impl Fn(Value<'_>) -> Result<Vec<Located<DomainPattern>>, Mistake> {
    let list = some(located(parse));
    move |value| {
        let patterns = list(value)?;
        if patterns.len() > PATTERNS_MAX {
            let message = format!("there are {} patterns", patterns.len());
            return Err(Mistake::new(message, format!("write at most {PATTERNS_MAX}")));
        }
        Ok(patterns)
    }
}

fn new_name(value: Value<'_>) -> Result<String, Mistake> {
    let name = name(value)?;
    if name == "other" {
        let message = "`other` stands in metrics for whoever is no provider";
        return Err(Mistake::new(message, "give it another name"));
    }
    Ok(name)
}

fn template(value: Value<'_>) -> Result<&'static super::builtin::Template, Mistake> {
    let name = string(value)?;
    builtin().templates.iter().find(|template| *template.name == *name).ok_or_else(|| {
        let known: Vec<String> =
            builtin().templates.iter().map(|known| format!("\"{}\"", known.name)).collect();
        let message = format!("there is no template `{}`", clip(&name));
        Mistake::new(message, format!("write one of: {}", known.join(", ")))
    })
}
