//! Group commit: many callers hand in operations, one sync makes them all durable.
//!
//! One thread owns all writing. It takes whatever is waiting, writes it as one batch and syncs the
//! log once; while it syncs, the next group gathers by itself. On a disk that syncs in a tenth of a
//! millisecond hardly anything gathers in that time, so a group waits for company where that costs
//! nobody anything: as long as the most hurried of those in it allow ([`Committer::commit_patiently`]), and only
//! while mail comes so fast that others will really come. Outcomes ([`Committer::ride`]) wait 10 ms at most.
//!
//! The channel has no bound of its own because its callers do: a session or a connection
//! waits for its commit before it hands in the next.
//!
//! The simulation runs the same as a task ([`Committer::simulated`]): there a sync takes a time that is
//! set, and what is lost by a crash in the middle of one can be shown.
//!
//! After a failed write or sync nothing is written any more: what the disk holds is unknown, and
//! only a fresh start finds out.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use prometheus::{Histogram, IntCounter, IntGauge};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use crate::metrics::{self, Topic};

use super::pace::Pace;
use super::{CommitError, Operation, Spool, SpoolError};

/// Outcomes wait this long for a message to share its sync with.
const RIDE: Duration = Duration::from_millis(10);
/// Nobody waits longer than this for company: what comes in that time is enough to share a sync with.
const PATIENCE_MAX: Duration = Duration::from_millis(2);
/// Octets that are gathered into one batch: more would hold up the first of them.
const GROUP_OCTETS_MAX: usize = 8 * 1024 * 1024;
/// How often the free space of the disk is looked at.
const SPACE_EVERY: Duration = Duration::from_secs(1);

static SYNCS: LazyLock<IntCounter> = LazyLock::new(|| {
    metrics::counter(Topic::Spool, "tambo_spool_syncs_total", "Syncs of the log of the spool")
});
static SYNC_SECONDS: LazyLock<Histogram> = LazyLock::new(|| {
    let buckets = [0.0001, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2.0];
    let help = "Time that a sync of the spool takes";
    metrics::histogram(Topic::Spool, "tambo_spool_sync_seconds", help, &buckets)
});
static GROUP: LazyLock<Histogram> = LazyLock::new(|| {
    let buckets = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 500.0, 2000.0];
    let help = "Requests that shared one write";
    metrics::histogram(Topic::Spool, "tambo_spool_group_size", help, &buckets)
});
static FREE: LazyLock<IntGauge> = LazyLock::new(|| {
    let help = "Free space of the disk that holds the spool, looked at every second";
    metrics::gauge(Topic::Spool, "tambo_disk_free_bytes", help)
});

static FREE_MIN: LazyLock<IntGauge> = LazyLock::new(|| {
    let help = "Free space below which nothing is accepted or delivered (`server.min_free_space`)";
    metrics::gauge(Topic::Spool, "tambo_disk_free_min_bytes", help)
});

/// Makes the metrics of this file known.
pub(super) fn declare_metrics() {
    metrics::declare(&[&SYNCS, &SYNC_SECONDS, &GROUP, &FREE, &FREE_MIN]);
}

/// Whether the spool can be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpoolHealth {
    /// Yes.
    Good,
    /// Only outcomes: the disk is below `min_free_space`.
    LowDisk,
    /// No: a write or sync failed. The relay must be started afresh.
    Failed(String),
}

/// The one way to write to the spool.
#[derive(Clone)]
pub struct Committer {
    writer: Writer,
    health: Arc<watch::Sender<SpoolHealth>>,
}

#[derive(Clone)]
enum Writer {
    /// On the caller's task.
    Inline(Arc<dyn Spool>),
    /// On a thread of its own.
    Thread(Sender<Request>),
    /// On a task of its own.
    Task(UnboundedSender<Request>),
}

struct Request {
    operations: Vec<Operation>,
    kind: Kind,
    /// How long it may wait for company.
    patience: Duration,
}

enum Kind {
    /// Durable, then answered.
    Commit(oneshot::Sender<Result<(), SpoolError>>),
    /// Readable, then answered.
    Write(oneshot::Sender<Result<(), SpoolError>>),
    /// Durable soon.
    Ride,
}

impl Committer {
    /// Writes and syncs on the calling task: for the simulation, where nothing may depend on
    /// threads.
    pub fn inline(spool: Arc<dyn Spool>) -> Self {
        Self { writer: Writer::Inline(spool), health: new_health() }
    }

