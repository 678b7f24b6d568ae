//! The configuration in force, and how it is read again.

use std::sync::Arc;

use relay_config::Setting;
use relay_config::blocklists::ListAction;
use relay_config::config::{Rotation, SiteLimits};
use relay_config::providers::LimitRow;
use relay_config::values::DomainPattern;
use tokio::sync::{mpsc, oneshot};

use crate::admin::{
    AccountRow, BlocklistRow, ControlError, LimitRule, ListingRow, PoolRow, ProviderRow, Reloaded,
    SettingRow,
};
use crate::egress::blocklist::Listed;

use super::RelayControl;

/// Reloads that may be asked for before one is done: they all read the same file.
const RELOADS_MAX: usize = 4;

/// A reload that is asked for: whoever runs the relay knows its file.
pub struct ReloadOrder {
    answer: oneshot::Sender<Result<Reloaded, String>>,
}

impl ReloadOrder {
    /// Says what came of it.
    pub fn done(self, came: Result<Reloaded, String>) {
        // Who asked may have gone away.
        let _ = self.answer.send(came);
    }
}

/// The two ends of asking for a reload.
pub(super) fn reloads() -> (mpsc::Sender<ReloadOrder>, mpsc::Receiver<ReloadOrder>) {
    mpsc::channel(RELOADS_MAX)
}

impl RelayControl {
    pub(super) fn setting_rows(&self) -> Vec<SettingRow> {
        let config = self.config.get();
        let rows = config.in_force.iter().map(|it| SettingRow {
            section: it.section.trim_matches(['[', ']']).to_owned(),
            number: it.number,
            key: it.key.to_owned(),
            value: it.value.clone(),
            origin: it.origin.to_string(),
        });
        rows.collect()
    }

    pub(super) fn account_rows(&self) -> Vec<AccountRow> {
        let config = self.config.get();
        let rows = config.accounts.iter().map(|account| AccountRow {
            name: account.name.to_string(),
            has_password: account.password_hash.is_some(),
            networks: account.networks.iter().map(ToString::to_string).collect(),
            senders: account.senders.iter().map(ToString::to_string).collect(),
            pool: account.pool.as_ref().map(ToString::to_string),
            tokens: Vec::new(),
        });
        rows.collect()
    }

    pub(super) fn pool_rows(&self) -> Vec<PoolRow> {
        let config = self.config.get();
        let names = |names: &[Arc<str>]| names.iter().map(ToString::to_string).collect();
        let rows = config.pools.iter().map(|pool| PoolRow {
            name: pool.name.to_string(),
            sources: names(&pool.sources),
            standby: names(&pool.standby),
            rotation: match pool.rotation {
                Rotation::Adaptive => "adaptive".to_owned(),
                Rotation::RoundRobin => "round-robin".to_owned(),
            },
            warm_up: pool.warm_up.as_ref().map(|schedule| schedule.name.to_string()),
            send_window: pool.send_window.to_string(),
            is_default: pool.name == config.delivery.pool,
        });
        rows.collect()
    }

    pub(super) fn provider_rows(&self) -> Vec<ProviderRow> {
        let config = self.config.get();
        let pool = &config.delivery.pool;
        let limits = |limits: &SiteLimits| {
            let rule = |row: &LimitRow<'_>| LimitRule {
                name: row.name.to_owned(),
                value: row.value.to_string(),
                origin: row.origin.to_string(),
            };
            limits.rows().iter().map(rule).collect()
        };
        let patterns = |setting: Option<&Setting<Vec<DomainPattern>>>| {
            let patterns = setting.map(|setting| setting.value.as_slice()).unwrap_or_default();
            patterns.iter().map(ToString::to_string).collect()
        };
        let everyone = ProviderRow {
            name: "other".to_owned(),
            title: None,
            mx: Vec::new(),
            domains: Vec::new(),
            limits: limits(config.providers.limits(None, pool)),
        };
        let known = config.providers.iter().map(|provider| ProviderRow {
            name: provider.name.to_string(),
            title: provider.title.as_ref().map(ToString::to_string),
            mx: patterns(provider.mx.as_ref()),
            domains: patterns(provider.domains.as_ref()),
            limits: limits(provider.limits(pool)),
        });
        std::iter::once(everyone).chain(known).collect()
    }

    pub(super) fn blocklist_rows(&self) -> Vec<BlocklistRow> {
        let row = |(name, ignored, listed): (Arc<str>, Option<String>, Vec<Listed>)| BlocklistRow {
            name: name.to_string(),
            ignored,
            listed: listed.into_iter().map(listing_row).collect(),
        };
        self.dispatch.blocklists().into_iter().map(row).collect()
    }

    pub(super) async fn ask_for_reload(&self) -> Result<Reloaded, ControlError> {
        let (answer, came) = oneshot::channel();
        let stopping = |()| ControlError::Spool("the relay is stopping".to_owned());
        self.reloads.send(ReloadOrder { answer }).await.map_err(|_| stopping(()))?;
        let came = came.await.map_err(|_| stopping(()))?;
        came.map_err(ControlError::Refused)
    }
}

fn listing_row(listed: Listed) -> ListingRow {
    let action = match listed.action {
        ListAction::Act => "act",
        ListAction::Warn => "warn",
        ListAction::Inform => "inform",
    };
    ListingRow {
        subject: listed.subject.to_string(),
        since: listed.since.to_rfc3339(),
        meanings: listed.meanings.iter().map(ToString::to_string).collect(),
        text: listed.text,
        action: action.to_owned(),
        delisting: listed.delisting,
    }
}
