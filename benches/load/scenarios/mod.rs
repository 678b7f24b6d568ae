//! The scenarios, a file each: what is sent where, by whom, and what the figures are held against.

mod accept;
mod backlog;
mod calibrate;
mod dkim;
mod domains;
mod latency;
mod live;
mod numbers;
mod plain;
mod recipients;
mod scrape;
mod slow;
mod syncs;
mod tls;
mod web;

use clap::ValueEnum;

use crate::contender::{Contender, Setting};
use crate::measure::Measured;
use crate::scenario::{Plan, Scenario};
use crate::sink::Sink;
use crate::source::Load;

/// Octets of a small message.
pub const SMALL_OCTETS: usize = 2 * 1024;

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Name {
    /// All of them.
    All,
    /// Load and sink of this tool beside Postfix's, without a relay.
    Calibrate,
    /// Messages of 2 KiB.
    Small,
    /// Messages of 100 kB.
    Large,
    /// Messages to 100 recipients at 20 domains.
    Recipients,
    /// 1,000 destination domains.
    Domains,
    /// TLS on both sides.
    Tls,
    /// Signed by RSA and by Ed25519, beside unsigned.
    Dkim,
    /// A slow destination beside fast ones.
    Slow,
    /// Nothing but taking mail in.
    Accept,
    /// How long a client waits for its 250 at a tenth of the load.
    Latency,
    /// Syncs of a message, counted by perf.
    Syncs,
    /// Events and those who ask for them, on against off.
    Numbers,
    /// How long metrics take with 18 sources and 10,000 sites.
    Scrape,
    /// A million deferred messages in the queue.
    Backlog,
    /// The speed of the relay while fifty people look at pages that move.
    Live,
    /// Pages of the web with a full queue and thirty days behind them.
    Web,
}

impl Name {
    /// Those that were asked for, each once, in the order of the list.
    pub fn chosen(asked: &[Self]) -> Vec<Self> {
        let all = asked.contains(&Self::All);
        let known = Self::value_variants().iter().copied().filter(|name| *name != Self::All);
        known.filter(|name| all || asked.contains(name)).collect()
    }

    /// Runs it.
    pub async fn run(self, plan: &Plan) -> Scenario {
        match self {
            Self::All | Self::Small => plain::small(plan).await,
            Self::Calibrate => calibrate::run(plan).await,
            Self::Large => plain::large(plan).await,
            Self::Recipients => recipients::run(plan).await,
            Self::Domains => domains::run(plan).await,
            Self::Tls => tls::run(plan).await,
            Self::Dkim => dkim::run(plan).await,
            Self::Slow => slow::run(plan).await,
            Self::Accept => accept::run(plan).await,
            Self::Latency => latency::run(plan).await,
            Self::Syncs => syncs::run(plan).await,
            Self::Numbers => numbers::run(plan).await,
            Self::Scrape => scrape::run(plan).await,
            Self::Backlog => backlog::run(plan).await,
            Self::Live => live::run(plan).await,
            Self::Web => web::run(plan).await,
        }
    }
}

/// The load of this tool through a contender, until each recipient has at the sink what was sent to it.
async fn through(contender: &str, setting: &Setting, load: &Load, sink: &Sink) -> Measured {
    let wanted = load.deliveries();
    let made = Contender::start(contender, setting).await;
    let send = async {
        load.send(made.address()).await;
    };
    let is_through = async || sink.counts.total() >= wanted;
    let measured = made.measure(load.messages, send, is_through).await;
    made.end().await;
    load.check(&sink.counts);
    measured
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_runs_once_in_its_order() {
        let chosen = Name::chosen(&[Name::Large, Name::Small, Name::Large]);
        assert_eq!(chosen, [Name::Small, Name::Large]);
        let all = Name::chosen(&[Name::Small, Name::All]);
        assert_eq!(all.len(), Name::value_variants().len() - 1);
        assert!(!all.contains(&Name::All));
    }
}
