//! Which changes of the configuration a running relay can't take, and how reloads ended.

use std::sync::LazyLock;

use prometheus::{IntCounter, IntGauge};
use relay_config::Config;
use relay_config::config::Listener;

use crate::metrics::{self, Label, Labelled, Topic};

static RELOADS: LazyLock<Labelled<IntCounter>> = LazyLock::new(|| {
    let help = "Times that the configuration was read again (SIGHUP)";
    let results = [
        ("done", "it holds from then on"),
        ("refused", "it is wrong: the one before stays in force, and a restart would fail"),
    ];
    let result = Label::known("result", &results);
    metrics::counters(Topic::Process, "tambo_reloads_total", help, vec![result])
});
static LAST_REFUSED: LazyLock<IntGauge> = LazyLock::new(|| {
    let help = "1 when the configuration was refused the last time that it was read";
    metrics::gauge(Topic::Process, "tambo_configuration_refused", help)
});

/// Makes the metrics of this file known.
pub(crate) fn declare_metrics() {
    metrics::declare(&[&RELOADS, &LAST_REFUSED]);
}

/// The configuration was read again.
pub fn reloaded(done: bool) {
    RELOADS.count(&[if done { "done" } else { "refused" }]);
    metrics::set(&LAST_REFUSED, u8::from(!done));
}

/// What of `new` waits for a restart, each in words for the operator. `old` is the configuration
/// that the relay was started with.
pub fn waits_for_restart(old: &Config, new: &Config) -> Vec<String> {
    let mut waits = Vec::new();
    let mut check = |key: &str, differs: bool| {
        if differs {
            waits.push(format!("`{key}` has changed"));
        }
    };
    check("server.data_dir", old.server.data_dir != new.server.data_dir);
    check("server.min_free_space", old.server.min_free_space != new.server.min_free_space);
    let bodies =
        |config: &Config| (config.server.bodies_in_flight_max, config.server.body_cache_max);
    check("server.bodies_in_flight_max or server.body_cache_max", bodies(old) != bodies(new));
    check("limits.connections", old.limits.connections != new.limits.connections);
    let passwords =
        |config: &Config| (config.limits.password_queue, config.limits.password_failures);
    check("limits.password_queue or limits.password_failures", passwords(old) != passwords(new));
    check("[dns]", old.dns != new.dns);
    check("[admin]", old.admin != new.admin);
    check("[metrics]", old.metrics != new.metrics);
    check("[events]", old.events != new.events);
    check("[log]", old.log != new.log);
    let named = |config: &Config, name: &str| -> Option<Listener> {
        config.listeners.iter().find(|known| *known.name == *name).map(|known| (**known).clone())
    };
    for listener in &new.listeners {
        match named(old, &listener.name) {
            None => waits.push(format!("the listener \"{}\" is new", listener.name)),
            Some(known) if known.bind != listener.bind => {
                waits.push(format!("`bind` of the listener \"{}\" has changed", listener.name));
            }
            Some(_) => {}
        }
    }
    for listener in old.listeners.iter().filter(|known| named(new, &known.name).is_none()) {
        waits.push(format!(
            "the listener \"{}\" is gone, and goes on as it was until then",
            listener.name
        ));
    }
    waits
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "[server]\nhostname = \"r.x.pe\"\n\
        [[listener]]\nname = \"a\"\nbind = [\"127.0.0.1:25\"]\ntls = \"off\"\nrelay_from = [\"10.0.0.0/8\"]\n";

    fn waits(change: (&str, &str)) -> Vec<String> {
        let load = |text: &str| relay_config::load(text, "t").unwrap().config;
        assert!(change.0.is_empty() || TEXT.contains(change.0), "{change:?}");
        let new = if change.0.is_empty() {
            format!("{TEXT}{}", change.1)
        } else {
            TEXT.replace(change.0, change.1)
        };
        waits_for_restart(&load(TEXT), &load(&new))
    }

    #[test]
    fn what_waits_and_what_does_not() {
        assert!(waits(("", "")).is_empty());
        assert!(waits(("10.0.0.0/8", "10.1.0.0/16")).is_empty());
        assert!(waits(("r.x.pe", "s.x.pe")).is_empty());
        assert!(
            waits(("", "[[account]]\nname = \"x\"\nnetworks = [\"10.2.0.0/16\"]\n")).is_empty()
        );
        assert_eq!(
            waits(("127.0.0.1:25", "127.0.0.1:26")),
            ["`bind` of the listener \"a\" has changed"]
        );
        assert_eq!(
            waits(("name = \"a\"", "name = \"b\"")),
            [
                "the listener \"b\" is new",
                "the listener \"a\" is gone, and goes on as it was until then"
            ]
        );
        assert_eq!(waits(("", "[log]\nlevel = \"debug\"\n")), ["`[log]` has changed"]);
        assert_eq!(
            waits(("hostname", "data_dir = \"/x\"\nhostname")),
            ["`server.data_dir` has changed"]
        );
    }
}
