//! Compares the parts of a file with each other and makes the [`Config`] of them.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::Range;
use std::sync::Arc;

use crate::blocklists;
use crate::config::{Config, DkimKey, ListenerTls, Place, Pool, Source, WarmUpSchedule};
use crate::fields::{Located, Reader};
use crate::open_relay;
use crate::problem::Mistake;
use crate::providers;
use crate::responses::{Classifier, Rule, is_builtin};
use crate::routes::Routes;
use crate::sections::{DkimSection, ListenerSection, PoolSection, Reference, Sections};
use crate::warm_up;
use crate::webhooks;

/// The name of the source and of the pool that are made when none is written.
const DEFAULT_NAME: &str = "default";
/// Rules of the operator: each makes the automaton of all rules larger.
const RESPONSES_MAX: usize = 200;

/// Keys that sign one message: receivers look at few signatures, and each costs time.
const DKIM_KEYS_OF_DOMAIN_MAX: usize = 4;

/// Everything in its place, or problems in the reader.
///
/// `place` finds a place of the file.
pub(crate) fn resolve(
    mut sections: Sections,
    reader: &mut Reader,
    place: impl Fn(Range<usize>) -> Place,
) -> Option<Config> {
    let server = sections.server.take()?;
    check_there_is_a_listener(&sections.listeners, reader);
    let has_tls = sections.tls.is_some();
    let has_passwords = sections.accounts.iter().any(|a| a.value.account.password_hash.is_some());
    for listener in &sections.listeners {
        check_listener(listener, has_tls, has_passwords, reader);
    }
    check_names(&sections, reader);
    if let Some(span) = sections.admin.tls.take().filter(|_| !has_tls) {
        let mend = "add [tls] with `certificate` and `private_key`";
        let mistake = Mistake::new("TLS is asked for and there is no certificate", mend);
        reader.problem(span, "admin.tls", mistake);
    }
    let responses = responses(sections.responses, reader);
    check_binds(&sections.listeners, sections.admin.admin.bind, reader);
    let dkim = dkim(sections.dkim, reader, &place);
    let blocklists = blocklists::resolve(sections.blocklists, reader, &place);
    let is_account =
        |name: &str| sections.accounts.iter().any(|it| *it.value.account.name == *name);
    let webhooks =
        webhooks::resolve(sections.webhooks, reader, place, is_account, sections.events.keep);
    let sources = sources(sections.sources, &server.hostname);
    let schedules = warm_up::resolve(&sections.warm_up, &sections.pools, reader);
    let pools = pools(sections.pools, &sources, &schedules, reader);
    let first_pool =
        pools.first().map_or_else(|| Arc::from(DEFAULT_NAME), |pool| Arc::clone(&pool.name));
    let providers =
        providers::resolve(sections.providers, &sections.delivery.delivery.limits, &pools, reader);
    warm_up::check_providers(&sections.warm_up, &providers, reader);
    let mut known =
        |key: &str, name: Option<Reference>| Some(known_pool(key, name?, &pools, reader));
    let mut delivery = sections.delivery.delivery;
    delivery.pool = known("delivery.pool", sections.delivery.pool).unwrap_or(first_pool);
    let listeners = sections.listeners.into_iter().map(|listener| {
        let mut resolved = listener.value.listener;
        resolved.pool = known("listener.pool", listener.value.pool);
        Arc::new(resolved)
    });
    let listeners = listeners.collect();
    let accounts = sections.accounts.into_iter().map(|account| {
        let mut resolved = account.value.account;
        resolved.pool = known("account.pool", account.value.pool);
        Arc::new(resolved)
    });
    let accounts = accounts.collect();
    Some(Config {
        server,
        tls: sections.tls,
        listeners,
        accounts,
        sources,
        pools,
        swap: sections.swap,
        suppression: sections.suppression,
        delivery,
        routes: Routes::new(sections.routes.into_iter().map(|route| Arc::new(route.value))),
        responses,
        providers,
        limits: sections.limits,
        dns: sections.dns,
        admin: sections.admin.admin,
        metrics: sections.metrics,
        reports: sections.reports,
        events: sections.events,
        log: sections.log,
        dkim,
        blocklists,
        in_force: Arc::default(),
        webhooks,
    })
}

/// The name of a pool that must be there.
pub(crate) fn known_pool(
    key: &str,
    name: Reference,
    pools: &[Arc<Pool>],
    reader: &mut Reader,
) -> Arc<str> {
    if !pools.iter().any(|pool| pool.name == name.value) {
        let names: Vec<&str> = pools.iter().map(|pool| &*pool.name).collect();
        let mend = format!("write one of: {}", names.join(", "));
        let mistake = Mistake::new(format!("there is no pool `{}`", name.value), mend);
        reader.problem(name.span, key, mistake);
    }
    name.value
}

