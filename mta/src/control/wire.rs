//! Conversations as they are held, for those who watch.

use std::time::Duration;

use relay_config::values::parse_duration;
use tokio::time::{Instant, timeout_at};

use crate::admin::{ControlError, EventFlow, Passed, WireLine, WireQuery};
use crate::message::Timestamp;
use crate::outside::BoxFuture;
use crate::queue::Queue;
use crate::wire::{Direction, LeftOut, Line, WATCHERS_MAX, Wanted, Watching};

use super::RelayControl;
use super::numbers::question;

/// Connections that are shown at a time, when nobody says, and at most: a person can't follow more.
const CONNECTIONS: usize = 16;
const CONNECTIONS_MAX: usize = 64;
/// How long is watched, when nobody says, and at most: who forgets it should not go on costing.
const TIME: Duration = Duration::from_mins(10);
const TIME_MAX: Duration = Duration::from_hours(1);
/// Lines that are handed on together.
const TOGETHER: usize = 100;

impl RelayControl {
    /// Watches what is said from now on.
    pub(super) fn conversations(
        &self,
        query: WireQuery,
    ) -> Result<Box<dyn EventFlow>, ControlError> {
        let time = query.time.as_deref().map_or(Ok(TIME), parse_duration);
        let time = time.map_err(|error| question(format!("time: {error}")))?;
        if time > TIME_MAX || time.is_zero() {
            return Err(question("time is an hour at most, as in 10m".to_owned()));
        }
        let wanted = wanted(query)?;
        let Some(watching) = self.dispatch.watches().watch(wanted) else {
            return Err(ControlError::Spool(format!(
                "{WATCHERS_MAX} watch already, which is all that may: end one"
            )));
        };
        let (queue, until) = (self.queue.clone(), Instant::now() + time);
        Ok(Box::new(Flow { queue, watching, until, number: 0, over: false }))
    }
}

fn wanted(query: WireQuery) -> Result<Wanted, ControlError> {
    let direction = match query.direction.as_deref() {
        None => None,
        Some("in") => Some(Direction::In),
        Some("out") => Some(Direction::Out),
        Some(_) => return Err(question("direction is `in` or `out`".to_owned())),
    };
    let connections = query.connections.unwrap_or(CONNECTIONS);
    if !(1..=CONNECTIONS_MAX).contains(&connections) {
        return Err(question(format!("connections is a number from 1 to {CONNECTIONS_MAX}")));
    }
    let of_servers = query.site.is_some() || query.source.is_some();
    let asked_in = direction == Some(Direction::In) || query.listener.is_some();
    let asked_out = direction == Some(Direction::Out) || of_servers;
    if asked_in && asked_out {
        let why = "nothing is both: `site` and `source` are of servers, `listener` is of clients";
        return Err(question(why.to_owned()));
    }
    Ok(Wanted {
        direction,
        site: query.site,
        source: query.source,
        listener: query.listener,
        peer: query.peer,
        domain: query.domain,
        recipient: query.recipient,
        connections,
    })
}

struct Flow {
    queue: std::sync::Arc<Queue>,
    watching: Watching,
    until: Instant,
    /// Lines that were handed on.
    number: u64,
    over: bool,
}

impl EventFlow for Flow {
    fn next(&mut self, patience: Duration) -> BoxFuture<'_, Result<Passed, ControlError>> {
        Box::pin(self.read_on(Instant::now() + patience))
    }
}

impl Flow {
    async fn read_on(&mut self, patient_until: Instant) -> Result<Passed, ControlError> {
        if self.over {
            return Err(ControlError::Refused("the time is over".to_owned()));
        }
        let mut lines = Vec::new();
        if let Ok(first) = timeout_at(patient_until.min(self.until), self.watching.next()).await {
            lines.extend(first.map(|line| row(&line)));
            while lines.len() < TOGETHER
                && let Some(line) = self.watching.at_once()
            {
                lines.push(row(&line));
            }
        }
        let now = self.queue.now();
        lines.extend(left_out(now, self.watching.left_out()));
        if Instant::now() >= self.until {
            self.over = true;
            lines.push(of_nothing(now, "over", "the time is over; ask again for more".to_owned()));
        }
        let mut events = Vec::new();
        for line in lines {
            self.number += 1;
            let text = serde_json::to_string(&line).unwrap_or_default();
            events.push((self.number.to_string(), text));
        }
        Ok(Passed { events, place: self.number.to_string() })
    }
}

fn row(line: &Line) -> WireLine {
    let about = &line.about;
    let text = |name: &Option<std::sync::Arc<str>>| name.as_ref().map(ToString::to_string);
    WireLine {
        time: line.time.to_rfc3339(),
        connection: Some(line.connection),
        direction: Some(about.direction.word().to_owned()),
        site: text(&about.site),
        source: text(&about.source),
        listener: text(&about.listener),
        peer: about.peer.map(|peer| peer.to_string()),
        kind: line.kind.word().to_owned(),
        text: line.text.clone(),
    }
}

fn of_nothing(now: Timestamp, kind: &str, text: String) -> WireLine {
    WireLine {
        time: now.to_rfc3339(),
        connection: None,
        direction: None,
        site: None,
        source: None,
        listener: None,
        peer: None,
        kind: kind.to_owned(),
        text,
    }
}

/// `12 lines and 3 connections are not shown`
fn left_out(now: Timestamp, left: LeftOut) -> Option<WireLine> {
    let text = match (left.lines, left.connections) {
        (0, 0) => return None,
        (lines, 0) => format!("{lines} lines are not shown: they came too fast"),
        (0, connections) => format!("{connections} connections are not shown: there are too many"),
        (lines, connections) => format!(
            "{lines} lines and {connections} connections are not shown: it is too much; ask for less"
        ),
    };
    Some(of_nothing(now, "left_out", text))
}
