//! Ahora: what needs attention, in words, each with its mend; how much goes at this moment; what waits.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::{Extension, Query, State};

use crate::admin::{AmissRow, BlocklistRow, HaltRow, NumbersBy, PathRow, SourceRow, Status};

use super::chart;
use super::forms::link;
use super::frame::{Frame, shown, span};
use super::list::{Chart, Steps, over_time};
use super::pulse::Figures;
use super::reports;
use super::table::{Asked, Table, arranged};
use super::{Answer, Web};

/// Something that a person should look at.
#[derive(Debug, PartialEq, Eq)]
struct Attention {
    /// It stops mail, or will soon.
    grave: bool,
    what: String,
    /// What somebody else said of it, in their words.
    said: Option<String>,
    mend: String,
    href: String,
    link: String,
}

#[derive(Template)]
#[template(path = "now.html")]
struct NowPage {
    f: Frame,
    attention: Vec<Attention>,
    pieces: BTreeMap<&'static str, String>,
    figures: std::sync::Arc<Figures>,
    today: Vec<(&'static str, String)>,
    day: Option<Chart>,
    tables: Vec<Table>,
}

impl NowPage {
    fn piece(&self, name: &str) -> &str {
        self.pieces.get(name).map_or("", String::as_str)
    }

    /// Minutes of the chart that have anything: time, delivered, put off, refused.
    fn minutes(&self) -> Vec<[String; 4]> {
        let known = self.figures.minutes.iter().enumerate().rev();
        let some = known.filter(|(_, counts)| counts.iter().any(|count| *count > 0));
        some.map(|(place, counts)| {
            let age = std::time::Duration::from_mins(59_u64.saturating_sub(place as u64));
            let [a, b, c] = counts.map(|count| self.f.number(count));
            [self.f.clock(self.f.now.before(age)), a, b, c]
        })
        .collect()
    }
}

/// The page.
pub(super) async fn page(
    State(web): State<Web>,
    Extension(f): Extension<Frame>,
    Query(asked): Query<Asked>,
) -> Answer {
    let control = &web.front.control;
    let sources = control.sources().await?;
    let halts = control.halts().await?;
    let mut attention = of_status(&f, &control.status());
    attention.extend(of_sources(&f, &sources));
    attention.extend(of_paths(&f, control.paths_amiss()));
    attention.extend(of_lists(&f, &control.blocklists()));
    attention.extend(of_halts(&f, &halts));
    attention.sort_by_key(|it| !it.grave);
    let figures = web.pulse.figures().await;
    let pieces = pieces(&f, &figures);
    let (all, providers, hours) = reports::today(&web, &f).await?;
    let day = over_time(&f, "tables.day-title", &hours, Steps::last(&f, 24, false));
    let today = reports::sums(&f, &all);
    let table = reports::numbers(&f, NumbersBy::Provider, "tables.by-provider", &providers);
    match arranged(vec![table], "/", &asked)? {
        Ok(tables) => Ok(shown(&NowPage { f, attention, pieces, figures, today, day, tables })),
        Err(file) => Ok(file),
    }
}

/// What moves on the page: a piece of HTML for each name.
pub(super) fn pieces(f: &Frame, figures: &Figures) -> BTreeMap<&'static str, String> {
    let [accepted, delivered, deferred, bounced] = figures.rates.map(|rate| f.rate(rate));
    let hour = figures.delivered_in_hour();
    let about = f.say("now.chart-about", &[&f.number(hour)]);
    let most = figures.minutes.iter().map(|it| it.iter().sum()).max().unwrap_or(0);
    let oldest = if figures.now.waiting == 0 { "—".to_owned() } else { span(figures.now.oldest) };
    BTreeMap::from([
        ("accepted", accepted),
        ("delivered", delivered),
        ("deferred", deferred),
        ("bounced", bounced),
        ("hour", f.number(hour)),
        ("waiting", f.number(figures.now.waiting)),
        ("oldest", oldest),
        ("connections", f.number(figures.now.connections)),
        ("chart", chart::bars(f.t("now.chart"), &about, &figures.minutes)),
        ("chart-top", f.number(chart::top(most))),
    ])
}

fn of_status(f: &Frame, status: &Status) -> Vec<Attention> {
    let mut found = Vec::new();
    let mut add = |what: &'static str, mend: &'static str, said: &Option<String>| {
        if said.is_some() {
            found.push(Attention {
                grave: true,
                what: f.t(what).to_owned(),
                said: said.as_ref().map(|it| f.said(it)),
                mend: f.t(mend).to_owned(),
                href: "/queue".to_owned(),
                link: f.t("frame.queue").to_owned(),
            });
        }
    };
    add("now.failed", "now.failed-mend", &status.failed);
    if status.failed.is_none() {
        add("now.refusing", "now.refusing-mend", &status.refusing);
    }
    found
}

fn of_sources(f: &Frame, sources: &[SourceRow]) -> Vec<Attention> {
    let mut found = Vec::new();
    for source in sources {
        let mend = match source.state.as_str() {
            "quarantined" => "now.quarantined-mend",
            "suspended" => "now.suspended-mend",
            "missing" => "now.missing-mend",
            "unreachable" => "now.unreachable-mend",
            _ => continue,
        };
        found.push(Attention {
            grave: source.state != "suspended",
            what: f.say(
                "now.source",
                &[&source.name, &source.public, &f.word("state", &source.state)],
            ),
            said: source.why.clone(),
            mend: f.t(mend).to_owned(),
            href: format!("/sources/{}", super::forms::escaped(&source.name)),
            link: source.name.clone(),
        });
    }
    let mut pools: BTreeMap<&str, bool> = BTreeMap::new();
    for source in sources {
        for pool in &source.pools {
            *pools.entry(pool).or_default() |= source.state == "active";
        }
    }
    for (pool, _) in pools.into_iter().filter(|(_, sends)| !sends) {
        found.push(Attention {
            grave: true,
            what: f.say("now.empty-pool", &[pool]),
            said: None,
            mend: f.t("now.empty-pool-mend").to_owned(),
            href: "/sources".to_owned(),
            link: f.t("frame.sources").to_owned(),
        });
    }
    found
}