fn check_names(sections: &Sections, reader: &mut Reader) {
    unique(
        reader,
        "listener.name",
        sections.listeners.iter().map(|l| (&l.value.listener.name, &l.span)),
    );
    unique(
        reader,
        "account.name",
        sections.accounts.iter().map(|a| (&a.value.account.name, &a.span)),
    );
    unique(reader, "source.name", sections.sources.iter().map(|s| (&s.value.name, &s.span)));
    unique(reader, "pool.name", sections.pools.iter().map(|p| (&p.value.name, &p.span)));
}

fn check_there_is_a_listener(listeners: &[Located<ListenerSection>], reader: &mut Reader) {
    if listeners.is_empty() && reader.problems.is_empty() {
        let mend = "add a [[listener]] with `name`, `bind` and `relay_from` or `auth = true`";
        reader.problem(
            0..0,
            "listener",
            Mistake::new("there is no listener: no mail can come in", mend),
        );
    }
}

fn check_listener(
    listener: &Located<ListenerSection>,
    has_tls: bool,
    has_passwords: bool,
    reader: &mut Reader,
) {
    let (section, span) = (&listener.value, &listener.span);
    let config = &section.listener;
    if config.tls != ListenerTls::Off && !has_tls {
        let mend = "add [tls] with `certificate` and `private_key`, or write `tls = \"off\"`";
        let message = format!("listener `{}` offers TLS and there is no certificate", config.name);
        reader.problem(span.clone(), "listener.tls", Mistake::new(message, mend));
    }
    if config.auth && config.tls == ListenerTls::Off {
        let mend = "write `tls = \"required\"`";
        let message = format!("listener `{}` would read passwords in clear", config.name);
        reader.problem(span.clone(), "listener.auth", Mistake::new(message, mend));
    }
    if config.auth && !has_passwords {
        let message = "offers AUTH, and no account has a password";
        reader.warn(
            span.clone(),
            "listener.auth",
            message,
            "add an [[account]] with `password_hash`",
        );
    }
    if !config.auth && config.relay_from.is_empty() {
        let mend = "add `relay_from = [\"10.20.0.0/16\"]` with your networks, or `auth = true`";
        let message = format!("listener `{}` relays for nobody", config.name);
        reader.problem(span.clone(), "listener.relay_from", Mistake::new(message, mend));
    }
    if open_relay::is_open(&config.proxy_from) {
        let mend = "list only the addresses of your load balancers";
        let message = format!(
            "listener `{}` would believe whatever address strangers claim: `proxy_from` covers more \
             public addresses than a /16",
            config.name
        );
        reader.problem(span.clone(), "listener.proxy_from", Mistake::new(message, mend));
    }
    // Behind a load balancer the world reaches a private address, too.
    let public = !config.proxy_from.is_empty()
        || config.bind.iter().any(|bind| open_relay::is_public_bind(bind.ip()));
    if public && !section.open_relay_meant && open_relay::is_open(&config.relay_from) {
        let mend = "list only your own networks; who is elsewhere uses AUTH. If strangers are kept away \
                    by other means, write `i_know_this_is_an_open_relay = true`";
        let message = format!(
            "listener `{}` would be an open relay: `relay_from` covers more public addresses than a /16",
            config.name
        );
        reader.problem(span.clone(), "listener.relay_from", Mistake::new(message, mend));
    }
}

fn unique<'a>(
    reader: &mut Reader,
    key: &str,
    names: impl Iterator<Item = (&'a Arc<str>, &'a Range<usize>)>,
) {
    let mut seen: HashSet<&str> = HashSet::new();
    for (name, span) in names {
        if !seen.insert(name) {
            let mistake =
                Mistake::new(format!("`{name}` is there twice"), "give each its own name");
            reader.problem(span.clone(), key, mistake);
        }
    }
}

fn check_binds(
    listeners: &[Located<ListenerSection>],
    admin: Option<std::net::SocketAddr>,
    reader: &mut Reader,
) {
    let mut seen = Vec::new();
    for bind in listeners.iter().flat_map(|listener| &listener.value.bind) {
        // Port 0 takes a free one each time.
        if bind.value.port() != 0 && (seen.contains(&bind.value) || admin == Some(bind.value)) {
            let mistake =
                Mistake::new(format!("{} is bound twice", bind.value), "remove one of the two");
            reader.problem(bind.span.clone(), "listener.bind", mistake);
        }
        seen.push(bind.value);
    }
}

