//! What dispatch begins with: egress as it was left, what the operator decided of it, and the words in
//! which a route is told to it.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use relay_config::Config;

use crate::egress::{Destination, Egress, Kept, Settings, SiteKind, Sources};
use crate::smtp_out::Route;
use crate::spool::Family;

use super::Parts;
use super::item::Waiting;

/// Egress as it was left: what must not be forgotten is read from the spool.
pub(super) fn egress(parts: &Parts) -> Egress<Waiting> {
    let config = &parts.config;
    let present = |source: &relay_config::config::Source| parts.connector.is_present(source);
    let sources = Sources::new(&config.sources, &config.pools, present);
    let mut egress = Egress::new(sources, settings(config), parts.queue.now());
    let mut kept = Vec::new();
    let from = Egress::<Waiting>::keys();
    let scanned = parts.queue.spool().scan(
        Family::State,
        from,
        &[from, &[u8::MAX]].concat(),
        &mut |key, value| {
            kept.push(Kept { key: key.to_vec(), value: Bytes::copy_from_slice(value) });
            ControlFlow::Continue(())
        },
    );
    if let Err(error) = scanned {
        tracing::error!(%error, "what was known of sources cannot be read");
    }
    let count = kept.len();
    let unread = egress.restore(kept);
    for key in &unread {
        tracing::error!(
            key,
            "what was known of a source cannot be read; was it written by a later version?"
        );
    }
    tracing::info!(records = count - unread.len(), "sources are as they were left");
    egress
}

/// What the operator decided of egress.
pub(super) fn settings(config: &Config) -> Settings {
    Settings {
        providers: config.providers.clone(),
        connections_max: usize::try_from(config.delivery.connections).unwrap_or(usize::MAX),
        swap: config.swap.clone(),
    }
}

/// Where a route leads, for egress.
pub(super) fn destination(route: &Route) -> Destination {
    let kind = match &route.provider {
        _ if route.smarthost => SiteKind::Smarthost,
        Some(provider) => SiteKind::Provider(Arc::clone(provider)),
        None => SiteKind::Mx,
    };
    Destination { site: Arc::clone(&route.site), host_set: Arc::clone(&route.host_set), kind }
}
