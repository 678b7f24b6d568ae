//! A relay as `tambo serve` runs it, in this program, whose spool may leave out events: so what they cost is seen.
//!
//! Events cannot be turned off: they are how the relay answers for what became of mail. The spool of this relay throws them
//! away with what they are found by, so that they are neither written nor synced nor compacted, and neither event files
//! nor sums are made, for there is nothing to make them of. What is left is the making of an event as JSON, which
//! `make bench-stages` measures.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use mta::app::{Relay, World};
use mta::message::Id;
use mta::outside::real::{KeyFiles, SystemClock, SystemDns, SystemNet};
use mta::spool::{Committer, Family, Health, Operation, Spool, SpoolError, Visit};

use crate::preload::open;

/// What a program that is started like this runs: the words that follow are those of `tambo`.
pub const WITH: &str = "relay-with-events";
/// The same without events.
pub const WITHOUT: &str = "relay-without-events";

/// Runs a relay for ever.
pub async fn serve(config: &Path, events: bool) {
    let text = std::fs::read_to_string(config).unwrap();
    let loaded = relay_config::load(&text, "tambo.toml");
    let config = Arc::new(loaded.unwrap_or_else(|problems| panic!("{problems:#?}")).config);
    let durable = open(&config.server.data_dir.join("spool"));
    let spool = if events { durable } else { Arc::new(Eventless(durable)) };
    let (committer, _thread) =
        Committer::start(Arc::clone(&spool), config.server.min_free_space.0).unwrap();
    let world = World {
        clock: Arc::new(SystemClock),
        dns: Arc::new(SystemDns::new(&config.dns).unwrap()),
        net: Arc::new(SystemNet),
        keys: Arc::new(KeyFiles),
        spool,
        committer,
        seed: rand::random(),
    };
    let mut relay = Relay::start(Arc::clone(&config), world).unwrap();
    let admin = relay.open(&config).await.unwrap();
    let mut places: Vec<String> =
        relay.addresses().iter().map(|(name, address)| format!("{name} on {address}")).collect();
    places.extend(admin.map(|address| format!("admin on {address}")));
    eprintln!("tambo ready: {}", places.join(", "));
    std::future::pending::<()>().await;
}

/// A spool that takes no events.
struct Eventless(Arc<dyn Spool>);

fn is_kept(operation: &Operation) -> bool {
    let (Operation::Put(family, ..)
    | Operation::Delete(family, _)
    | Operation::SingleDelete(family, _)) = operation;
    !matches!(family, Family::Events | Family::EventIndex)
}

impl Spool for Eventless {
    fn write(&self, operations: &[Operation]) -> Result<(), SpoolError> {
        let kept: Vec<Operation> =
            operations.iter().filter(|operation| is_kept(operation)).cloned().collect();
        self.0.write(&kept)
    }

    fn sync(&self) -> Result<(), SpoolError> {
        self.0.sync()
    }

    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, SpoolError> {
        self.0.get(family, key)
    }

    fn scan(
        &self,
        family: Family,
        from: &[u8],
        until: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), SpoolError> {
        self.0.scan(family, from, until, visit)
    }

    fn scan_back(
        &self,
        family: Family,
        from: &[u8],
        until: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), SpoolError> {
        self.0.scan_back(family, from, until, visit)
    }

    fn count_about(&self, family: Family) -> u64 {
        self.0.count_about(family)
    }

    fn free_space(&self) -> Result<u64, SpoolError> {
        self.0.free_space()
    }

    fn forget_events_before(&self, id: Id) -> Result<(), SpoolError> {
        self.0.forget_events_before(id)
    }

    fn disk_size(&self) -> u64 {
        self.0.disk_size()
    }

    fn health(&self) -> Option<Health> {
        self.0.health()
    }
}