    /// Starts the thread. Below `min_free_space` octets of free disk, health is
    /// [`SpoolHealth::LowDisk`]. It ends when the last clone is dropped and all is written;
    /// the returned handle tells.
    pub fn start(
        spool: Arc<dyn Spool>,
        min_free_space: u64,
    ) -> std::io::Result<(Self, std::thread::JoinHandle<()>)> {
        let health = new_health();
        let (sender, requests) = channel();
        let group = Group::new(spool, Arc::clone(&health), min_free_space);
        let handle = std::thread::Builder::new()
            .name("committer".to_owned())
            .spawn(move || run_on_thread(group, &requests))?;
        Ok((Self { writer: Writer::Thread(sender), health }, handle))
    }

    /// Starts a task of the runtime that does what the thread does, on a spool that never blocks; a sync
    /// takes so long.
    pub fn simulated(spool: Arc<dyn Spool>, min_free_space: u64, sync_takes: Duration) -> Self {
        let health = new_health();
        let (sender, requests) = unbounded_channel();
        let group = Group::new(spool, Arc::clone(&health), min_free_space);
        tokio::spawn(run_as_task(group, requests, sync_takes));
        Self { writer: Writer::Task(sender), health }
    }

    /// How the spool is; changes are seen by whoever holds this.
    pub fn health(&self) -> watch::Receiver<SpoolHealth> {
        self.health.subscribe()
    }

    /// Whether everything is well. Cheaper than [`Committer::health`].
    pub fn is_good(&self) -> bool {
        *self.health.borrow() == SpoolHealth::Good
    }

    /// Durable when it returns.
    pub async fn commit(&self, operations: Vec<Operation>) -> Result<(), CommitError> {
        self.commit_patiently(operations, Duration::ZERO).await
    }

    /// Durable when it returns. It may wait so long for others to share a sync with, and waits [`PATIENCE_MAX`] at most.
    pub async fn commit_patiently(
        &self,
        operations: Vec<Operation>,
        patience: Duration,
    ) -> Result<(), CommitError> {
        match &self.writer {
            Writer::Inline(spool) => self.write_inline(&**spool, &operations, true),
            writer => {
                let (done, answer) = oneshot::channel();
                writer.hand_in(Request { operations, kind: Kind::Commit(done), patience })?;
                Ok(answer.await.map_err(|_| CommitError::Stopping)??)
            }
        }
    }

    /// Written and readable in order with other calls, durable with the next sync, at most 10 ms
    /// later. For outcomes, whose loss means a second delivery, not a lost one.
    pub fn ride(&self, operations: Vec<Operation>) -> Result<(), CommitError> {
        match &self.writer {
            Writer::Inline(spool) => self.write_inline(&**spool, &operations, true),
            writer => {
                if let SpoolHealth::Failed(why) = &*self.health.borrow() {
                    return Err(SpoolError::Io(why.clone()).into());
                }
                let patience = PATIENCE_MAX;
                writer.hand_in(Request { operations, kind: Kind::Ride, patience })
            }
        }
    }

    /// Readable when it returns, with everything handed in before; durable with whatever is
    /// committed next. For pieces of large bodies, and (empty) to wait for one's own outcomes.
    pub async fn write(&self, operations: Vec<Operation>) -> Result<(), CommitError> {
        match &self.writer {
            Writer::Inline(spool) => self.write_inline(&**spool, &operations, false),
            writer => {
                let (done, answer) = oneshot::channel();
                let patience = Duration::ZERO;
                writer.hand_in(Request { operations, kind: Kind::Write(done), patience })?;
                Ok(answer.await.map_err(|_| CommitError::Stopping)??)
            }
        }
    }

    fn write_inline(
        &self,
        spool: &dyn Spool,
        operations: &[Operation],
        sync: bool,
    ) -> Result<(), CommitError> {
        if let SpoolHealth::Failed(why) = &*self.health.borrow() {
            return Err(SpoolError::Io(why.clone()).into());
        }
        let written = spool.write(operations);
        let done = if sync { written.and_then(|()| spool.sync()) } else { written };
        done.map_err(|error| {
            self.health.send_replace(SpoolHealth::Failed(error.to_string()));
            error.into()
        })
    }
}

fn new_health() -> Arc<watch::Sender<SpoolHealth>> {
    Arc::new(watch::Sender::new(SpoolHealth::Good))
}

impl Writer {
    fn hand_in(&self, request: Request) -> Result<(), CommitError> {
        let handed = match self {
            Self::Thread(sender) => sender.send(request).is_ok(),
            Self::Task(sender) => sender.send(request).is_ok(),
            Self::Inline(_) => false,
        };
        if handed { Ok(()) } else { Err(CommitError::Stopping) }
    }
}

/// A committer that panicked is a spool that failed: nobody else would say so.
struct PanicGuard(Arc<watch::Sender<SpoolHealth>>);

