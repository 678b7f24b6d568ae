//! Egress: which delivery goes next from which source, with 18 sources and 10,000 sites in the books.

use std::hint::black_box;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, Throughput};
use mta::egress::{
    Action, ConnectionId, Destination, Egress, Heard, Item, LaneKey, Pull, Settings, SiteKind,
    Sources,
};
use mta::message::{Lane, Priority, Timestamp};

const SITES: usize = 10_000;
const NOW: Timestamp = Timestamp::from_millis(1_795_525_500_000);

struct Delivery;

impl Item for Delivery {
    fn recipients(&self) -> u32 {
        1
    }

    fn sending_domain(&self) -> Option<&str> {
        Some("institucion.example")
    }

    fn campaign(&self) -> &'static str {
        "acto"
    }

    fn same_source(&self) -> Option<&str> {
        None
    }

    fn refused_source(&self) -> Option<&str> {
        None
    }

    fn other_source(&self) -> bool {
        false
    }
}

struct World {
    egress: Egress<Delivery>,
    pool: Arc<str>,
    key: LaneKey,
    now: Timestamp,
}

impl World {
    fn new(pool: &str) -> Self {
        let names: Vec<String> = (1..=18).map(|number| format!("\"ip-{number:02}\"")).collect();
        let mut text =
            format!("[[pool]]\nname = \"bulk\"\nsources = [{}]\n{pool}", names.join(", "));
        for (number, name) in names.iter().enumerate() {
            let address = Ipv4Addr::new(127, 0, 0, 11 + u8::try_from(number).unwrap());
            text.push_str(&format!(
                "[[source]]\nname = {name}\naddress = \"{address}\"\nhelo = \"m{number}.example\"\nwarm = true\n"
            ));
        }
        text.push_str("[delivery]\npool = \"bulk\"\n");
        let config = super::config(&text);
        let settings = Settings {
            providers: config.providers.clone(),
            connections_max: 1_000,
            swap: config.swap.clone(),
        };
        let sources = Sources::new(&config.sources, &config.pools, |_| true);
        let lane = Lane { priority: Priority::default(), account: 1, tag: 2 };
        let key = ("x.example".into(), lane);
        let egress = Egress::new(sources, settings, NOW);
        let mut world = Self { egress, pool: "bulk".into(), key, now: NOW };
        for number in 0..SITES {
            world.push(&site(number));
        }
        world
    }

    fn push(&mut self, to: &Destination) {
        let pushed = self.egress.push(to, &self.pool, self.key.clone(), Delivery, self.now);
        assert!(pushed.is_ok());
    }

    /// Opens a connection to a site, as far as it may have one.
    fn open(&mut self, to: &Destination) -> Vec<(ConnectionId, Arc<str>)> {
        let actions = self.egress.balance(&to.site, self.now);
        let mut open = Vec::new();
        for action in actions {
            if let Action::Open { connection, source, .. } = action {
                self.egress.opened(connection, self.now);
                open.push((connection, Arc::clone(&source.name)));
            }
        }
        open
    }

    /// One delivery of a connection that is there: it comes, is decided upon and is heard of.
    fn deliver(&mut self, to: &Destination, id: ConnectionId, source: &Arc<str>) {
        self.now = self.now.after(Duration::from_millis(1));
        self.push(to);
        black_box(self.egress.balance(&to.site, self.now));
        match self.egress.pull(id, self.now) {
            Pull::Deliver { item, .. } => drop(black_box(item)),
            _ => panic!("it may go"),
        }
        self.hear(to, source);
    }

    fn hear(&mut self, to: &Destination, source: &Arc<str>) {
        let heard = Heard {
            site: &to.site,
            source,
            pool: &self.pool,
            sending_domain: Some("institucion.example"),
            campaign: "acto",
            recipient_domain: "x.example",
            accepted: 1,
            said: Vec::new(),
            transactions: 1,
        };
        self.egress.heard(&heard, self.now);
    }
}

fn site(number: usize) -> Destination {
    let name: Arc<str> = format!("mx{number}.example").into();
    Destination { site: Arc::clone(&name), host_set: name, kind: SiteKind::Smarthost }
}

/// A site with limits of rate and day, that counts as a provider.
fn provider() -> Destination {
    let host_set = "mx.google.example".into();
    Destination { site: "google".into(), host_set, kind: SiteKind::Provider("google".into()) }
}

pub fn decision(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("egress, 18 sources, 10,000 sites");
    group.throughput(Throughput::Elements(1));
    for (name, pool) in [
        ("adaptive", "rotation = \"adaptive\"\n"),
        ("adaptive with warm-up", "rotation = \"adaptive\"\nwarm_up = true\n"),
        ("round-robin", "rotation = \"round-robin\"\n"),
    ] {
        let mut world = World::new(pool);
        // Enough stands in the line that a connection has always something to pull.
        let to = site(0);
        for _ in 0..200 {
            world.push(&to);
        }
        let open = world.open(&to);
        // Dealt mail is pulled by the source that it was dealt to, each in its turn.
        let count = if name == "round-robin" { 18 } else { 1 };
        let mut connections = open.iter().take(count).cycle();
        assert!(open.len() >= count);
        group.bench_function(format!("one comes, one goes, {name}"), |bench| {
            bench.iter(|| {
                let (id, _) = connections.next().unwrap();
                world.now = world.now.after(Duration::from_millis(1));
                world.push(&to);
                let pulled = black_box(world.egress.pull(*id, world.now));
                assert!(matches!(pulled, Pull::Deliver { .. }));
            });
        });
        let used = open.first().unwrap().clone();
        group.bench_function(format!("a whole delivery, {name}"), |bench| {
            bench.iter(|| {
                let (id, source) = if count > 1 { connections.next().unwrap() } else { &used };
                world.deliver(&to, *id, source);
            });
        });
    }
    let mut world = World::new("rotation = \"adaptive\"\nwarm_up = true\n");
    let to = provider();
    group.bench_function("a provider's limits, which keep it waiting", |bench| {
        bench.iter(|| {
            world.now = world.now.after(Duration::from_millis(1));
            let key = world.key.clone();
            let _ = black_box(world.egress.push(&to, &world.pool, key, Delivery, world.now));
            black_box(world.egress.balance(&to.site, world.now));
        });
    });
    group.finish();
}
