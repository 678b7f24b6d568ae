//! Moves octets between a client, its session and the queue. Decides nothing but timeouts.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::BytesMut;
use prometheus::{Histogram, IntCounter};
use relay_config::config::{Listener, ListenerTls};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::message::{Event, EventKind, Reply};
use crate::metrics::{self, Label, Labelled, NamedCounters, NamedGauges, Names, Topic};
use crate::outside::BoxStream;
use crate::policy::is_trusted;
use crate::queue::BodyPermit;
use crate::smtp::handshake;
use crate::wire::{About, Direction, Kind, Tap};

use super::listener::Shared;
use super::replies::reply;
use super::session::{Rejection, Said, Session, Setup, Step};
use super::tls;

/// Time for a TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_mins(1);
/// Time for a client to take what we send.
const WRITE_TIMEOUT: Duration = Duration::from_mins(1);
/// A stranger is greeted this much later; who speaks before has not waited.
const GREETING_DELAY: Duration = Duration::from_millis(250);
/// Which part of the time that a client took from one answer to the next dot it may wait for a sync that is shared.
const PATIENCE_PART: u32 = 8;
/// Octets that are read at once.
const READ_OCTETS: usize = 64 * 1024;

static SESSIONS: LazyLock<NamedGauges> = LazyLock::new(|| {
    let help = "SMTP sessions of clients that are open";
    metrics::named_gauges(Topic::Intake, "tambo_sessions", help, vec![listener_label()])
});
static SESSIONS_BEGUN: LazyLock<NamedCounters> = LazyLock::new(|| {
    let help = "SMTP sessions of clients that were begun; who is turned away at the door has none";
    metrics::named_counters(Topic::Intake, "tambo_sessions_total", help, vec![listener_label()])
});
static REJECTIONS: LazyLock<Labelled<IntCounter>> = LazyLock::new(|| {
    let help = "Senders, recipients and messages of known clients that were refused";
    let classes = [("4", "for now"), ("5", "for good")];
    let class = Label::known("class", &classes);
    metrics::counters(Topic::Intake, "tambo_rejections_total", help, vec![class])
});
static HANDSHAKES: LazyLock<Labelled<IntCounter>> = LazyLock::new(|| {
    let help = "TLS handshakes with clients, by version or why there was none";
    let result = Label::known("result", &handshake::RESULTS);
    metrics::counters(Topic::Intake, "tambo_inbound_tls_handshakes_total", help, vec![result])
});
static HANDSHAKE_SECONDS: LazyLock<Histogram> = LazyLock::new(|| {
    let (name, help) = ("tambo_inbound_tls_seconds", "Time of a TLS handshake with a client");
    metrics::histogram(Topic::Intake, name, help, &metrics::NETWORK_SECONDS)
});

fn listener_label() -> Label {
    Label::names("listener", Names::Listeners)
}

/// Makes the metrics of this file known.
pub(crate) fn declare_metrics() {
    metrics::declare(&[&SESSIONS, &SESSIONS_BEGUN, &REJECTIONS, &HANDSHAKES, &HANDSHAKE_SECONDS]);
}

/// One connection.
pub(super) struct Connection {
    stream: BoxStream,
    session: Session,
    input: BytesMut,
    listener: Arc<Listener>,
    client: SocketAddr,
    shared: Arc<Shared>,
    permits: Vec<BodyPermit>,
    ends: Instant,
    /// When the last message was answered.
    answered: Option<Instant>,
    stop: watch::Receiver<bool>,
    tap: Tap,
}

/// Serves a client until it leaves.
pub(super) async fn serve(
    stream: BoxStream,
    client: SocketAddr,
    listener: Arc<Listener>,
    shared: Arc<Shared>,
) {
    let name = Names::Listeners.find(&listener.name);
    SESSIONS_BEGUN.count(name);
    SESSIONS.add(name, 1);
    if let Err(error) = converse(stream, client, listener, shared).await {
        tracing::debug!(%client, %error, "session ended");
    }
    SESSIONS.add(name, -1);
}

