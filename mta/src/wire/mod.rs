//! Who watches conversations with clients and servers as they are held (`tambo wire`).
//!
//! A connection looks whether others watch than before when it is opened and before each message: one load while
//! nobody does. What is said goes into the queue of each who watches, and where that is full it is left out and
//! counted: mail never waits for those who look on. Passwords and mail don't come here: both sides leave them out.

mod view;

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use crate::message::Timestamp;
use crate::metrics::limit_hit;
use crate::outside::WallClock;

use view::View;

/// Those who watch at a time: each has a queue, and looks into every connection.
pub const WATCHERS_MAX: usize = 8;
/// Lines in the queue of one who watches: some 200 KB.
const QUEUE_MAX: usize = 1_000;
/// Lines in a second for each who watches: nobody reads more, and making them costs.
const LINES_PER_SECOND_MAX: u32 = 500;
/// Connections that are looked into because they may carry a mail that is meant: each holds its last lines.
const LOOKED_INTO_MAX: usize = 1_000;

/// Which side opened the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// A client, to us.
    In,
    /// We, to a server.
    Out,
}

impl Direction {
    /// `in` or `out`.
    pub fn word(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
        }
    }
}

/// What is known of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// Whose it is.
    pub direction: Direction,
    /// Address of the other side, where it is known from the start.
    pub peer: Option<IpAddr>,
    /// Name of the server, where it is known from the start.
    pub host: Option<String>,
    /// Where the mail goes.
    pub site: Option<Arc<str>>,
    /// The provider that this belongs to.
    pub provider: Option<Arc<str>>,
    /// From which source.
    pub source: Option<Arc<str>>,
    /// Where a client came in.
    pub listener: Option<Arc<str>>,
}

/// Which connections are meant: all that is given must be so.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Of which side.
    pub direction: Option<Direction>,
    /// Site or provider.
    pub site: Option<String>,
    /// Source.
    pub source: Option<String>,
    /// Listener.
    pub listener: Option<String>,
    /// Address of the other side, or name of the server.
    pub peer: Option<String>,
    /// Mail to this domain alone.
    pub domain: Option<String>,
    /// Mail to this address alone.
    pub recipient: Option<String>,
    /// Connections at a time.
    pub connections: usize,
}

/// What a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The connection is seen from here on.
    Begun,
    /// Something was done.
    Done,
    /// We said it.
    Sent,
    /// The other side said it.
    Heard,
    /// The connection is over.
    Ended,
}

impl Kind {
    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Begun => "begun",
            Self::Done => "done",
            Self::Sent => "sent",
            Self::Heard => "heard",
            Self::Ended => "ended",
        }
    }
}

/// A line of a conversation.
#[derive(Debug, Clone)]
pub struct Line {
    /// When.
    pub time: Timestamp,
    /// Numbers the connection.
    pub connection: u64,
    /// Which.
    pub about: Arc<About>,
    /// What it is.
    pub kind: Kind,
    /// It.
    pub text: String,
}

/// All who watch.
pub struct Watches {
    clock: Arc<dyn WallClock>,
    /// Zero while nobody watches, else another number whenever somebody comes or goes.
    turn: AtomicU64,
    turns: AtomicU64,
    connections: AtomicU64,
    watchers: Mutex<Vec<Arc<Watcher>>>,
}

/// One who watches.
struct Watcher {
    wanted: Wanted,
    lines: mpsc::Sender<Line>,
    books: Mutex<Books>,
}

#[derive(Debug, Default)]
struct Books {
    /// The second that is counted, and the lines in it.
    second: u64,
    lines: u32,
    /// Connections that are shown, and that are looked into.
    shown: usize,
    looked_into: usize,
    left_out: LeftOut,
}

/// What one who watches was not shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Lines: they came too fast.
    pub lines: u64,
    /// Connections: enough were shown.
    pub connections: u64,
}

impl Watches {
    /// Nobody yet.
    pub fn new(clock: Arc<dyn WallClock>) -> Arc<Self> {
        Arc::new(Self {
            clock,
            turn: AtomicU64::new(0),
            turns: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            watchers: Mutex::default(),
        })
    }

    /// Somebody watches until what is returned is dropped; nothing when too many do.
    pub fn watch(self: &Arc<Self>, wanted: Wanted) -> Option<Watching> {
        let mut watchers = locked(&self.watchers);
        if watchers.len() >= WATCHERS_MAX {
            limit_hit("wire_watchers");
            return None;
        }
        let (lines, queue) = mpsc::channel(QUEUE_MAX);
        let watcher = Arc::new(Watcher { wanted, lines, books: Mutex::default() });
        watchers.push(Arc::clone(&watcher));
        self.turn_to_next(&watchers);
        Some(Watching { watcher, queue, watches: Arc::clone(self) })
    }

    fn turn_to_next(&self, watchers: &[Arc<Watcher>]) {
        let next = self.turns.fetch_add(1, Ordering::Relaxed) + 1;
        self.turn.store(if watchers.is_empty() { 0 } else { next }, Ordering::Release);
    }

