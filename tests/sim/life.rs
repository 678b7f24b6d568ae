//! The lives of a relay: each in a runtime of its own, so that when it is dropped, everything that lived in it
//! stops at once; all of them on one disk.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mta::app::{Relay, World as RelayWorld};
use mta::dispatch::OnItsWay;
use mta::spool::{Committer, Family, Spool};
use rand::RngExt;
use relay_config::Config;
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::client::{self, CLIENTS, Outbox};
use super::disk::Disk;
use super::keys::SimKeys;
use super::names::SimDns;
use super::net::SimNet;
use super::peer;
use super::plan::{Act, ConfigPlan, EXPIRE_AFTER, Plan, random};
use super::world::{SimClock, World};

/// Free disk below which nothing is accepted.
const MIN_FREE_SPACE: u64 = 1_000;
/// Everything has ended by then, whatever was done to the clock.
const LONGEST: Duration = Duration::from_hours(20);
/// What is idle is let go of in this time: an hour after which what waits on disk is looked at again.
const QUIET_AFTER: Duration = Duration::from_mins(65);
/// How often it is looked at whether anything is left to do.
const LOOK_EVERY: Duration = Duration::from_secs(20);

/// What came of a seed.
pub struct Story {
    /// Of the log.
    pub hash: u64,
    /// The log, where it was kept.
    pub lines: Vec<String>,
    /// How often each fault happened.
    pub faults: BTreeMap<&'static str, u64>,
    /// What was not as it must be; the first of it.
    pub violation: Option<String>,
    /// Messages that servers took.
    pub taken: usize,
    /// Recipients that the relay accepted, notices included.
    pub accepted: usize,
    /// Lives of the relay.
    pub lives: usize,
    /// Time that passed.
    pub passed: Duration,
}

/// How a life ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The power went off.
    Crash,
    /// The disk failed, which began at this time.
    DiskFailed(Duration),
    /// It was stopped.
    Stopped,
    /// Nothing is left to do.
    Done,
    /// Something is wrong, or takes for ever.
    GivenUp,
}

/// Tells what a seed means.
pub fn run(seed: u64, keep_lines: bool, first_retry: Option<Duration>) -> Story {
    let world = World::new(Plan::draw(seed, first_retry), keep_lines);
    let disk = Arc::new(Disk::new(Arc::clone(&world)));
    let outbox = Arc::new(Outbox::new(&world));
    let mut run = Run { world, disk, outbox, next_act: 0, config: 0, lives: 0 };
    while run.live() != End::Done && run.world.books().first_violation().is_none() {
        run.restart();
    }
    let (taken, accepted) = run.world.books().counts();
    run.world.books().check_end();
    let violation = run.world.books().first_violation().map(str::to_owned);
    let (hash, lines, faults) = run.world.story();
    let passed = run.world.now();
    Story { hash, lines, faults, violation, taken, accepted, lives: run.lives, passed }
}

struct Run {
    world: Arc<World>,
    disk: Arc<Disk>,
    outbox: Arc<Outbox>,
    next_act: usize,
    config: usize,
    lives: usize,
}

/// What lives in one runtime.
struct Life<'a> {
    run: &'a mut Run,
    relay: Relay,
    disk_fails_since: Option<Duration>,
    /// Since when nothing is left to do.
    done_since: Option<Duration>,
}

impl Run {
    fn live(&mut self) -> End {
        let runtime =
            Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let end = runtime.block_on(async {
            self.world.begins();
            self.world.note(format_args!("life {} begins", self.lives));
            let config = &self.world.plan.configs[self.config];
            self.world.books().begins(&self.world, config);
            self.outbox.put_back(self.world.now());
            let net = SimNet::new(Arc::clone(&self.world));
            let relay = Relay::start(parsed(config), self.relay_world(&net)).unwrap();
            let mut others = JoinSet::new();
            for host in 0..self.world.plan.hosts.len() {
                others.spawn(peer::serve(Arc::clone(&self.world), host, net.serve(host)));
            }
            for number in 0..CLIENTS {
                let (world, disk) = (Arc::clone(&self.world), Arc::clone(&self.disk));
                let outbox = Arc::clone(&self.outbox);
                others.spawn(client::run(world, net.clone(), disk, outbox, number));
            }
            let end = Life { run: &mut *self, relay, disk_fails_since: None, done_since: None }
                .live()
                .await;
            self.world.note(format_args!("life {} ends: {end:?}", self.lives));
            self.world.ends();
            end
        });
        self.lives += 1;
        end
    }

    fn relay_world(&self, net: &SimNet) -> RelayWorld {
        let spool = Arc::clone(&self.disk) as Arc<dyn Spool>;
        let takes = self.world.plan.sync_takes;
        RelayWorld {
            clock: Arc::new(SimClock(Arc::clone(&self.world))),
            dns: Arc::new(SimDns(Arc::clone(&self.world))),
            net: Arc::new(net.clone()),
            keys: Arc::new(SimKeys::new(Arc::clone(&self.world))),
            committer: Committer::simulated(Arc::clone(&spool), MIN_FREE_SPACE, takes),
            spool,
            seed: self.world.plan.seed ^ self.lives as u64,
        }
    }

    /// What the disk holds after the life that has ended, and the time until the next.
    fn restart(&mut self) {
        let mut random = random(self.world.plan.seed, ("restart", self.lives));
        self.world.passes(Duration::from_millis(random.random_range(500..60_000)));
        let lost = self.disk.power_on(|batches| random.random_range(0..=batches));
        if lost > 0 {
            self.world.lost_writes();
        }
        self.world.books().survived(&self.disk.keys());
    }
}

