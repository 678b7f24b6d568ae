//! Puts what dispatch found about an address into words.

use crate::admin::{ControlError, Explanation, HostRow, LimitRow, SourceNow};
use crate::dispatch::{Explained, Found};
use crate::egress::{Obstacle, PathView, SiteView};
use crate::message::{Address, Timestamp};
use crate::queue::{Place, StandingHold, Takes};
use crate::smtp_out::opening::TlsWish;
use crate::suppression::Entry;

use super::RelayControl;

impl RelayControl {
    /// Where mail to an address would go now, and what stands in its way.
    pub(super) async fn explanation_of(
        &self,
        recipient: &str,
        pool: Option<&str>,
    ) -> Result<Explanation, ControlError> {
        let address = Address::parse(recipient.trim())
            .map_err(|error| ControlError::Question(format!("{recipient}: {error}")))?;
        if let Some(pool) = pool
            && !self.config.get().pools.iter().any(|known| *known.name == *pool)
        {
            return Err(ControlError::Question(format!("there is no pool \"{pool}\"")));
        }
        let explained = self.dispatch.explain(&address, pool).await;
        let entries = self.entries_about(&address).await?;
        let mut answer = explanation(&address, &explained);
        held(&mut answer, &self.queue.standing_holds(), &address);
        suppressed(&mut answer, &entries);
        Ok(answer)
    }
}

/// What people hold counts before what stands in the way there.
fn held(answer: &mut Explanation, standing: &[StandingHold], address: &Address) {
    let place = Place { site: answer.site.as_deref().unwrap_or(""), pool: &answer.pool };
    let domains = [address.domain().as_str(), &answer.routing_domain];
    let taken = |amount: Takes| {
        let of = move |hold: &&StandingHold| {
            !hold.ending && hold.kind.would_take(domains, &place) == amount
        };
        standing.iter().filter(of).map(super::holds::row).collect::<Vec<_>>()
    };
    let (all, parts) = (taken(Takes::All), taken(Takes::Some));
    // Without a way it does not come so far.
    if let Some(hold) = all.first().filter(|_| answer.route.is_some()) {
        let until = hold.until.as_ref().map_or(String::new(), |until| format!(", until {until}"));
        answer.verdict = format!("It would be held by {}: {}{until}", hold.who, hold.why);
        answer.mend = Some(format!("tambo queue release --standing {}", hold.id));
        answer.goes = false;
    }
    answer.holds = [all, parts].concat();
}

/// To whom nothing is sent nothing is sent, whatever else there is.
fn suppressed(answer: &mut Explanation, entries: &[Entry]) {
    if let Some(entry) = entries.iter().find(|entry| entry.account.is_none()) {
        answer.verdict = format!("It would not be sent: {}", entry.sentence());
        answer.mend = Some(format!("tambo suppression remove {}", entry.subject));
        answer.goes = false;
    }
    answer.suppressed = entries.iter().map(super::suppressions::row).collect();
}

pub(super) fn explanation(address: &Address, explained: &Explained) -> Explanation {
    let mut answer = Explanation {
        recipient: address.to_string(),
        verdict: String::new(),
        goes: false,
        mend: None,
        suppressed: Vec::new(),
        holds: Vec::new(),
        routing_domain: explained.routing_domain.clone(),
        route: None,
        site: None,
        tls: None,
        hosts: Vec::new(),
        pool: explained.pool.to_string(),
        source: None,
        sources: Vec::new(),
        limits: Vec::new(),
        obstacles: Vec::new(),
        waiting: 0,
    };
    match &explained.route {
        Err(failure) => {
            let what =
                if failure.reply.is_permanent() { "It would bounce" } else { "It would wait" };
            answer.verdict = format!("{what}: {}", failure.cause);
        }
        Ok(found) => fill(&mut answer, found),
    }
    answer
}

