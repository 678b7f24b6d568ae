//! Lays the `[[provider]]` tables of the configuration over the built-in ones.

use std::ops::Range;
use std::sync::Arc;

use crate::config::Pool;
use crate::fields::{Located, Reader};
use crate::origin::Setting;
use crate::problem::Mistake;
use crate::resolve::known_pool;
use crate::values::DomainPattern;

use super::builtin::{Row, builtin};
use super::keys::ProviderSection;
use super::limits::SiteLimits;
use super::{Provider, Providers};

/// Tables of the operator. Names are labels of metrics, and all are tried for each domain that is
/// looked up.
const TABLES_MAX: usize = 100;

/// Patterns that keep their place in the file.
type Patterns = Option<Setting<Vec<Located<DomainPattern>>>>;

/// The providers of the operator that are new, in the order written, then the built-in ones, each
/// as it was changed. Mistakes go to the reader.
pub(crate) fn resolve(
    written: Vec<Located<ProviderSection>>,
    everyone: &SiteLimits,
    pools: &[Arc<Pool>],
    reader: &mut Reader,
) -> Providers {
    if let Some(beyond) = written.get(TABLES_MAX) {
        let message = format!("there are {} providers", written.len());
        let mend = format!("write at most {TABLES_MAX}");
        reader.problem(beyond.span.clone(), "provider", Mistake::new(message, mend));
    }
    check_once(&written, reader);
    let (of_pools, common): (Vec<_>, Vec<_>) =
        written.into_iter().partition(|table| table.value.pool.is_some());
    check_overlaps(&common, reader);
    let mut providers: Vec<Provider> =
        builtin().providers.iter().map(|row| as_built(row, everyone)).collect();
    let mut added = Vec::new();
    // Named by a table that was refused: who builds upon it is not told again.
    let mut refused: Vec<Arc<str>> = Vec::new();
    for Located { value: table, span } in common {
        let known = providers.iter_mut().find(|provider| provider.name == table.name.value);
        match known {
            Some(provider) => change(provider, table, span, reader),
            None if table.mx.is_none() && table.domains.is_none() => {
                if !table.says_who {
                    let mistake = nobody(&table.name.value);
                    reader.problem(table.name.span, "provider.name", mistake);
                }
                refused.push(table.name.value);
            }
            None => added.push(new(table, span, everyone, reader)),
        }
    }
    warn_of_hidden(&added, &providers, reader);
    let mut providers: Vec<Provider> =
        added.into_iter().map(|(provider, _)| provider).chain(providers).collect();
    for Located { value: table, span } in of_pools {
        let known = providers.iter_mut().find(|provider| provider.name == table.name.value);
        match known {
            Some(provider) => change_for_pool(provider, table, span, pools, reader),
            None if refused.contains(&table.name.value) => {}
            None => {
                reader.problem(table.name.span, "provider.name", nobody(&table.name.value));
            }
        }
    }
    Providers {
        list: providers.into_iter().map(Arc::new).collect(),
        everyone: Arc::new(everyone.clone()),
    }
}

/// The built-in providers alone, as in a configuration that says nothing of them.
#[cfg(test)]
pub(super) fn unchanged(everyone: &SiteLimits) -> Providers {
    resolve(Vec::new(), everyone, &[], &mut Reader::default())
}

fn as_built(row: &Row, everyone: &SiteLimits) -> Provider {
    Provider {
        name: Arc::clone(&row.name),
        title: Some(row.title.clone()),
        mx: Some(row.mx.clone()),
        domains: None,
        limits: row.limits.over(everyone),
        pools: Vec::new(),
    }
}

fn change(
    provider: &mut Provider,
    table: ProviderSection,
    span: Range<usize>,
    reader: &mut Reader,
) {
    provider.limits = table.limits.over(&table.template.over(&provider.limits));
    warn_of_totals(&provider.limits, table.place.unwrap_or(span), reader);
    if table.mx.is_some() {
        provider.mx = without_places(table.mx);
    }
    if table.domains.is_some() {
        provider.domains = without_places(table.domains);
    }
}

/// A provider of the operator, and where it stands.
fn new(
    table: ProviderSection,
    span: Range<usize>,
    everyone: &SiteLimits,
    reader: &mut Reader,
) -> (Provider, Range<usize>) {
    let limits = table.limits.over(&table.template.over(everyone));
    warn_of_totals(&limits, table.place.unwrap_or(span), reader);
    let provider = Provider {
        name: table.name.value,
        title: None,
        mx: without_places(table.mx),
        domains: without_places(table.domains),
        limits,
        pools: Vec::new(),
    };
    (provider, table.name.span)
}

