//! What is seen, as lines that fit.

use crate::admin::sheet::{Cell, Sheet, grouped};
use crate::admin::{SourceRow, WarmUpRow};

use super::look::Seen;

/// How a line is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Heading,
    /// Something is wrong.
    Bad,
    /// Something should be seen.
    Watch,
    Quiet,
}

/// A line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub tone: Tone,
    pub text: String,
}

/// Lines of what needs attention in a small terminal.
const ATTENTION_MIN: usize = 4;
/// Lines of each table there.
const TABLE_MIN: usize = 5;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// All of it in so many columns and lines: what does not fit is counted.
pub(super) fn rows(seen: &Seen, width: usize, height: usize) -> Vec<Row> {
    let mut rows = head(seen);
    let (attention, sites, sources) = (attention(seen), sites(seen, width), sources(seen, width));
    // Blank lines and headings between them.
    let room = height.saturating_sub(rows.len() + 3);
    let for_attention = attention.len().min(ATTENTION_MIN.max(room.saturating_sub(2 * TABLE_MIN)));
    let rest = room.saturating_sub(for_attention);
    let for_sources = sources.len().min((rest / 2).max(rest.saturating_sub(sites.len())));
    let for_sites = sites.len().min(rest - for_sources);
    for (part, most) in [(attention, for_attention), (sites, for_sites), (sources, for_sources)] {
        rows.push(Row { tone: Tone::Plain, text: String::new() });
        rows.extend(cut(part, most));
    }
    rows.truncate(height);
    for row in &mut rows {
        row.text = row.text.chars().take(width).collect();
    }
    rows
}

/// So many of them; the last tells how many more there are.
fn cut(mut rows: Vec<Row>, most: usize) -> Vec<Row> {
    if rows.len() > most && most > 0 {
        let more = rows.len() - most + 1;
        rows.truncate(most - 1);
        rows.push(Row { tone: Tone::Quiet, text: format!("… and {more} more") });
    }
    rows.truncate(most);
    rows
}

fn head(seen: &Seen) -> Vec<Row> {
    let (rate, all) = (&seen.rate, &seen.queue.all);
    let oldest = all.oldest.as_deref().map_or(String::new(), |at| {
        format!(", the oldest of {}", at.get(..16).unwrap_or(at).replace('T', " "))
    });
    let held = if all.held > 0 { format!(", {} held", grouped(all.held)) } else { String::new() };
    let most = seen.minutes.iter().max().copied().unwrap_or(0);
    let minutes = seen.minutes.iter().map(|count| bar(*count, most));
    let plain = |text: String| Row { tone: Tone::Plain, text };
    vec![
        Row { tone: Tone::Heading, text: format!("tambo top  {}", seen.relay) },
        plain(format!(
            "Now    {:.1}/s accepted  {:.1}/s delivered  {:.1}/s deferred  {:.1}/s bounced",
            rate.accepted, rate.delivered, rate.deferred, rate.bounced
        )),
        plain(format!(
            "Queue  {} recipients in {} deliveries{held}{oldest}",
            grouped(all.recipients),
            grouped(all.deliveries)
        )),
        plain(format!(
            "Open   {} connections to servers, {} deliveries ready",
            seen.status.connections,
            grouped(seen.status.ready as u64)
        )),
        plain(format!("Hour   {}  at most {}/min", minutes.collect::<String>(), grouped(most))),
    ]
}

fn bar(count: u64, most: u64) -> char {
    let step = if most == 0 { 0 } else { (count * 7).div_ceil(most) };
    BARS[usize::try_from(step).unwrap_or(7).min(7)]
}

/// What somebody should do something about, with what to do.
fn attention(seen: &Seen) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut add = |tone, text: String| {
        let text = text.replace(char::is_control, " ");
        rows.push(Row { tone, text });
    };
    if let Some(why) = &seen.status.failed {
        add(Tone::Bad, format!("! the spool has failed: {why}; restart the relay"));
    }
    if let Some(why) = &seen.status.refusing {
        add(Tone::Bad, format!("! mail is refused: {why}"));
    }
    for source in &seen.sources {
        if matches!(&*source.state, "active" | "standby") {
            continue;
        }
        let why = source.why.as_deref().unwrap_or("see `tambo sources show`");
        add(Tone::Bad, format!("! source {} is {}: {why}", source.name, source.state));
    }
    for halt in &seen.halts {
        let (kind, name, site) = (&halt.kind, &halt.name, &halt.site);
        let mend = format!("tambo sources release {name} --at {site}");
        add(Tone::Watch, format!("! {kind} {name} is halted at {site}: {} ({mend})", halt.reply));
    }
    let held = seen.queue.all.held;
    if held > 0 {
        add(Tone::Watch, format!("! held deliveries: {} (tambo queue release)", grouped(held)));
    }
    for path in &seen.warm_up {
        if let Some(why) = &path.held {
            let (source, site) = (&path.source, &path.site);
            add(Tone::Watch, format!("! warm-up of {source} at {site} does not go on: {why}"));
        }
    }
    if rows.is_empty() {
        rows.push(Row { tone: Tone::Quiet, text: "Nothing needs attention.".to_owned() });
    }
    rows
}

