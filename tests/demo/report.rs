//! What happened, from the relay's event files and from what the mail servers recorded.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;

use crate::world::{MESSAGES, SENDER, World};

/// The events, counted.
#[derive(Default)]
pub struct Report {
    accepted: usize,
    delivered: BTreeSet<String>,
    bounced: BTreeSet<String>,
    deferred: BTreeMap<String, usize>,
    why_bounced: BTreeMap<String, usize>,
    by_domain: BTreeMap<String, [usize; 4]>,
    by_source: BTreeMap<String, usize>,
}

impl Report {
    /// Reads the event files.
    pub fn read(world: &World) -> Self {
        let mut report = Self::default();
        for event in world.relay.events() {
            report.count(&event);
        }
        report
    }

    /// Messages of the demo that are delivered or given up.
    pub fn ended(&self) -> usize {
        self.delivered.len() + self.bounced.len()
    }

    /// A notice has come back for each that was given up.
    pub fn notices_arrived(&self, world: &World) -> bool {
        world.sender_host.count() >= self.bounced.len()
    }

    /// One line.
    pub fn progress(&self, all: usize) -> String {
        let deferred: usize = self.deferred.values().sum();
        format!(
            "accepted {:>4}/{all}   delivered {:>4}   deferred {deferred:>4}   bounced {:>3} ",
            self.accepted,
            self.delivered.len(),
            self.bounced.len()
        )
    }

    /// The table at the end.
    pub fn table(&self, world: &World, sending: Duration) -> String {
        let mut text = String::new();
        let _ = writeln!(
            text,
            "{:<22}{:>9}{:>10}{:>9}{:>8}   about",
            "destination", "accepted", "delivered", "deferred", "bounced"
        );
        for destination in &world.destinations {
            let [accepted, delivered, deferred, bounced] =
                self.by_domain.get(destination.domain).copied().unwrap_or_default();
            let (domain, about) = (destination.domain, destination.about);
            let _ = writeln!(
                text,
                "{domain:<22}{accepted:>9}{delivered:>10}{deferred:>9}{bounced:>8}   {about}"
            );
        }
        let _ = writeln!(text, "\n{:<22}{:>9}", "source", "delivered");
        for (source, count) in &self.by_source {
            let _ = writeln!(text, "{source:<22}{count:>9}");
        }
        for (title, reasons) in
            [("deferred, and why", &self.deferred), ("bounced, and why", &self.why_bounced)]
        {
            let _ = writeln!(text, "\n{title}");
            for (why, count) in reasons {
                let _ = writeln!(text, "{count:>6}  {why}");
            }
        }
        let rate = MESSAGES as f64 / sending.as_secs_f64().max(0.001);
        let _ = write!(
            text,
            "\n{MESSAGES} messages accepted in {:.1} s: {rate:.0} messages a second",
            sending.as_secs_f64()
        );
        let _ =
            write!(text, "\nNotices that came back to {SENDER}: {}\n", world.sender_host.count());
        text
    }

    /// Messages that are neither where they should be, whole and once, nor reported to their sender.
    pub fn account_for(&self, world: &World) -> Vec<String> {
        let mut missing = Vec::new();
        let mut arrived: BTreeMap<String, Vec<(String, Vec<u8>)>> = BTreeMap::new();
        for host in world.destinations.iter().filter_map(|destination| destination.host.as_ref()) {
            for taken in host.taken() {
                for recipient in &taken.recipients {
                    arrived
                        .entry(recipient.clone())
                        .or_default()
                        .push((taken.sender.clone(), taken.data.clone()));
                }
            }
        }
        let notices: Vec<String> = world
            .sender_host
            .taken()
            .iter()
            .map(|taken| String::from_utf8_lossy(&taken.data).into_owned())
            .collect();
        for (id, (recipient, data)) in &world.sent {
            let copies = arrived.remove(recipient).unwrap_or_default();
            let refused = self.bounced.contains(recipient);
            match &copies[..] {
                [(sender, copy)] if sender == SENDER && is_whole(copy, data) && !refused => {}
                [] if refused => {
                    let about = notices
                        .iter()
                        .filter(|n| n.contains(&format!("rfc822; {recipient}\r\n")))
                        .count();
                    if about != 1 {
                        missing.push(format!("{id} to {recipient}: bounced with {about} notices"));
                    }
                }
                [] => missing.push(format!("{id} to {recipient}: lost")),
                [_] => missing.push(format!("{id} to {recipient}: not as it was sent")),
                _ => missing.push(format!("{id} to {recipient}: {} copies", copies.len())),
            }
        }
        missing.extend(
            arrived.keys().map(|recipient| format!("{recipient}: got what was never sent")),
        );
        missing
    }

    fn count(&mut self, event: &Value) {
        let field = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or("").to_owned();
        if field("account") == "notice" {
            return;
        }
        let recipient = field("recipient");
        let domain = recipient.rsplit('@').next().unwrap_or("").to_owned();
        let why = format!(
            "{} {} {}",
            event.get("code").and_then(Value::as_u64).unwrap_or(0),
            field("enhanced"),
            field("reply")
        );
        let row = self.by_domain.entry(domain).or_default();
        match field("type").as_str() {
            "accepted" => {
                self.accepted += 1;
                row[0] += 1;
            }
            "delivered" => {
                row[1] += 1;
                *self.by_source.entry(field("source")).or_default() += 1;
                self.delivered.insert(recipient);
            }
            "deferred" => {
                row[2] += 1;
                *self.deferred.entry(why).or_default() += 1;
            }
            "bounced" | "expired" => {
                row[3] += 1;
                *self.why_bounced.entry(why).or_default() += 1;
                self.bounced.insert(recipient);
            }
            _ => {}
        }
    }
}

/// The copy is what was sent, with headers above it and nothing else.
fn is_whole(copy: &[u8], sent: &[u8]) -> bool {
    copy.strip_suffix(sent)
        .is_some_and(|above| above.starts_with(b"Received: ") && above.ends_with(b"\r\n"))
}