impl Life<'_> {
    async fn live(mut self) -> End {
        let world = Arc::clone(&self.run.world);
        loop {
            let acts = &world.plan.acts;
            let next = acts.get(self.run.next_act).map_or(Duration::MAX, |(at, _)| *at);
            let wait = next.saturating_sub(world.now()).min(LOOK_EVERY);
            tokio::select! {
                biased;
                () = world.dark.notified() => return self.ends(End::Crash),
                why = self.relay.failed() => {
                    let now = world.now();
                    world.note(format_args!("the relay gives up: {why}"));
                    let since = self.disk_fails_since.unwrap_or(now);
                    return self.ends(End::DiskFailed(since));
                }
                () = sleep(wait) => {}
            }
            if world.books().first_violation().is_some() || world.now() > LONGEST {
                return self.given_up();
            }
            if next <= world.now() {
                let act = acts[self.run.next_act].1;
                self.run.next_act += 1;
                match self.act(act) {
                    Some(End::Stopped) => return self.stop().await,
                    Some(end) => return self.ends(end),
                    None => {}
                }
            } else if !self.is_done() {
                self.done_since = None;
            } else {
                if self.is_quiet() {
                    return End::Done;
                }
                let since = *self.done_since.get_or_insert(world.now());
                if world.now() > since + self.quiet_after() {
                    self.check_quiet();
                    return End::GivenUp;
                }
            }
        }
    }

    /// What happens to the relay. Returns how it ends, if it does.
    fn act(&mut self, act: Act) -> Option<End> {
        let (world, disk) = (&self.run.world, &self.run.disk);
        world.note(format_args!("{act:?}"));
        match act {
            Act::Crash => {
                world.fault("crash");
                return Some(End::Crash);
            }
            Act::CrashAfterWrites(count) => {
                world.fault("crash between write and sync");
                disk.crash_after_writes(count);
            }
            Act::CrashAfterSyncs(count) => {
                world.fault("crash after a sync");
                disk.crash_after_syncs(count);
            }
            Act::FailSync => {
                world.fault("failed sync");
                self.disk_fails_since.get_or_insert(world.now());
                disk.fail_sync();
            }
            Act::FailWrite => {
                world.fault("failed write");
                self.disk_fails_since.get_or_insert(world.now());
                disk.fail_write();
            }
            Act::LowDisk => {
                world.fault("low disk");
                disk.set_low(true);
            }
            Act::DiskFreed => {
                disk.set_low(false);
                world.books().disturbed = world.now();
            }
            Act::Stop => {
                world.fault("stop");
                return Some(End::Stopped);
            }
            Act::Reload(config) => {
                world.fault("reload");
                self.run.config = config;
                let plan = &world.plan.configs[config];
                world.books().reloaded(world, plan);
                self.relay.reload(parsed(plan)).unwrap();
            }
            Act::SetClock(seconds) => {
                world.fault(if seconds < 0 { "clock set back" } else { "clock set forward" });
                let before = world.wall();
                world.books().clock_set(before, seconds);
                world.set_clock(seconds);
            }
        }
        None
    }

    fn ends(self, end: End) -> End {
        let world = &self.run.world;
        let since = match end {
            End::DiskFailed(since) => since,
            _ => world.now(),
        };
        world.ends();
        world.books().ended(world, Some(since));
        end
    }

    async fn stop(self) -> End {
        let Self { run, relay, .. } = self;
        relay.drain().await;
        let world = &run.world;
        world.ends();
        world.books().ended(world, None);
        End::Stopped
    }

    fn given_up(&self) -> End {
        let world = &self.run.world;
        let left = self.run.disk.count(Family::Deliveries);
        let what = format!("{left} deliveries are left after {:?}", world.now());
        world.books().violated(what);
        End::GivenUp
    }

    fn is_done(&self) -> bool {
        self.run.outbox.is_empty() && self.run.disk.count(Family::Deliveries) == 0
    }

    /// A message whose last delivery ended right before a crash is swept when it would have expired.
    fn quiet_after(&self) -> Duration {
        let crashed = self.run.lives > 0;
        let expires = EXPIRE_AFTER + self.run.world.books().set_back;
        if crashed { QUIET_AFTER + expires } else { QUIET_AFTER }
    }

    /// Nothing is left of what was done: neither in memory nor on disk.
    fn is_quiet(&self) -> bool {
        let left = |family| self.run.disk.count(family) > 0;
        self.relay.on_its_way() == OnItsWay::default()
            && ![Family::Messages, Family::Bodies, Family::Due].into_iter().any(left)
    }

    /// Tells what is left, if anything is.
    fn check_quiet(&self) {
        let held = self.relay.on_its_way();
        let mut books = self.run.world.books();
        if held != OnItsWay::default() {
            books.violated(format!("nothing is left to do, and memory holds {held:?}"));
        }
        for family in [Family::Messages, Family::Bodies, Family::Due] {
            let left = self.run.disk.count(family);
            if left > 0 {
                books.violated(format!("nothing is left to do, and {left} {family:?} are"));
            }
        }
    }
}

fn parsed(plan: &ConfigPlan) -> Arc<Config> {
    debug_assert!(EXPIRE_AFTER < LONGEST);
    Arc::new(relay_config::load(&plan.text, "sim").unwrap().config)
}
