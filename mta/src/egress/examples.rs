//! Sources, pools, items and limits for the tests of this stage.

use std::sync::Arc;

use relay_config::config::{Pool, Rotation, Source};

use super::{Item, Settings};

/// A delivery.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Mail {
    pub(super) number: u32,
    pub(super) recipients: u32,
    pub(super) domain: Option<&'static str>,
    pub(super) campaign: &'static str,
    pub(super) same: Option<&'static str>,
    pub(super) refused: Option<&'static str>,
    pub(super) other: bool,
}

impl Mail {
    pub(super) fn new(number: u32) -> Self {
        Self { number, recipients: 1, domain: Some("x.pe"), campaign: "c", ..Self::default() }
    }
}

impl Item for Mail {
    fn recipients(&self) -> u32 {
        self.recipients
    }

    fn sending_domain(&self) -> Option<&str> {
        self.domain
    }

    fn campaign(&self) -> &str {
        self.campaign
    }

    fn same_source(&self) -> Option<&str> {
        self.same
    }

    fn refused_source(&self) -> Option<&str> {
        self.refused
    }

    fn other_source(&self) -> bool {
        self.other
    }
}

pub(super) fn source(name: impl AsRef<str>) -> Arc<Source> {
    let address = "127.0.0.1".parse().unwrap();
    Arc::new(Source::new(name.as_ref().into(), address, "m".to_owned()))
}

pub(super) fn pool_of(name: &str, sources: &[impl AsRef<str>], rotation: Rotation) -> Pool {
    let sources = sources.iter().map(|name| name.as_ref().into()).collect();
    Pool { rotation, ..Pool::new(name.into(), sources) }
}

/// Settings whose limits for everyone are these lines of `[delivery.limits]`, with more of the file after them.
pub(super) fn settings(limits: &str, connections_max: usize) -> Settings {
    let text = format!(
        "[server]\nhostname = \"r.x.pe\"\n[[listener]]\nname = \"s\"\nbind = [\"127.0.0.1:0\"]\ntls = \"off\"\n\
         relay_from = [\"10.0.0.0/8\"]\n[delivery.limits]\n{limits}"
    );
    let config = relay_config::load(&text, "t").unwrap().config;
    Settings { providers: config.providers, connections_max, swap: config.swap }
}
