//! What outlives the relay: time, the log, what was seen, and what of it goes wrong when.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hasher};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use mta::message::Timestamp;
use mta::outside::WallClock;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::books::Books;
use super::plan::Plan;

/// Where the wall clock stands at the beginning.
const START: Timestamp = Timestamp::from_millis(1_795_525_500_000);

/// The world of one seed.
pub struct World {
    /// What the seed means.
    pub plan: Plan,
    time: Mutex<Time>,
    log: Mutex<Log>,
    books: Mutex<Books>,
    /// The power has gone off: nothing that happens from now on counts.
    pub dark: Notify,
}

/// Time that passes, whatever the wall clock says.
#[derive(Default)]
struct Time {
    /// At the beginning of this life of the relay.
    base: Duration,
    /// When that was, by the clock of its runtime; `None`: time stands still.
    since: Option<Instant>,
    /// How far the wall clock has been set forward, and back, in milliseconds.
    skew: i64,
    /// When it was last set forward, and by how much.
    set_forward: (Duration, Duration),
}

/// Each transition, decision, permit and word, as lines, or at least their hash.
struct Log {
    hasher: DefaultHasher,
    lines: Option<Vec<String>>,
    /// Faults that have happened.
    faults: BTreeMap<&'static str, u64>,
}

impl World {
    /// At its beginning. Lines are kept where somebody wants to read them.
    pub fn new(plan: Plan, keep_lines: bool) -> Arc<Self> {
        let lines = keep_lines.then(Vec::new);
        let log = Log { hasher: DefaultHasher::new(), lines, faults: BTreeMap::new() };
        Arc::new(Self {
            plan,
            time: Mutex::default(),
            log: Mutex::new(log),
            books: Mutex::default(),
            dark: Notify::new(),
        })
    }

    /// Time since the beginning.
    pub fn now(&self) -> Duration {
        let time = self.time.lock().unwrap();
        time.base + time.since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// What the wall clock shows.
    pub fn wall(&self) -> Timestamp {
        let skew = self.time.lock().unwrap().skew;
        let by = Duration::from_millis(skew.unsigned_abs());
        let now = START.after(self.now());
        if skew < 0 { now.before(by) } else { now.after(by) }
    }

    /// What it showed so long ago, at least.
    pub fn wall_before(&self, ago: Duration) -> Timestamp {
        let (at, by) = self.time.lock().unwrap().set_forward;
        let jumped = if self.now() < at + ago { by } else { Duration::ZERO };
        self.wall().before(ago + jumped)
    }

    /// Somebody sets the wall clock.
    pub fn set_clock(&self, seconds: i64) {
        let now = self.now();
        let mut time = self.time.lock().unwrap();
        time.skew += seconds * 1_000;
        if seconds > 0 {
            time.set_forward = (now, Duration::from_secs(seconds.unsigned_abs()));
        }
    }

    /// A life of the relay begins, in a runtime of its own.
    pub fn begins(&self) {
        self.time.lock().unwrap().since = Some(Instant::now());
    }

    /// The power goes off in the middle of something: whoever waits for that hears of it.
    pub fn power_off(&self) {
        self.ends();
        self.dark.notify_one();
    }

    /// This life of the relay has ended: what its tasks still do is not seen by anybody.
    pub fn ends(&self) {
        let mut time = self.time.lock().unwrap();
        if let Some(since) = time.since.take() {
            time.base += since.elapsed();
        }
    }

    /// Whether nobody sees what happens.
    pub fn is_dark(&self) -> bool {
        self.time.lock().unwrap().since.is_none()
    }

    /// Time passes in which there is no relay.
    pub fn passes(&self, duration: Duration) {
        self.time.lock().unwrap().base += duration;
    }

    /// What was seen.
    pub fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap()
    }

    /// A line of the log.
    pub fn note(&self, what: fmt::Arguments<'_>) {
        if self.is_dark() {
            return;
        }
        let line = format!("{:.3} {what}", self.now().as_secs_f64());
        let mut log = self.log.lock().unwrap();
        log.hasher.write(line.as_bytes());
        if let Some(lines) = &mut log.lines {
            lines.push(line);
        }
    }

    /// A fault happens.
    pub fn fault(&self, kind: &'static str) {
        if self.is_dark() {
            return;
        }
        self.note(format_args!("fault: {kind}"));
        *self.log.lock().unwrap().faults.entry(kind).or_default() += 1;
    }

    /// A crash has lost what was written and not synced.
    pub fn lost_writes(&self) {
        *self.log.lock().unwrap().faults.entry("unsynced writes lost").or_default() += 1;
    }

    /// The hash of the log, its lines where they were kept, and the faults that happened.
    pub fn story(&self) -> (u64, Vec<String>, BTreeMap<&'static str, u64>) {
        let mut log = self.log.lock().unwrap();
        let lines = log.lines.take().unwrap_or_default();
        (log.hasher.finish(), lines, log.faults.clone())
    }
}

/// The wall clock of the machine.
pub struct SimClock(pub Arc<World>);

impl WallClock for SimClock {
    fn now(&self) -> Timestamp {
        self.0.wall()
    }
}