/// Sites that refuse a source or asked it for less, a line for each source.
fn of_paths(f: &Frame, rows: Vec<AmissRow>) -> Vec<Attention> {
    let mut found = Vec::new();
    let mut amiss: BTreeMap<String, Vec<PathRow>> = BTreeMap::new();
    for row in rows {
        amiss.entry(row.source).or_default().push(row.path);
    }
    for (source, paths) in &amiss {
        let stopped: Vec<_> = paths.iter().filter(|it| it.state == "suspended").collect();
        let slowed = paths.iter().filter(|it| it.state == "slowed").count();
        let (what, first) = match stopped.first() {
            Some(path) => {
                let sites: Vec<&str> = stopped.iter().take(3).map(|it| it.site.as_str()).collect();
                let count = f.number(stopped.len() as u64);
                (f.say("now.path-suspended", &[source, &count, &sites.join(", ")]), *path)
            }
            None => match paths.iter().find(|it| it.state == "slowed") {
                Some(path) => {
                    let count = f.number(slowed as u64);
                    (f.say("now.path-slowed", &[source, &count, &path.site]), path)
                }
                None => continue,
            },
        };
        found.push(Attention {
            grave: !stopped.is_empty(),
            what,
            said: first.reply.clone(),
            mend: f.t("now.path-mend").to_owned(),
            href: format!("/sources/{}", super::forms::escaped(source)),
            link: source.clone(),
        });
    }
    found
}

fn of_lists(f: &Frame, lists: &[BlocklistRow]) -> Vec<Attention> {
    let mut found = Vec::new();
    for list in lists {
        for listing in &list.listed {
            found.push(Attention {
                grave: listing.action == "act",
                what: f.say("now.listed", &[&listing.subject, &list.name, &f.time(&listing.since)]),
                said: listing.text.clone().or_else(|| Some(listing.meanings.join("; "))),
                mend: f.t("now.listed-mend").to_owned(),
                href: listing.delisting.clone().unwrap_or_else(|| "/sources".to_owned()),
                link: f.t("now.delisting").to_owned(),
            });
        }
        if let Some(why) = &list.ignored {
            found.push(Attention {
                grave: false,
                what: f.say("now.list-ignored", &[&list.name]),
                said: Some(why.clone()),
                mend: f.t("now.list-ignored-mend").to_owned(),
                href: "/sources".to_owned(),
                link: f.t("frame.sources").to_owned(),
            });
        }
    }
    found
}

fn of_halts(f: &Frame, halts: &[HaltRow]) -> Vec<Attention> {
    let attention = |halt: &HaltRow| Attention {
        grave: true,
        what: f.say(
            if halt.kind == "domain" { "now.halt-domain" } else { "now.halt-campaign" },
            &[&halt.name, &halt.site],
        ),
        said: Some(halt.reply.clone()),
        mend: f.t("now.halt-mend").to_owned(),
        href: link("/halts/release", &[("site", &halt.site), ("name", &halt.name)]),
        link: f.t("now.halt-link").to_owned(),
    };
    halts.iter().map(attention).collect()
}

#[cfg(test)]
mod tests {
    use super::super::frame::tests::frame;
    use super::super::texts::Lang;
    use super::*;

    fn source(name: &str, pool: &str, state: &str) -> SourceRow {
        SourceRow {
            name: name.to_owned(),
            address: "192.0.2.1".to_owned(),
            public: "192.0.2.1".to_owned(),
            via: None,
            helo: "m.example".to_owned(),
            pools: vec![pool.to_owned()],
            standby: Vec::new(),
            pool: Some(pool.to_owned()),
            state: state.to_owned(),
            why: Some("ana: prueba".to_owned()),
            until: None,
            names: None,
        }
    }

    #[test]
    fn what_needs_attention_is_told_with_its_mend_and_what_does_not_is_not() {
        let f = frame(Lang::Es);
        let sources = [
            source("ip-01", "bulk", "active"),
            source("ip-02", "bulk", "suspended"),
            source("ip-03", "solo", "quarantined"),
        ];
        let found = of_sources(&f, &sources);
        let told: Vec<(bool, &str)> = found.iter().map(|it| (it.grave, it.href.as_str())).collect();
        assert_eq!(told, [(false, "/sources/ip-02"), (true, "/sources/ip-03"), (true, "/sources")]);
        assert!(found[2].what.contains("solo"), "{found:?}");
        assert!(found.iter().all(|it| !it.mend.is_empty()));
        let well = Status { refusing: None, failed: None, connections: 0, ready: 0 };
        assert!(of_status(&f, &well).is_empty());
        let full = Status { refusing: Some("the disk is full".to_owned()), ..well };
        assert_eq!(of_status(&f, &full)[0].said.as_deref(), Some("the disk is full"));
    }

    #[test]
    fn every_piece_that_moves_stands_on_the_page() {
        let text = include_str!("templates/now.html");
        for name in pieces(&frame(Lang::Es), &Figures::default()).keys() {
            assert!(text.contains(&format!("data-live=\"{name}\"")), "{name}");
            assert!(text.contains(&format!("piece(\"{name}\")")), "{name}");
        }
    }
}
