//! `tambo config show`: what destinations may be asked to take, and who decided each value.
//!
//! It reads the file alone: no relay need run, nothing is looked up in DNS. Without `--mx` a domain's
//! provider is known only where `domains` of a `[[provider]]` names it. What a running relay has learned to be
//! less than this, `tambo sources show` tells.

use std::path::Path;

use clap::{Args, Subcommand};
use relay_config::config::SiteLimits;
use relay_config::providers::{LimitRow, LimitValue, Provider};
use relay_config::values::{DomainPattern, parse_domain};
use relay_config::{Config, Origin, Setting};
use serde::Serialize;

use crate::admin::{Reloaded, SettingRow};

use super::client::{call, query, rows};
use super::{load, print_json, print_line, print_table};

/// What is done with the configuration.
#[derive(Debug, Args)]
pub(super) struct ConfigArguments {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Limits of destinations and the warm-up of a pool there, with where each was decided.
    ///
    /// A value is `default` (of everyone), `built-in` (Tambo's table of providers), of a template, or written at a
    /// line of the file. Servers teach a running relay to send less for a while: that is shown by
    /// `tambo sources show SOURCE`, beside what is configured.
    Show(ShowArguments),
    /// Every key that a running relay goes by, with its value and where that was decided.
    Settings {
        /// Only of this table, as in `delivery` or `account`.
        #[arg(long)]
        section: Option<String>,
        /// Only what the file says: no defaults.
        #[arg(long)]
        written: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Have a running relay read its file again, as SIGHUP does.
    Reload {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Whose limits; without any: everyone's, and what differs for each provider.
#[derive(Debug, Args)]
struct ShowArguments {
    /// Of this provider.
    #[arg(long, conflicts_with_all = ["domain", "mx"])]
    provider: Option<String>,
    /// Of who takes mail for this domain.
    #[arg(long)]
    domain: Option<String>,
    /// The domain's MX hosts, once for each: they tell the provider.
    #[arg(long, value_name = "HOST", requires = "domain")]
    mx: Vec<String>,
    /// For mail of this pool instead of the default one.
    #[arg(long)]
    pool: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// A provider, or everyone else, as JSON.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    /// `None`: everyone else.
    provider: Option<&'a str>,
    title: Option<&'a str>,
    pool: &'a str,
    mx: Option<Decided<Vec<String>>>,
    domains: Option<Decided<Vec<String>>>,
    limits: serde_json::Map<String, serde_json::Value>,
    /// `None`: the pool does not warm its sources up.
    warm_up: Option<ShownWarmUp<'a>>,
}

/// How a cold source of the pool begins there.
#[derive(Debug, Serialize)]
struct ShownWarmUp<'a> {
    schedule: &'a str,
    /// Recipients of one source in a day, one number for each day that counts.
    caps: &'a [u32],
}

/// A value and who decided it.
#[derive(Debug, Serialize)]
struct Decided<T> {
    value: T,
    from: String,
}

pub(super) fn config(path: &Path, arguments: &ConfigArguments) -> Result<(), String> {
    match &arguments.command {
        ConfigCommand::Show(arguments) => show(path, arguments),
        ConfigCommand::Settings { section, written, json } => {
            settings(path, section.as_deref(), *written, *json)
        }
        ConfigCommand::Reload { json } => reload(path, *json),
    }
}

fn settings(path: &Path, section: Option<&str>, written: bool, json: bool) -> Result<(), String> {
    let target = format!("/api/v1/settings{}", query(&[("section", section)]));
    let mut rows: Vec<SettingRow> = rows(path, &target)?;
    rows.retain(|row| !written || row.origin != "default");
    if json {
        return print_json(&rows);
    }
    let cells = |row: &SettingRow| {
        let section = match row.number {
            1 => row.section.clone(),
            number => format!("{} ({number})", row.section),
        };
        let value = row.value.clone().unwrap_or_else(|| "-".to_owned());
        vec![section, row.key.clone(), value, row.origin.clone()]
    };
    print_table(
        &["TABLE", "KEY", "VALUE", "DECIDED AT"],
        &rows.iter().map(cells).collect::<Vec<_>>(),
    );
    Ok(())
}

fn reload(path: &Path, json: bool) -> Result<(), String> {
    let done: Reloaded = call(path, "/api/v1/settings/reload", Some(&serde_json::Value::Null))?;
    if json {
        return print_json(&done);
    }
    print_line("The relay goes by the configuration as it is now.");
    for warning in &done.warnings {
        print_line(&format!("warning: {warning}"));
    }
    for change in &done.waits_for_restart {
        print_line(&format!("{change}: that waits for a restart"));
    }
    Ok(())
}

fn show(path: &Path, arguments: &ShowArguments) -> Result<(), String> {
    let config = load(path)?;
    let pool = pool(&config, arguments)?;
    let one = match (&arguments.provider, &arguments.domain) {
        (Some(name), _) => Some(Some(by_name(&config, name)?)),
        (None, Some(domain)) => Some(by_domain(&config, domain, &arguments.mx)?),
        (None, None) => None,
    };
    match one {
        Some(provider) if arguments.json => print_json(&shown(&config, provider, pool)),
        Some(provider) => {
            if let (None, Some(domain), true) =
                (provider, &arguments.domain, arguments.mx.is_empty())
            {
                print_line(&format!(
                    "no [[provider]] names {domain}: its MX hosts decide. Give them with --mx, or ask \
                     the running relay: tambo explain postmaster@{domain}. Else this holds:\n"
                ));
            }
            print_one(&config, provider, pool);
            print_line("\nWhat servers have taught the running relay: tambo sources show SOURCE");
            Ok(())
        }
        None if arguments.json => {
            let providers = config.providers.iter().map(|provider| Some(&**provider));
            let all: Vec<Shown<'_>> = std::iter::once(None)
                .chain(providers)
                .map(|provider| shown(&config, provider, pool))
                .collect();
            print_json(&all)
        }
        None => {
            print_all(&config, pool);
            Ok(())
        }
    }
}

fn pool<'a>(config: &'a Config, arguments: &'a ShowArguments) -> Result<&'a str, String> {
    let Some(name) = &arguments.pool else { return Ok(&config.delivery.pool) };
    if config.pools.iter().any(|pool| *pool.name == **name) {
        return Ok(name);
    }
    let names: Vec<&str> = config.pools.iter().map(|pool| &*pool.name).collect();
    Err(format!("there is no pool of that name; write one of: {}", names.join(", ")))
}

fn by_name<'a>(config: &'a Config, name: &str) -> Result<&'a Provider, String> {
    config.providers.get(name).map(|provider| &**provider).ok_or_else(|| {
        let names: Vec<&str> = config.providers.iter().map(|provider| &*provider.name).collect();
        format!("there is no provider of that name; write one of: {}", names.join(", "))
    })
}

