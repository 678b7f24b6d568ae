//! Asks destinations how they answer sources.

use std::sync::Arc;

use relay_config::config::Source;

use crate::admin::{ControlError, ProbeAnswer, ProbeOrder, ProbeRow, ProbeStep};
use crate::dispatch::{Asked, Probed, What};
use crate::message::{Address, Domain, Reply};
use crate::metrics::limit_hit;
use crate::smtp_out::Route;
use crate::smtp_out::opening::TlsWish;

use super::RelayControl;
use super::numbers::question;

/// Sources of one order: they ask one after the other, and a person waits.
const SOURCES_MAX: usize = 32;

impl RelayControl {
    /// What a destination answers now.
    pub(super) async fn probe_of(&self, order: ProbeOrder) -> Result<ProbeAnswer, ControlError> {
        let Ok(_turn) = self.probing.try_lock() else {
            limit_hit("probes");
            let why = "another destination is being asked: wait until that is done";
            return Err(ControlError::Refused(why.to_owned()));
        };
        let asked = self.asked(&order)?;
        let sources = self.asking(&order)?;
        let route = self.dispatch.route_now(&asked.routing_domain).await;
        let route = route.map_err(|failure| {
            ControlError::Refused(format!("{}: {}", asked.routing_domain, failure.cause))
        })?;
        let mut rows = Vec::new();
        for source in &sources {
            rows.push(row(&self.dispatch.probe(&route, source, &asked).await));
        }
        Ok(answer(&asked, &route, rows))
    }

    fn asked(&self, order: &ProbeOrder) -> Result<Asked, ControlError> {
        let to = order.to.trim();
        let routes = &self.queue.options().routes;
        let hostname = &self.config.get().server.hostname;
        let sender = order.sender.clone().unwrap_or_else(|| format!("postmaster@{hostname}"));
        if !sender.is_empty() && Address::parse(&sender).is_err() {
            return Err(question(format!("sender: {sender} is no address")));
        }
        if to.contains('@') {
            let address =
                Address::parse(to).map_err(|error| question(format!("to: {to}: {error}")))?;
            let domain = address.domain().as_str();
            let routing_domain = routes.routing_domain(address.local_part(), domain).to_owned();
            return Ok(Asked { routing_domain, mail: Some((sender, address)) });
        }
        let domain = Domain::parse(to)
            .map_err(|_| question(format!("to: {to} is neither a domain nor an address")))?;
        let routing_domain = routes.routing_domain("postmaster", domain.as_str()).to_owned();
        Ok(Asked { routing_domain, mail: None })
    }

    /// The sources that ask.
    fn asking(&self, order: &ProbeOrder) -> Result<Vec<Arc<Source>>, ControlError> {
        let listed = self.dispatch.sources();
        if let Some(name) = &order.source {
            let found = listed.iter().find(|it| *it.source.name == **name);
            let missing = || ControlError::NotFound(format!("there is no source \"{name}\""));
            return Ok(vec![Arc::clone(&found.ok_or_else(missing)?.source)]);
        }
        let config = self.config.get();
        let pool = order.pool.as_deref().unwrap_or(&config.delivery.pool);
        if !config.pools.iter().any(|known| *known.name == *pool) {
            return Err(question(format!("there is no pool \"{pool}\"")));
        }
        let active = listed.iter().filter(|it| it.active.iter().any(|name| **name == *pool));
        let sources: Vec<Arc<Source>> = active
            .filter(|it| super::sources::source_row(it).state == "active")
            .map(|it| Arc::clone(&it.source))
            .take(SOURCES_MAX)
            .collect();
        if sources.is_empty() {
            let why = format!("no source of the pool \"{pool}\" is active: name one");
            return Err(ControlError::Refused(why));
        }
        Ok(sources)
    }
}

fn answer(asked: &Asked, route: &Route, sources: Vec<ProbeRow>) -> ProbeAnswer {
    let tls = match route.tls {
        TlsWish::Never => "off",
        TlsWish::WhenOffered => "opportunistic",
        TlsWish::Always => "required",
    };
    let mut hosts: Vec<_> = route.hosts.iter().collect();
    hosts.sort_by_key(|host| host.preference);
    ProbeAnswer {
        routing_domain: asked.routing_domain.clone(),
        route: if route.smarthost { "smarthost" } else { "mx" }.to_owned(),
        site: route.site.to_string(),
        provider: route.provider.as_ref().map(ToString::to_string),
        hosts: hosts.iter().map(|host| format!("{} {}", host.preference, host.name)).collect(),
        tls: tls.to_owned(),
        sources,
    }
}

fn row(probed: &Probed) -> ProbeRow {
    let thousandths = |seconds: f64| (seconds * 1_000.0).round() / 1_000.0;
    let steps = probed.steps.iter().map(|step| {
        let (kind, text) = match &step.what {
            What::Done(text) => ("done", text.clone()),
            What::Sent(text) => ("sent", text.clone()),
            What::Heard(reply) => ("heard", written(reply)),
        };
        ProbeStep { after: thousandths(step.after.as_secs_f64()), kind: kind.to_owned(), text }
    });
    let (good, failed) = match &probed.came {
        Ok(good) => (Some(good), None),
        Err(failed) => (None, Some(failed)),
    };
    // What is ours says in `cause` all there is to say.
    let said = failed.filter(|(failure, _)| failure.phase.is_some());
    ProbeRow {
        source: probed.source.name.to_string(),
        address: probed.source.address.to_string(),
        good: good.is_some(),
        host: good.map(|(host, _)| host.clone()),
        tls: good.and_then(|(_, tls)| tls.clone()),
        seconds: probed.steps.last().map_or(0.0, |step| thousandths(step.after.as_secs_f64())),
        cause: failed.map(|(failure, _)| failure.cause.clone()),
        reply: said.map(|(failure, _)| written(&failure.reply)),
        rule: said.map(|(_, verdict)| verdict.rule.to_string()),
        category: failed.map(|(_, verdict)| verdict.category.to_string()),
        steps: steps.collect(),
    }
}

/// `550 5.1.1 no such user`
fn written(reply: &Reply) -> String {
    let enhanced = reply.enhanced.map_or(String::new(), |code| format!("{code} "));
    format!("{} {enhanced}{}", reply.code, reply.text)
}