fn dkim(
    written: Vec<Located<DkimSection>>,
    reader: &mut Reader,
    place: impl Fn(Range<usize>) -> Place,
) -> Vec<Arc<DkimKey>> {
    let mut keys: Vec<Arc<DkimKey>> = Vec::new();
    for key in written {
        let (DkimSection { domain, selector, private_key }, span) = (key.value, key.span);
        let place = place(private_key.span);
        let key = DkimKey { domain, selector, private_key: private_key.value, place };
        if keys.iter().any(|known| known.record_name() == key.record_name()) {
            let message = format!("`{}` is there twice", key.record_name());
            let mend = "give each key of a domain its own selector";
            reader.problem(span.clone(), "dkim.selector", Mistake::new(message, mend));
        }
        let of_domain = keys.iter().filter(|known| known.domain == key.domain).count();
        if of_domain == DKIM_KEYS_OF_DOMAIN_MAX {
            let message = format!("`{}` has more than {of_domain} keys", key.domain);
            let mend = "all of them sign each message: keep one RSA and one Ed25519 key, and remove those \
                        whose time is over";
            reader.problem(span, "dkim.domain", Mistake::new(message, mend));
        }
        keys.push(Arc::new(key));
    }
    keys
}

fn sources(written: Vec<Located<Source>>, hostname: &str) -> Vec<Arc<Source>> {
    if written.is_empty() {
        let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let helo = hostname.to_owned();
        return vec![Arc::new(Source::new(DEFAULT_NAME.into(), any, helo))];
    }
    written.into_iter().map(|source| Arc::new(source.value)).collect()
}

fn pools(
    written: Vec<Located<PoolSection>>,
    sources: &[Arc<Source>],
    schedules: &[Arc<WarmUpSchedule>],
    reader: &mut Reader,
) -> Vec<Arc<Pool>> {
    if written.is_empty() {
        let sources = sources.iter().map(|source| Arc::clone(&source.name)).collect();
        return vec![Arc::new(Pool::new(DEFAULT_NAME.into(), sources))];
    }
    let mut pools = Vec::new();
    for pool in written {
        let PoolSection { name, rotation, sources: active, standby, warm_up, send_window } =
            pool.value;
        let mut members: Vec<Arc<str>> = Vec::new();
        for reference in active.iter().chain(&standby) {
            if !sources.iter().any(|source| source.name == reference.value) {
                let names: Vec<&str> = sources.iter().map(|source| &*source.name).collect();
                let mend = format!("write one of: {}", names.join(", "));
                let mistake =
                    Mistake::new(format!("there is no source `{}`", reference.value), mend);
                reader.problem(reference.span.clone(), "pool.sources", mistake);
            }
            if members.contains(&reference.value) {
                let message = format!("source `{}` is in the pool twice", reference.value);
                reader.problem(
                    reference.span.clone(),
                    "pool.sources",
                    Mistake::new(message, "remove one of the two"),
                );
            }
            members.push(Arc::clone(&reference.value));
        }
        let names =
            |list: Vec<Reference>| list.into_iter().map(|reference| reference.value).collect();
        pools.push(Arc::new(Pool {
            name,
            sources: names(active),
            standby: names(standby),
            rotation,
            warm_up: warm_up::schedule_of(warm_up, schedules, reader),
            send_window,
        }));
    }
    pools
}

fn responses(written: Vec<Located<Rule>>, reader: &mut Reader) -> Arc<Classifier> {
    unique(reader, "response.id", written.iter().map(|rule| (&rule.value.id, &rule.span)));
    for rule in &written {
        if is_builtin(&rule.value.id) {
            let message = format!("`{}` is the name of a built-in rule", rule.value.id);
            let mistake = Mistake::new(message, "give yours another: it is tried before that one");
            reader.problem(rule.span.clone(), "response.id", mistake);
        }
    }
    let Some(first) = written.first().map(|rule| rule.span.clone()) else {
        return Classifier::builtin();
    };
    if let Some(beyond) = written.get(RESPONSES_MAX) {
        let message = format!("there are {} responses", written.len());
        let mend = format!("write at most {RESPONSES_MAX}: join patterns with |");
        reader.problem(beyond.span.clone(), "response", Mistake::new(message, mend));
        return Classifier::builtin();
    }
    let rules = written.into_iter().map(|rule| Arc::new(rule.value)).collect();
    Classifier::new(rules).unwrap_or_else(|_| {
        let mend = "write fewer or smaller repetitions, as in `.{0,20}`";
        let mistake = Mistake::new("the patterns together take too much memory", mend);
        reader.problem(first, "response", mistake);
        Classifier::builtin()
    })
}