fn by_domain<'a>(
    config: &'a Config,
    domain: &str,
    mx: &[String],
) -> Result<Option<&'a Provider>, String> {
    let name = |text: &str| {
        parse_domain(text.trim_end_matches('.')).map_err(|why| format!("the domain or host {why}"))
    };
    let hosts = mx.iter().map(|host| name(host)).collect::<Result<Vec<String>, String>>()?;
    let found = config.providers.of_hosts(&name(domain)?, &hosts);
    Ok(found.map(|provider| &**provider))
}

fn limits<'a>(config: &'a Config, provider: Option<&'a Provider>, pool: &str) -> &'a SiteLimits {
    provider.map_or_else(|| config.providers.limits(None, pool), |it| it.limits(pool))
}

fn print_one(config: &Config, provider: Option<&Provider>, pool: &str) {
    print_head(provider);
    let rows: Vec<Vec<String>> = limits(config, provider, pool).rows().iter().map(cells).collect();
    print_table(&["LIMIT", "VALUE", "FROM"], &rows);
    if provider.is_some_and(|it| it.pools().any(|(name, _)| **name == *pool)) {
        print_line(&format!("\nfor mail of the pool {pool}"));
    }
    if let Some(ShownWarmUp { schedule, caps }) = warm_up(config, provider, pool) {
        let (first, last) = (caps.first().unwrap_or(&0), caps.last().unwrap_or(&0));
        print_line(&format!(
            "\na cold source of the pool {pool} sends {first} a day there at first, and {last} on day {} ({schedule})",
            caps.len()
        ));
    }
}

fn warm_up<'a>(
    config: &'a Config,
    provider: Option<&Provider>,
    pool: &str,
) -> Option<ShownWarmUp<'a>> {
    let pool = config.pools.iter().find(|known| *known.name == *pool)?;
    let schedule = pool.warm_up.as_ref()?;
    let caps = schedule.caps_at(provider.map(|provider| &*provider.name));
    Some(ShownWarmUp { schedule: &schedule.name, caps })
}

fn print_all(config: &Config, pool: &str) {
    print_one(config, None, pool);
    let everyone = config.providers.limits(None, pool);
    for provider in config.providers.iter() {
        print_line("");
        print_head(Some(provider));
        let rows: Vec<Vec<String>> = provider
            .limits(pool)
            .rows()
            .iter()
            .zip(everyone.rows())
            .filter(|(own, everyones)| *own != everyones)
            .map(|(own, _)| cells(own))
            .collect();
        if rows.is_empty() {
            print_line("limits of everyone");
        } else {
            print_table(&["LIMIT", "VALUE", "FROM"], &rows);
        }
    }
}

fn print_head(provider: Option<&Provider>) {
    let Some(provider) = provider else {
        print_line("everyone who is no known provider");
        return;
    };
    let title = provider.title.as_ref().map_or_else(String::new, |title| format!(" ({title})"));
    print_line(&format!("{}{title}", provider.name));
    for (key, patterns) in [("mx", &provider.mx), ("domains", &provider.domains)] {
        if let Some(patterns) = patterns {
            let Decided { value, from } = decided(patterns);
            print_line(&format!("{key} {}  ({from})", value.join(" ")));
        }
    }
}

fn cells(row: &LimitRow<'_>) -> Vec<String> {
    vec![row.name.to_owned(), row.value.to_string(), row.origin.to_string()]
}

fn shown<'a>(config: &'a Config, provider: Option<&'a Provider>, pool: &'a str) -> Shown<'a> {
    let limit = |row: &LimitRow<'_>| {
        let value = match row.value {
            LimitValue::Count(count) => count.into(),
            LimitValue::Rate(rate) => rate.to_string().into(),
            LimitValue::None => serde_json::Value::Null,
        };
        (row.name.to_owned(), serde_json::json!({ "value": value, "from": from(row.origin) }))
    };
    Shown {
        provider: provider.map(|provider| &*provider.name),
        title: provider.and_then(|provider| provider.title.as_deref()),
        pool,
        mx: provider.and_then(|provider| provider.mx.as_ref()).map(decided),
        domains: provider.and_then(|provider| provider.domains.as_ref()).map(decided),
        limits: limits(config, provider, pool).rows().iter().map(limit).collect(),
        warm_up: warm_up(config, provider, pool),
    }
}

fn decided(patterns: &Setting<Vec<DomainPattern>>) -> Decided<Vec<String>> {
    let value = patterns.value.iter().map(ToString::to_string).collect();
    Decided { value, from: from(&patterns.origin) }
}

fn from(origin: &Origin) -> String {
    origin.to_string()
}