fn change_for_pool(
    provider: &mut Provider,
    table: ProviderSection,
    span: Range<usize>,
    pools: &[Arc<Pool>],
    reader: &mut Reader,
) {
    let lists = [("mx", table.mx.as_ref()), ("domains", table.domains.as_ref())];
    for (key, patterns) in lists {
        let first = patterns.and_then(|patterns| patterns.value.first());
        if let Some(first) = first {
            let message = "who is a provider does not depend on the pool";
            let mend = format!("write `{key}` in a [[provider]] without `pool`");
            let mistake = Mistake::new(message, mend);
            reader.problem(first.span.clone(), format!("provider.{key}"), mistake);
        }
    }
    let Some(pool) = table.pool else { return };
    let pool = known_pool("provider.pool", pool, pools, reader);
    let limits = table.limits.over(&table.template.over(&provider.limits));
    warn_of_totals(&limits, table.place.unwrap_or(span), reader);
    provider.pools.push((pool, limits));
}

fn without_places(patterns: Patterns) -> Option<Setting<Vec<DomainPattern>>> {
    let Setting { value, origin } = patterns?;
    Some(Setting { value: value.into_iter().map(|pattern| pattern.value).collect(), origin })
}

fn nobody(name: &str) -> Mistake {
    let known: Vec<&str> = builtin().providers.iter().map(|row| &*row.name).collect();
    let mend = format!(
        "add `mx = [\"*.example.com\"]` or `domains = [\"example.com\"]`, or write one of: {}",
        known.join(", ")
    );
    Mistake::new(format!("nothing says which destinations are `{name}`"), mend)
}

fn check_once(written: &[Located<ProviderSection>], reader: &mut Reader) {
    for (at, table) in written.iter().enumerate() {
        let key = |table: &ProviderSection| {
            (table.name.value.clone(), table.pool.as_ref().map(|pool| pool.value.clone()))
        };
        if written.iter().take(at).any(|before| key(&before.value) == key(&table.value)) {
            let name = &table.value.name;
            let message = match &table.value.pool {
                Some(pool) => format!("`{}` is there twice for pool `{}`", name.value, pool.value),
                None => format!("`{}` is there twice", name.value),
            };
            let mistake = Mistake::new(message, "write all of it in one table");
            reader.problem(name.span.clone(), "provider.name", mistake);
        }
    }
}

/// What can never be found because an earlier table takes it: a domain, or the hosts of a table
/// altogether. (One pattern of hosts may well stand in two: all hosts must match.)
fn check_overlaps(tables: &[Located<ProviderSection>], reader: &mut Reader) {
    for (at, Located { value: table, .. }) in tables.iter().enumerate() {
        let others = || tables.iter().take(at).map(|before| &before.value);
        let others = || others().filter(|before| before.name.value != table.name.value);
        for domain in each(&table.domains) {
            let taken = others().find(|before| covered(domain, &before.domains));
            if let Some(before) = taken {
                let mistake = taken_by(&before.name.value, &domain.value);
                reader.problem(domain.span.clone(), "provider.domains", mistake);
            }
        }
        // Those of built-in providers are tried after all that are new.
        let Some(first) = each(&table.mx).next() else { continue };
        let is_new = |name: &str| builtin().providers.iter().all(|row| &*row.name != name);
        let taken = others()
            .filter(|before| is_new(&before.name.value))
            .find(|before| each(&table.mx).all(|host| covered(host, &before.mx)));
        if let Some(before) = taken {
            let mistake = taken_by(&before.name.value, &first.value);
            reader.problem(first.span.clone(), "provider.mx", mistake);
        }
    }
}

fn each(patterns: &Patterns) -> impl Iterator<Item = &Located<DomainPattern>> {
    patterns.iter().flat_map(|patterns| &patterns.value)
}

fn covered(pattern: &Located<DomainPattern>, by: &Patterns) -> bool {
    each(by).any(|other| other.value.covers(&pattern.value))
}

fn taken_by(name: &str, pattern: &DomainPattern) -> Mistake {
    let message = format!("`{pattern}` is never found: `{name}`, which is tried before, takes it");
    Mistake::new(message, "write the narrower one first, or remove one of the two")
}

/// A new provider that takes all hosts of a built-in one leaves changes to that one without effect.
fn warn_of_hidden(added: &[(Provider, Range<usize>)], builtin: &[Provider], reader: &mut Reader) {
    let hosts = |provider: &Provider| provider.mx.as_ref().map(|mx| mx.value.clone());
    for (provider, span) in added {
        let Some(own) = hosts(provider) else { continue };
        for hidden in builtin.iter().filter(|hidden| hidden.domains.is_none()) {
            let theirs = hosts(hidden).unwrap_or_default();
            if theirs.iter().all(|theirs| own.iter().any(|own| own.covers(theirs))) {
                let message =
                    format!("takes every host of the built-in provider `{}`", hidden.name);
                let mend = format!("write `name = \"{}\"` to change that one", hidden.name);
                reader.warn(span.clone(), "provider.mx", &message, &mend);
            }
        }
    }
}

fn warn_of_totals(limits: &SiteLimits, place: Range<usize>, reader: &mut Reader) {
    let (path, total) = (limits.connections.value, limits.connections_total.value);
    if path > total {
        let message =
            format!("{path} connections of one source, and {total} of all: {total} is the limit");
        reader.warn(place, "provider.limits", &message, "write `connections_total`, too");
    }
}
