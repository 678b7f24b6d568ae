//! What is tried: a policy, and sources that are known or not, as a configuration.

use std::fmt::Write as _;

use relay_config::Config;

use crate::relay::{NAMES, SOURCES, STANDBYS, address};

/// How a pool is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Each source in turn, whatever was heard; only the limits hold.
    RoundRobin,
    /// What the relay does when nobody says otherwise, with warm-up.
    Adaptive,
}

impl Policy {
    /// What is compared.
    pub const ALL: [Self; 2] = [Self::RoundRobin, Self::Adaptive];

    /// For the table, and for the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RoundRobin => "round-robin",
            Self::Adaptive => "adaptive",
        }
    }
}

/// What is tried.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How the pool is used.
    pub policy: Policy,
    /// Active sources in it.
    pub sources: u8,
    /// Of these, so many have been known to the providers for long, and carried all the mail.
    pub known: u8,
    /// Connections to a site of nobody that is known, over all sources; `None`: as the relay has it.
    pub connections_total: Option<u32>,
}

impl Plan {
    /// A third of the sources is known: the relay was given twelve more.
    pub fn usual(policy: Policy) -> Self {
        Self { policy, sources: SOURCES, known: SOURCES / 3, connections_total: None }
    }

    /// Whether a source begins cold, and must be warmed up.
    pub fn is_cold(&self, source: u8) -> bool {
        source >= self.known
    }
}

/// What an operator would write for it.
pub fn config(plan: Plan) -> Config {
    let mut text = String::from(
        "[server]\nhostname = \"relay.example.pe\"\n[[listener]]\nname = \"relay\"\n\
         bind = [\"10.0.0.1:25\"]\ntls = \"off\"\nrelay_from = [\"10.0.0.0/8\"]\n",
    );
    for (number, name) in (0..).zip(NAMES) {
        let _ = write!(
            text,
            "[[source]]\nname = \"{name}\"\naddress = \"{}\"\nhelo = \"m{number}.example.pe\"\nwarm = {}\n",
            address(number),
            !plan.is_cold(number),
        );
    }
    let names = |range: std::ops::Range<u8>| {
        range
            .map(|number| format!("\"{}\"", NAMES[usize::from(number)]))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let _ = write!(
        text,
        "[[pool]]\nname = \"bulk\"\nsources = [{}]\nstandby = [{}]\nrotation = \"{}\"\n\
         warm_up = {}\nsend_window = \"00:00-24:00 America/Lima\"\n[delivery]\npool = \"bulk\"\n",
        names(0..plan.sources),
        names(SOURCES..SOURCES + STANDBYS),
        plan.policy.name(),
        plan.policy == Policy::Adaptive,
    );
    if let Some(most) = plan.connections_total {
        let _ = write!(text, "[delivery.limits]\nconnections_total = {most}\n");
        for name in ["google", "outlook-consumer", "office365", "yahoo"] {
            let _ = write!(
                text,
                "[[provider]]\nname = \"{name}\"\n[provider.limits]\nconnections = {most}\nconnections_total = {most}\n"
            );
        }
    }
    match relay_config::load(&text, "egress.toml") {
        Ok(loaded) => loaded.config,
        Err(problems) => panic!("{problems:#?}"),
    }
}