async fn converse(
    stream: BoxStream,
    client: SocketAddr,
    listener: Arc<Listener>,
    shared: Arc<Shared>,
) -> io::Result<()> {
    let (stream, tls) = if listener.tls == ListenerTls::Implicit {
        let (stream, description) = handshake(stream, &shared).await?;
        (stream, Some(description))
    } else {
        (stream, None)
    };
    let setup =
        Setup { listener: Arc::clone(&listener), policy: Arc::clone(&shared.terms.get().policy) };
    let queue = Arc::clone(&shared.queue);
    let session = Session::new(
        Arc::new(setup),
        client.ip().to_canonical(),
        tls,
        Box::new(move || queue.next_id()),
    );
    let stop = shared.stop.clone();
    let ends = Instant::now() + listener.limits.session_timeout;
    let input = BytesMut::with_capacity(READ_OCTETS);
    let mut connection = Connection {
        stream,
        session,
        input,
        listener,
        client,
        shared,
        permits: Vec::new(),
        ends,
        answered: None,
        stop,
        tap: Tap::default(),
    };
    connection.tell_who_watches();
    let early = connection.speaks_early().await?;
    connection.session.greet(early);
    let done = connection.run().await;
    if let Some(Step::Discard { id, chunks }) = connection.session.abandoned() {
        connection.shared.queue.discard(id, chunks);
    }
    connection.record_rejections();
    done
}

impl Connection {
    /// Whether the client sends before it is greeted.
    async fn speaks_early(&mut self) -> io::Result<bool> {
        if self.listener.tls == ListenerTls::Implicit {
            return Ok(false);
        }
        let trusted = is_trusted(&self.listener, self.client.ip());
        let delay = if trusted { Duration::ZERO } else { GREETING_DELAY };
        match tokio::time::timeout(delay, self.stream.read_buf(&mut self.input)).await {
            Ok(Ok(0)) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(Ok(_)) => Ok(true),
            Ok(Err(error)) => Err(error),
            Err(_) => Ok(false),
        }
    }

    async fn run(&mut self) -> io::Result<()> {
        loop {
            let now = self.shared.queue.now();
            match self.session.step(&mut self.input, now) {
                Step::Read => {
                    self.flush().await?;
                    if !self.read().await? {
                        return Ok(());
                    }
                }
                Step::StartTls => self.start_tls().await?,
                Step::Verify(login) => {
                    // An account that was taken away can't log in to a session that is open, either.
                    let terms = self.shared.terms.get();
                    let authenticator = &self.shared.authenticator;
                    let client = self.client.ip();
                    let verdict = authenticator.verify(&terms.policy, login, client).await;
                    self.session.verified(verdict);
                }
                Step::Reserve(octets) => {
                    // Messages that were given up with what is read at once hold nothing.
                    if !self.session.holds_message() {
                        self.permits.clear();
                    }
                    let room = match self.shared.queue.is_accepting() {
                        Ok(()) => self.shared.queue.reserve(octets).await,
                        Err(refusal) => Err(refusal),
                    };
                    let room = room.map(|permit| self.permits.push(permit));
                    self.session.reserved(room);
                }
                Step::Store { id, number, chunk } => {
                    let stored = self.shared.queue.write_chunk(id, number, chunk).await;
                    self.session.stored(stored);
                }
                Step::Discard { id, chunks } => {
                    self.shared.queue.discard(id, chunks);
                    self.permits.clear();
                }
                Step::Accept(submission) => {
                    let (id, chunks) = (submission.id, submission.body.chunks());
                    let patience = self.patience();
                    let accepted = self.shared.queue.accept(*submission, patience).await;
                    self.answered = Some(Instant::now());
                    if accepted.is_err() && chunks > 0 {
                        self.shared.queue.discard(id, chunks);
                    }
                    self.permits.clear();
                    self.session.accepted(id, accepted, now);
                }
                Step::Close => {
                    self.flush().await?;
                    return tokio::time::timeout(WRITE_TIMEOUT, self.stream.shutdown()).await?;
                }
            }
        }
    }

    /// How long this message may wait for others to share a sync with: a client that takes so much longer from
    /// one message to the next does not notice. The first, which may be the only one, waits for nobody.
    fn patience(&self) -> Duration {
        self.answered.map_or(Duration::ZERO, |answered| answered.elapsed() / PATIENCE_PART)
    }