    /// Those who watch this connection now; who did before goes on.
    fn renew(self: &Arc<Self>, tap: &mut Option<Arc<Watched>>, about: impl FnOnce() -> About) {
        let watchers = locked(&self.watchers);
        if watchers.is_empty() {
            *tap = None;
            return;
        }
        let watched = Arc::clone(tap.get_or_insert_with(|| {
            let number = self.connections.fetch_add(1, Ordering::Relaxed) + 1;
            let (clock, about) = (Arc::clone(&self.clock), Arc::new(about()));
            Arc::new(Watched { clock, number, about, inner: Mutex::default() })
        }));
        let mut inner = locked(&watched.inner);
        inner.views.retain(|view| watchers.iter().any(|it| Arc::ptr_eq(it, view.watcher())));
        for watcher in watchers.iter() {
            if watcher.wanted.may_be(&watched.about)
                && !inner.views.iter().any(|view| Arc::ptr_eq(view.watcher(), watcher))
            {
                inner.views.extend(View::new(watcher, watched.line(Kind::Begun, String::new())));
            }
        }
        if inner.views.is_empty() {
            *tap = None;
        }
    }
}

/// A connection's look at those who watch.
#[derive(Default)]
pub struct Tap {
    turn: u64,
    watched: Option<Arc<Watched>>,
}

impl Tap {
    /// Looks whether others watch than before; if so, `watched` may be another.
    pub fn look(&mut self, watches: &Arc<Watches>, about: impl FnOnce() -> About) -> bool {
        let turn = watches.turn.load(Ordering::Acquire);
        if turn == self.turn {
            return false;
        }
        self.turn = turn;
        watches.renew(&mut self.watched, about);
        true
    }

    /// Whom to tell what is said; nothing: nobody watches.
    pub fn watched(&self) -> Option<&Arc<Watched>> {
        self.watched.as_ref()
    }
}

/// A connection that somebody watches.
pub struct Watched {
    clock: Arc<dyn WallClock>,
    number: u64,
    about: Arc<About>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    host: String,
    views: Vec<View>,
}

impl Watched {
    /// Something was done or said.
    pub fn say(&self, kind: Kind, text: impl Into<String>) {
        let line = self.line(kind, text.into());
        let mut inner = locked(&self.inner);
        inner.views.retain_mut(|view| view.take(&line));
    }

    /// This host comes next.
    pub fn host(&self, name: &str) {
        name.clone_into(&mut locked(&self.inner).host);
    }

    /// The other side is at this address of the host.
    pub fn at(&self, address: IpAddr) {
        let mut inner = locked(&self.inner);
        let Inner { host, views } = &mut *inner;
        for view in views {
            view.at(host, address);
        }
    }

    fn line(&self, kind: Kind, text: String) -> Line {
        let (connection, about) = (self.number, Arc::clone(&self.about));
        Line { time: self.clock.now(), connection, about, kind, text }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let ended = self.line(Kind::Ended, String::new());
        for view in &mut locked(&self.inner).views {
            view.end(&ended);
        }
    }
}

/// What one who watches reads.
pub struct Watching {
    watcher: Arc<Watcher>,
    queue: mpsc::Receiver<Line>,
    watches: Arc<Watches>,
}

impl Watching {
    /// The next line.
    pub async fn next(&mut self) -> Option<Line> {
        self.queue.recv().await
    }

    /// A line that is there already.
    pub fn at_once(&mut self) -> Option<Line> {
        self.queue.try_recv().ok()
    }

    /// What was left out since the last call.
    pub fn left_out(&self) -> LeftOut {
        std::mem::take(&mut locked(&self.watcher.books).left_out)
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let mut watchers = locked(&self.watches.watchers);
        watchers.retain(|it| !Arc::ptr_eq(it, &self.watcher));
        self.watches.turn_to_next(&watchers);
    }
}

impl Watcher {
    fn say(&self, line: Line) {
        let mut books = locked(&self.books);
        let second = line.time.as_millis() / 1_000;
        if books.second != second {
            (books.second, books.lines) = (second, 0);
        }
        books.lines += 1;
        if books.lines > LINES_PER_SECOND_MAX || self.lines.try_send(line).is_err() {
            limit_hit("wire_lines");
            books.left_out.lines += 1;
        }
    }

    /// Room to look into another connection.
    fn look_into(&self) -> bool {
        let mut books = locked(&self.books);
        let room = books.looked_into < LOOKED_INTO_MAX;
        if room {
            books.looked_into += 1;
        } else {
            books.leave_out();
        }
        room
    }

    /// Room to show another.
    fn show(&self) -> bool {
        let mut books = locked(&self.books);
        let room = books.shown < self.wanted.connections;
        if room {
            books.shown += 1;
        } else {
            books.leave_out();
        }
        room
    }

    fn leave(&self, shown: bool) {
        let mut books = locked(&self.books);
        books.looked_into -= 1;
        books.shown -= usize::from(shown);
    }
}

impl Books {
    fn leave_out(&mut self) {
        limit_hit("wire_connections");
        self.left_out.connections += 1;
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
