//! What egress decided, with the evidence: each is told as an event that an operator understands.

use std::sync::Arc;

use crate::message::Timestamp;

use super::halts::Halted;
use super::health::{Health, Passed};
use super::path::Path;

/// A decision.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// What was decided.
    pub kind: DecisionKind,
    /// About which source.
    pub source: Option<Arc<str>>,
    /// At which site; `None`: everywhere.
    pub site: Option<Arc<str>>,
    /// In which pool.
    pub pool: Option<Arc<str>>,
    /// The rule that knew the reply.
    pub rule: Option<String>,
    /// What the peer said.
    pub reply: Option<String>,
    /// What happened, what was done and what to do, in plain words.
    pub text: String,
}

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DecisionKind {
    /// A path sends about one message a minute.
    Slowed,
    /// A path sends nothing.
    Suspended,
    /// A path comes back, by probes.
    Probing,
    /// A path, a source, a domain or a campaign goes on.
    Resumed,
    /// A sending domain or a campaign is halted at a site.
    Halted,
    /// A source has left its pools.
    Quarantined,
    /// A standby took the place of a source.
    Swapped,
    /// A source waits as standby again.
    Returned,
    /// A pool goes on with fewer sources.
    Fewer,
    /// A list names an address or a domain, which is only told.
    Listed,
    /// Something that an operator must mend.
    Alert,
    /// A cap cannot carry what waits in time.
    Late,
}

impl DecisionKind {
    /// Every kind with its word, which stands in metrics, and its meaning.
    pub const WORDS: [(&'static str, &'static str, Self); 12] = [
        ("slowed", "a source sends about one message a minute to a site", Self::Slowed),
        ("suspended", "a source sends nothing to a site", Self::Suspended),
        ("probing", "a source comes back to a site, by single messages", Self::Probing),
        ("resumed", "a source, a sending domain or a campaign goes on", Self::Resumed),
        ("halted", "a sending domain or a campaign waits at a site", Self::Halted),
        ("quarantined", "a source has left its pools", Self::Quarantined),
        ("swapped", "a standby took the place of a source", Self::Swapped),
        ("returned", "a source waits as standby again", Self::Returned),
        ("fewer", "a pool goes on with fewer sources", Self::Fewer),
        ("listed", "a blocklist names an address or a domain, which is only told", Self::Listed),
        ("alert", "something must be mended by a person", Self::Alert),
        ("late", "the caps cannot carry in time what waits", Self::Late),
    ];

    /// Its word.
    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|row| row.2 == self).map_or("alert", |row| row.0)
    }

    /// Whether somebody should look at it.
    pub fn is_alarming(self) -> bool {
        matches!(
            self,
            Self::Halted
                | Self::Quarantined
                | Self::Swapped
                | Self::Fewer
                | Self::Alert
                | Self::Late
        )
    }
}

impl Decision {
    /// One about nobody yet.
    pub fn new(kind: DecisionKind, text: impl Into<String>) -> Self {
        Self {
            kind,
            source: None,
            site: None,
            pool: None,
            rule: None,
            reply: None,
            text: text.into(),
        }
    }

    /// About this source.
    #[must_use]
    pub fn source(mut self, source: &Arc<str>) -> Self {
        self.source = Some(Arc::clone(source));
        self
    }

    pub(super) fn site(mut self, site: &str) -> Self {
        self.site = Some(site.into());
        self
    }

    pub(super) fn pool(mut self, pool: &Arc<str>) -> Self {
        self.pool = Some(Arc::clone(pool));
        self
    }

    pub(super) fn because(mut self, rule: &str, reply: &str) -> Self {
        self.rule = Some(rule.to_owned());
        self.reply = Some(reply.to_owned());
        self
    }

    /// Time has changed how a path stands.
    pub(super) fn of_time(
        passed: Passed,
        site: &str,
        source: &Arc<str>,
        path: &Path,
        now: Timestamp,
    ) -> Option<Self> {
        let why = path.why.as_ref();
        let after = why.map_or_else(String::new, |why| {
            format!(" after {} of {}", span(now.since(why.at)), path_word(path))
        });
        let (kind, text) = match passed {
            Passed::Nothing => return None,
            Passed::Quickens => (
                DecisionKind::Resumed,
                format!(
                    "{source} sends more to {site} again{after}: its rate grows back by 10 % an hour while no complaint comes"
                ),
            ),
            Passed::Probes => (
                DecisionKind::Probing,
                format!(
                    "{source} comes back to {site}{after}: single messages first, then a share of its rate"
                ),
            ),
        };
        let decision = Self::new(kind, text).source(source).site(site);
        Some(match why {
            Some(why) => decision.because(&why.rule, &why.said),
            None => decision,
        })
    }

    /// The suspension of a source is over.
    pub(super) fn resumed(source: &Arc<str>) -> Self {
        let text = format!("{source} sends again: its suspension is over");
        Self::new(DecisionKind::Resumed, text).source(source)
    }

    /// A halt is over.
    pub(super) fn released(site: &str, what: &Halted) -> Self {
        let text = format!("{} to {site} goes on", halted_words(what));
        Self::new(DecisionKind::Resumed, text).site(site)
    }
}

fn path_word(path: &Path) -> &'static str {
    match path.health {
        Health::Probing { .. } => "suspension",
        _ => "slowness",
    }
}

/// `mail of x.pe`, `campaign invitacion`.
pub(super) fn halted_words(what: &Halted) -> String {
    match what {
        Halted::Domain(domain) => format!("mail of {domain}"),
        Halted::Campaign(campaign) => format!("campaign {campaign}"),
    }
}

/// A time in its largest whole unit: `2 h`, `90 min`.
pub(super) fn span(time: std::time::Duration) -> String {
    let minutes = time.as_secs().div_ceil(60);
    match minutes {
        0 => "less than a minute".to_owned(),
        minutes if minutes % (24 * 60) == 0 => format!("{} days", minutes / (24 * 60)),
        minutes if minutes >= 60 && minutes % 60 == 0 => format!("{} h", minutes / 60),
        minutes if minutes >= 180 => format!("{} h", minutes / 60),
        minutes => format!("{minutes} min"),
    }
}