    /// What was said goes to those who watch, if anybody does.
    fn tell_who_watches(&mut self) {
        let about = || About {
            direction: Direction::In,
            peer: Some(self.client.ip().to_canonical()),
            host: None,
            site: None,
            provider: None,
            source: None,
            listener: Some(Arc::clone(&self.listener.name)),
        };
        if self.tap.look(&self.shared.watches, about) {
            self.session.listen(self.tap.watched().is_some());
        }
        if let Some(watched) = self.tap.watched() {
            for said in self.session.take_said() {
                match said {
                    Said::Heard(text) => watched.say(Kind::Heard, text),
                    Said::Sent(text) => watched.say(Kind::Sent, text),
                }
            }
        }
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.tell_who_watches();
        let output = self.session.take_output();
        if output.is_empty() {
            return Ok(());
        }
        tokio::time::timeout(WRITE_TIMEOUT, async {
            self.stream.write_all(&output).await?;
            self.stream.flush().await
        })
        .await?
    }

    /// Reads more; false when the client has left or its time is over.
    async fn read(&mut self) -> io::Result<bool> {
        self.record_rejections();
        self.input.reserve(READ_OCTETS);
        let in_data = self.session.in_data();
        if !self.session.holds_message() {
            self.permits.clear();
        }
        let limits = &self.listener.limits;
        let timeout = if in_data { limits.data_timeout } else { limits.command_timeout };
        let until = (Instant::now() + timeout).min(self.ends);
        let ended = tokio::select! {
            biased;
            read = tokio::time::timeout_at(until, self.stream.read_buf(&mut self.input)) => match read {
                Ok(read) => {
                    let more = read? > 0;
                    self.session.set_refusal(self.shared.queue.is_accepting().err());
                    return Ok(more);
                }
                Err(_) => reply(421, (4, 4, 2), "You took too long; connect again"),
            },
            // A message that is arriving may end first.
            _ = self.stop.wait_for(|stop| *stop), if !in_data => {
                reply(421, (4, 3, 2), "The relay is stopping; try again later")
            }
        };
        self.end(&ended).await?;
        Ok(false)
    }

    async fn end(&mut self, why: &Reply) -> io::Result<()> {
        if let Some(Step::Discard { id, chunks }) = self.session.end(why) {
            self.shared.queue.discard(id, chunks);
        }
        self.flush().await?;
        self.stream.shutdown().await
    }

    async fn start_tls(&mut self) -> io::Result<()> {
        self.flush().await?;
        let (nothing, _) = tokio::io::duplex(1);
        let plain = std::mem::replace(&mut self.stream, Box::new(nothing));
        let (stream, description) = handshake(plain, &self.shared).await?;
        self.stream = stream;
        if let Some(watched) = self.tap.watched() {
            watched.say(Kind::Done, format!("TLS: {description}"));
        }
        self.session.tls_started(description);
        Ok(())
    }

    fn record_rejections(&mut self) {
        let rejections = self.session.take_rejections();
        if rejections.is_empty() {
            return;
        }
        let events: Vec<Event> =
            rejections.into_iter().map(|rejection| self.event(rejection)).collect();
        if let Err(error) = self.shared.queue.record(&events) {
            tracing::warn!(%error, "refusals are not recorded");
        }
    }

    fn event(&self, rejection: Rejection) -> Event {
        let class = if rejection.reply.is_permanent() { "5" } else { "4" };
        REJECTIONS.count(&[class]);
        let mut event = Event::new(self.shared.queue.next_id(), EventKind::Rejected);
        event.listener = Some(self.listener.name.to_string());
        event.client = Some(self.client.ip().to_canonical());
        event.account = Some(rejection.account);
        event.sender = rejection.sender;
        event.recipient = rejection.recipient;
        event.code = Some(rejection.reply.code);
        event.enhanced = rejection.reply.enhanced.map(|code| code.to_string());
        event.reply = Some(rejection.reply.text);
        event
    }
}

async fn handshake(stream: BoxStream, shared: &Shared) -> io::Result<(BoxStream, String)> {
    let terms = shared.terms.get();
    let Some(server_tls) = &terms.tls else {
        return Err(io::Error::other("there is no certificate"));
    };
    let begun = Instant::now();
    let accepted = tokio::time::timeout(HANDSHAKE_TIMEOUT, server_tls.acceptor().accept(stream));
    let accepted = accepted.await.unwrap_or_else(|late| Err(late.into()));
    let version = accepted.as_ref().map(|stream| stream.get_ref().1.protocol_version());
    HANDSHAKES.count(&[handshake::result(version)]);
    let stream = accepted?;
    HANDSHAKE_SECONDS.observe(begun.elapsed().as_secs_f64());
    let description = tls::describe(stream.get_ref().1);
    Ok((Box::new(stream), description))
}