fn fill(answer: &mut Explanation, found: &Found) {
    let (route, view) = (&found.route, &found.view);
    answer.route = Some(if route.smarthost { "smarthost" } else { "mx" }.to_owned());
    answer.site = Some(route.site.to_string());
    let tls = match route.tls {
        TlsWish::Never => "off",
        TlsWish::WhenOffered => "opportunistic",
        TlsWish::Always => "required",
    };
    answer.tls = Some(tls.to_owned());
    answer.hosts = hosts(found);
    answer.sources = view.paths.iter().map(source).collect();
    answer.limits = limits(view);
    answer.obstacles = view.obstacles.iter().map(words).collect();
    answer.waiting = view.waiting;
    answer.source = view.next.as_ref().map(ToString::to_string);
    let usable = found.hosts.iter().find(|(_, addresses, _)| addresses.is_ok());
    let (goes, verdict) = match (view.obstacles.first(), &view.next, usable) {
        (Some(obstacle), ..) => (false, format!("It would wait: {}", words(obstacle))),
        (None, None, _) if view.paths.is_empty() => {
            (false, "It would wait: the pool has no sources".to_owned())
        }
        (None, None, _) => {
            let first = view.paths.iter().find_map(|path| path.obstacle.as_ref()).map(words);
            let why = first.unwrap_or_default();
            (false, format!("It would wait: no source of the pool may go now ({why})"))
        }
        (None, Some(_), None) => {
            let why = found.hosts.iter().find_map(|(_, addresses, _)| addresses.as_ref().err());
            let why = why.map_or("no host can be used", |failure| failure.cause.as_str());
            (false, format!("It could not be delivered: {why}"))
        }
        (None, Some(source), Some((host, ..))) => {
            (true, format!("It would go now, from {source} to {host}"))
        }
    };
    answer.goes = goes;
    answer.verdict = verdict;
}

fn hosts(found: &Found) -> Vec<HostRow> {
    let row = |(name, addresses, avoided): &(String, Result<Vec<_>, _>, bool)| {
        let failure: Option<&crate::message::Failure> = addresses.as_ref().err();
        let preference = found.route.hosts.iter().find(|host| host.name == *name);
        HostRow {
            name: name.clone(),
            preference: preference.map_or(0, |host| host.preference),
            addresses: addresses.iter().flatten().map(std::net::IpAddr::to_string).collect(),
            note: match (failure, avoided) {
                (Some(failure), _) => Some(failure.cause.clone()),
                (None, true) => Some("failed a moment ago: tried after the others".to_owned()),
                (None, false) => None,
            },
        }
    };
    found.hosts.iter().map(row).collect()
}

fn source(path: &PathView) -> SourceNow {
    SourceNow {
        name: path.source.name.to_string(),
        address: path.source.address.to_string(),
        connections: path.open,
        obstacle: path.obstacle.as_ref().map(words),
    }
}

fn limits(view: &SiteView) -> Vec<LimitRow> {
    let limits = &view.limits;
    let row = |name: &str, value: String, used: Option<u32>| LimitRow {
        name: name.to_owned(),
        value,
        used,
    };
    let count = |value: u32| if value == u32::MAX { none() } else { value.to_string() };
    let some = |value: Option<u32>| value.map_or_else(none, |value| value.to_string());
    let rate =
        |rate: Option<relay_config::values::Rate>| rate.map_or_else(none, |rate| rate.to_string());
    let most = view.paths.iter().map(|path| path.open).max();
    let used = view.paths.iter().map(|path| path.used).max();
    vec![
        row("connections", count(limits.connections), most),
        row("connections_total", count(limits.connections_total), Some(view.open)),
        row("connections_per_minute", some(limits.connections_per_minute), None),
        row("connections_per_minute_total", some(limits.connections_per_minute_total), None),
        row("messages_per_connection", count(limits.messages_per_connection), None),
        row("recipients_per_message", some(limits.recipients_per_message), None),
        row("rate", rate(limits.rate), None),
        row("rate_total", rate(limits.rate_total), None),
        row("per_day", some(limits.per_day), used),
        row("per_day_total", some(limits.per_day_total), None),
    ]
}

fn none() -> String {
    "none".to_owned()
}

fn words(obstacle: &Obstacle) -> String {
    let until = |time: &Timestamp| time.to_rfc3339();
    match obstacle {
        Obstacle::AddressMissing => "this machine does not have its address".to_owned(),
        Obstacle::Connections(max) => format!("it has its {max} connections to the site"),
        Obstacle::ConnectionsTotal(max) => {
            format!("the site has its {max} connections of all sources")
        }
        Obstacle::ConnectionsOfRelay(max) => {
            format!("the relay has its {max} connections (delivery.connections)")
        }
        Obstacle::Stopped(word) => format!("it is {word}"),
        Obstacle::Kept(reason, time) => format!("{}; until {}", reason.sentence(), until(time)),
        Obstacle::NoMore(time) => {
            format!("the site refused one more connection; the next is tried at {}", until(time))
        }
        Obstacle::Down(time, cause) => {
            format!("the site could not be reached ({cause}); it is asked again at {}", until(time))
        }
    }
}