impl Drop for PanicGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.send_replace(SpoolHealth::Failed("the committer panicked".to_owned()));
        }
    }
}

/// Takes what waits, writes it, syncs it and answers, until nobody can hand in any more.
fn run_on_thread(mut group: Group, requests: &Receiver<Request>) {
    let _guard = PanicGuard(Arc::clone(&group.health));
    group.look_at_space();
    loop {
        match requests.recv_timeout(group.patience()) {
            Ok(first) => {
                group.gather(first, || requests.try_recv().ok());
                if let Some(wait) = group.wants_company() {
                    rest(wait);
                    group.gather_more(|| requests.try_recv().ok());
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if let Some(written) = group.write() {
            group.finish(written);
        }
        group.look_at_space();
    }
    group.ends();
    if let Some(written) = group.write() {
        group.finish(written);
    }
}

/// Who comes meanwhile need not wake the thread.
#[expect(
    clippy::disallowed_methods,
    reason = "what is waited for is time in which others may come"
)]
fn rest(wait: Duration) {
    std::thread::sleep(wait);
}

/// The same as a task: others go on while a sync takes its time.
async fn run_as_task(
    mut group: Group,
    mut requests: UnboundedReceiver<Request>,
    sync_takes: Duration,
) {
    group.look_at_space();
    loop {
        match tokio::time::timeout(group.patience(), requests.recv()).await {
            Ok(Some(first)) => {
                group.gather(first, || requests.try_recv().ok());
                if let Some(wait) = group.wants_company() {
                    tokio::time::sleep(wait).await;
                    group.gather_more(|| requests.try_recv().ok());
                }
            }
            Err(_) => {}
            Ok(None) => break,
        }
        if let Some(written) = group.write() {
            if written.sync {
                tokio::time::sleep(sync_takes).await;
            }
            group.finish(written);
        }
        group.look_at_space();
    }
    group.ends();
    if let Some(written) = group.write() {
        group.finish(written);
    }
}

/// What was handed in, on its way to the disk.
struct Group {
    spool: Arc<dyn Spool>,
    health: Arc<watch::Sender<SpoolHealth>>,
    min_free_space: u64,
    /// Taken from the channel, not written yet.
    waiting: Vec<Request>,
    /// When what rides must be synced.
    ride_until: Option<Instant>,
    /// How fast commits come.
    pace: Pace,
    /// Something is written that no sync has covered.
    unsynced: bool,
    space_seen: Option<Instant>,
}

/// Operations that were written, and who waits for them.
struct Written {
    done: Result<(), SpoolError>,
    answers: Vec<oneshot::Sender<Result<(), SpoolError>>>,
    sync: bool,
}

impl Group {
    fn new(
        spool: Arc<dyn Spool>,
        health: Arc<watch::Sender<SpoolHealth>>,
        min_free_space: u64,
    ) -> Self {
        Self {
            spool,
            health,
            min_free_space,
            waiting: Vec::new(),
            ride_until: None,
            pace: Pace::default(),
            unsynced: false,
            space_seen: None,
        }
    }

    /// How long to wait for a request. With nothing to do, the free space is looked at all the same.
    fn patience(&self) -> Duration {
        self.ride_until.map_or(SPACE_EVERY, |until| until.saturating_duration_since(Instant::now()))
    }

    fn gather(&mut self, first: Request, next: impl FnMut() -> Option<Request>) {
        self.take(first);
        self.gather_more(next);
    }

    /// How long the group should wait for company: somebody waits for its sync, nobody in it is in a hurry, and
    /// as things go others will come.
    fn wants_company(&self) -> Option<Duration> {
        let wait = self.waiting.iter().map(|request| request.patience).min()?.min(PATIENCE_MAX);
        let commits = self.waiting.iter().any(|request| matches!(request.kind, Kind::Commit(_)));
        (commits && self.pace.brings_company_in(wait)).then_some(wait)
    }

    fn gather_more(&mut self, mut next: impl FnMut() -> Option<Request>) {
        let mut octets = 0;
        while octets < GROUP_OCTETS_MAX
            && let Some(request) = next()
        {
            octets += request.operations.iter().map(Operation::octets).sum::<usize>();
            self.take(request);
        }
    }

    fn take(&mut self, request: Request) {
        if matches!(request.kind, Kind::Ride) && self.ride_until.is_none() {
            self.ride_until = Some(Instant::now() + RIDE);
        }
        self.waiting.push(request);
    }

    /// All senders are gone: what rode is made durable now.
    fn ends(&mut self) {
        self.ride_until = Some(Instant::now());
    }

    /// Writes what waits, when it is time for that.
    fn write(&mut self) -> Option<Written> {
        let ride_over = self.ride_until.is_some_and(|until| until <= Instant::now());
        let sync = ride_over || self.waiting.iter().any(|r| matches!(r.kind, Kind::Commit(_)));
        let asked = self.waiting.iter().any(|r| matches!(r.kind, Kind::Write(_)));
        if !sync && !asked {
            return None;
        }
        let requests = std::mem::take(&mut self.waiting);
        GROUP.observe(requests.len() as f64);
        let commits = requests.iter().filter(|it| matches!(it.kind, Kind::Commit(_))).count();
        self.pace.saw(commits, Instant::now());
        let mut operations = Vec::with_capacity(requests.iter().map(|r| r.operations.len()).sum());
        let mut answers = Vec::with_capacity(requests.len());
        for request in requests {
            operations.extend(request.operations);
            match request.kind {
                Kind::Commit(done) | Kind::Write(done) => answers.push(done),
                Kind::Ride => {}
            }
        }
        if let SpoolHealth::Failed(why) = &*self.health.borrow() {
            // Nothing rides any more: nobody waits for a sync that never comes.
            self.ride_until = None;
            let done = Err(SpoolError::Io(why.clone()));
            return Some(Written { done, answers, sync: false });
        }
        let mut done = Ok(());
        if !operations.is_empty() {
            done = self.spool.write(&operations);
            self.unsynced = true;
        }
        Some(Written { done, answers, sync })
    }

    /// Syncs what was written, where that is wanted, and answers.
    fn finish(&mut self, written: Written) {
        let Written { mut done, answers, sync } = written;
        if sync && self.unsynced && done.is_ok() {
            let timer = SYNC_SECONDS.start_timer();
            done = self.spool.sync();
            timer.observe_duration();
            SYNCS.inc();
            self.unsynced = false;
        }
        if sync {
            self.ride_until = None;
        }
        if let Err(error) = &done
            && !matches!(&*self.health.borrow(), SpoolHealth::Failed(_))
        {
            tracing::error!(%error, "the spool failed; nothing more is written");
            self.health.send_replace(SpoolHealth::Failed(error.to_string()));
        }
        for answer in answers {
            // A session that went away does not wait for its answer.
            let _ = answer.send(done.clone());
        }
    }

    fn look_at_space(&mut self) {
        let now = Instant::now();
        if self.space_seen.is_some_and(|seen| now.duration_since(seen) < SPACE_EVERY) {
            return;
        }
        self.space_seen = Some(now);
        let low = match self.spool.free_space() {
            Ok(free) => {
                metrics::set(&FREE, free);
                metrics::set(&FREE_MIN, self.min_free_space);
                free < self.min_free_space
            }
            Err(error) => {
                tracing::warn!(%error, "the free space of the spool's disk is not known");
                return;
            }
        };
        self.health.send_if_modified(|health| {
            let seen = match health {
                SpoolHealth::Failed(_) => return false,
                _ if low => SpoolHealth::LowDisk,
                _ => SpoolHealth::Good,
            };
            let changed = *health != seen;
            if changed {
                tracing::warn!(?seen, "the space on the spool's disk has changed");
            }
            *health = seen;
            changed
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::{Family, MemorySpool};

    fn put(key: &str) -> Vec<Operation> {
        vec![Operation::Put(Family::State, key.as_bytes().to_vec(), bytes::Bytes::new())]
    }

    fn started() -> (Arc<MemorySpool>, Committer, std::thread::JoinHandle<()>) {
        let spool = Arc::new(MemorySpool::new());
        let (committer, handle) = Committer::start(spool.clone(), 1000).unwrap();
        (spool, committer, handle)
    }

    fn has(spool: &MemorySpool, key: &str) -> bool {
        spool.get(Family::State, key.as_bytes()).unwrap().is_some()
    }

    #[tokio::test]
    async fn a_commit_is_durable_and_takes_the_rides_before_it_along() {
        let (spool, committer, _handle) = started();
        committer.ride(put("ride")).unwrap();
        committer.commit(put("commit")).await.unwrap();
        spool.crash();
        assert!(has(&spool, "ride") && has(&spool, "commit"));
    }

    #[tokio::test]
    async fn a_write_is_readable_with_all_before_it_and_not_durable() {
        let (spool, committer, _handle) = started();
        committer.ride(put("ride")).unwrap();
        committer.write(Vec::new()).await.unwrap();
        assert!(has(&spool, "ride"));
        committer.write(put("piece")).await.unwrap();
        assert!(has(&spool, "piece"));
    }

    #[tokio::test]
    async fn many_commits_share_few_syncs() {
        let (spool, committer, _handle) = started();
        let tasks: Vec<_> = (0..500)
            .map(|n| {
                let committer = committer.clone();
                tokio::spawn(async move { committer.commit(put(&n.to_string())).await })
            })
            .collect();
        for task in tasks {
            task.await.unwrap().unwrap();
        }
        spool.crash();
        assert!((0..500).all(|n| has(&spool, &n.to_string())));
        assert!(spool.syncs() <= 500, "{}", spool.syncs());
    }

    #[tokio::test]
    async fn what_rode_is_durable_when_the_thread_has_ended() {
        let (spool, committer, handle) = started();
        committer.ride(put("ride")).unwrap();
        drop(committer);
        handle.join().unwrap();
        spool.crash();
        assert!(has(&spool, "ride"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_simulated_sync_takes_its_time_and_a_crash_in_it_loses_what_was_written() {
        let spool = Arc::new(MemorySpool::new());
        let takes = Duration::from_millis(20);
        let committer = Committer::simulated(spool.clone(), 1000, takes);
        committer.commit(put("first")).await.unwrap();
        let begun = Instant::now();
        committer.ride(put("ride")).unwrap();
        let second = committer.clone();
        let second = tokio::spawn(async move { second.commit(put("second")).await });
        tokio::time::sleep(takes / 2).await;
        assert!(has(&spool, "second") && !second.is_finished(), "written, and not synced yet");
        second.await.unwrap().unwrap();
        assert_eq!(begun.elapsed(), takes, "one sync for both");
        committer.ride(put("late")).unwrap();
        tokio::time::sleep(RIDE + takes / 2).await;
        assert!(has(&spool, "late"));
        spool.crash();
        assert!(has(&spool, "first") && has(&spool, "ride") && has(&spool, "second"));
        assert!(!has(&spool, "late"), "the sync was under way");
    }

    #[tokio::test(start_paused = true)]
    async fn a_group_waits_for_company_when_mail_comes_fast_and_nobody_is_in_a_hurry() {
        let spool = Arc::new(MemorySpool::new());
        let committer = Committer::simulated(spool.clone(), 1000, Duration::ZERO);
        let one = |patience: Duration| {
            let committer = committer.clone();
            async move {
                let begun = Instant::now();
                committer.commit_patiently(put("one"), patience).await.unwrap();
                begun.elapsed()
            }
        };
        let milli = Duration::from_millis(1);
        assert_eq!(one(2 * milli).await, Duration::ZERO, "nothing is known of who comes");
        for _ in 0..100 {
            tokio::time::sleep(milli).await;
            tokio::join!(one(Duration::ZERO), one(Duration::ZERO), one(Duration::ZERO));
        }
        let syncs = spool.syncs();
        let (a, b) = tokio::join!(one(2 * milli), async {
            tokio::time::sleep(milli).await;
            one(2 * milli).await
        });
        assert_eq!((a, b), (2 * milli, milli), "both with the sync of the first");
        assert_eq!(spool.syncs(), syncs + 1);
        let (waits, hurries) = tokio::join!(one(2 * milli), one(Duration::ZERO));
        assert_eq!((waits, hurries), (Duration::ZERO, Duration::ZERO), "who is in a hurry decides");
        assert_eq!(one(Duration::from_secs(9)).await, PATIENCE_MAX);
        for _ in 0..40 {
            tokio::time::sleep(2 * milli).await;
            one(2 * milli).await;
        }
        assert_eq!(one(2 * milli).await, Duration::ZERO, "few come now");
    }

    #[tokio::test]
    async fn after_a_failed_sync_nothing_is_acknowledged_any_more() {
        for inline in [false, true] {
            let (spool, mut committer, _handle) = started();
            if inline {
                committer = Committer::inline(spool.clone());
            }
            spool.fail_sync(true);
            assert!(committer.commit(put("a")).await.is_err());
            spool.fail_sync(false);
            assert!(committer.commit(put("b")).await.is_err(), "never repaired in place");
            assert!(committer.ride(put("c")).is_err());
            assert!(matches!(*committer.health().borrow(), SpoolHealth::Failed(_)));
        }
    }

    #[tokio::test]
    async fn a_disk_that_fills_up_is_seen() {
        let spool = Arc::new(MemorySpool::new());
        spool.set_free_space(999);
        let (committer, _handle) = Committer::start(spool, 1000).unwrap();
        let mut health = committer.health();
        health.wait_for(|health| *health == SpoolHealth::LowDisk).await.unwrap();
        assert!(committer.commit(put("outcome")).await.is_ok(), "outcomes are still written");
    }
}