fn sites(seen: &Seen, width: usize) -> Vec<Row> {
    let headings = ["DESTINATION", "DELIVERED/S", "LAST HOUR", "DEFERRED", "BOUNCED", "WAITING"];
    let mut sheet = Sheet::new("", &headings);
    let waiting = |name: &str| {
        seen.queue.groups.iter().find(|group| group.group == name).map(|group| group.recipients)
    };
    for it in &seen.providers {
        let mut cells = vec![it.name.clone().into(), Cell::Number(it.delivered_per_second)];
        cells.extend([it.delivered, it.deferred, it.bounced].map(Cell::from));
        cells.push(waiting(&it.name).into());
        sheet.rows.push(cells);
    }
    for group in &seen.queue.groups {
        if group.recipients > 0 && !seen.providers.iter().any(|it| it.name == group.group) {
            let mut cells = vec![Cell::from(group.group.clone())];
            cells.extend(vec![Cell::Nothing; 4]);
            cells.push(group.recipients.into());
            sheet.rows.push(cells);
        }
    }
    table(&sheet, width)
}

fn sources(seen: &Seen, width: usize) -> Vec<Row> {
    let mut sheet = Sheet::new("", &["SOURCE", "ADDRESS", "STATE", "POOL", "WARM-UP TODAY"]);
    for source in &seen.sources {
        let cells = [&source.address, &source.state, source.pool.as_ref().unwrap_or(&source.name)];
        let mut row = vec![Cell::from(source.name.clone())];
        row.extend(cells.map(|text| Cell::from(text.clone())));
        row.push(warm_up(source, &seen.warm_up).into());
        sheet.rows.push(row);
    }
    table(&sheet, width)
}

/// `1,200 of 2,000, day 7` of all paths of a source that warm up: the sum, and the least day.
fn warm_up(source: &SourceRow, paths: &[WarmUpRow]) -> String {
    let own: Vec<&WarmUpRow> = paths.iter().filter(|path| path.source == source.name).collect();
    let Some(day) = own.iter().map(|path| path.day).min() else { return String::new() };
    let used: u64 = own.iter().map(|path| u64::from(path.used)).sum();
    let cap: u64 = own.iter().filter_map(|path| path.cap).map(u64::from).sum();
    format!("{} of {}, day {day}", grouped(used), grouped(cap))
}

fn table(sheet: &Sheet, width: usize) -> Vec<Row> {
    let text = sheet.to_text(width);
    let tones = std::iter::once(Tone::Heading).chain(std::iter::repeat(Tone::Plain));
    text.lines().zip(tones).map(|(text, tone)| Row { tone, text: text.to_owned() }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::look::{ProviderSeen, Rate};
    use super::*;
    use crate::admin::{GroupRow, HaltRow, QueueSummary, Status};

    fn seen(sources: usize) -> Seen {
        let group = |name: &str, recipients| GroupRow {
            group: name.to_owned(),
            deliveries: recipients,
            recipients,
            held: 0,
            deferred: 0,
            octets: 0,
            oldest: Some("2026-11-24T13:05:00.123Z".to_owned()),
            next_attempt: None,
            last_reply: None,
        };
        let source = |number: usize| SourceRow {
            name: format!("ip-{number:02}"),
            address: format!("203.0.113.{number}"),
            public: String::new(),
            via: None,
            helo: String::new(),
            pools: Vec::new(),
            standby: Vec::new(),
            pool: Some("bulk".to_owned()),
            state: if number == 3 { "quarantined" } else { "active" }.to_owned(),
            why: Some("listed by zen.spamhaus.org\u{1b}[31m".to_owned()),
            until: None,
            names: None,
        };
        let provider = |name: &str| ProviderSeen {
            name: name.to_owned(),
            delivered_per_second: 12.34,
            delivered: 1_234_567,
            ..ProviderSeen::default()
        };
        Seen {
            relay: "relay.example.pe".to_owned(),
            status: Status {
                refusing: Some("the disk is almost full".to_owned()),
                failed: None,
                connections: 17,
                ready: 1_000,
            },
            queue: QueueSummary {
                counted_at: String::new(),
                all: GroupRow { held: 5, ..group("", 12_345_678) },
                groups: vec![
                    group("google", 12),
                    group("a.very.long.name.of.hosts.of.somebody", 7),
                ],
            },
            sources: (1..=sources).map(source).collect(),
            halts: vec![HaltRow {
                site: "google".to_owned(),
                kind: "campaign".to_owned(),
                name: "boletin-11".to_owned(),
                rule: "r".to_owned(),
                reply: "550 no ".repeat(20),
                since: String::new(),
                until: None,
            }],
            warm_up: Vec::new(),
            rate: Rate::default(),
            providers: vec![provider("google"), provider("microsoft")],
            minutes: (0..60).collect(),
        }
    }

    #[test]
    fn it_fits_whatever_there_is() {
        for (sources, width, height) in [(18, 80, 23), (0, 80, 23), (200, 120, 50), (18, 20, 5)] {
            let rows = rows(&seen(sources), width, height);
            assert!(rows.len() <= height, "{}", rows.len());
            assert!(rows.iter().all(|row| row.text.chars().count() <= width));
            assert!(!rows.iter().any(|row| row.text.contains(char::is_control)));
        }
        let text = |height| -> String {
            rows(&seen(18), 80, height).into_iter().map(|row| row.text + "\n").collect()
        };
        let small = text(23);
        for wanted in [
            "12,345,678 recipients",
            "! mail is refused: the disk",
            "! source ip-03 is quarantined: listed by zen",
            "google",
            "1,234,567",
            "ip-01",
            "… and",
        ] {
            assert!(small.contains(wanted), "{wanted} in\n{small}");
        }
        let all = text(usize::MAX);
        assert!(all.contains("ip-18") && !all.contains("… and"), "{all}");
    }
}
