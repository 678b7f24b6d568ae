//! A network in memory: what goes through it comes in pieces, stops, or is reset at any octet, and connections to
//! each site are counted from the first packet until either end has let go.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use mta::outside::net::Listen;
use mta::outside::{BoxFuture, BoxListener, BoxStream, Net};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::faults::{Fault, HostPlan, Tls};
use super::plan::random;
use super::world::World;

/// Octets that are on their way in one direction at most.
const PIPE_OCTETS: usize = 64 * 1024;
/// Until a connection is up.
const LATENCY: Duration = Duration::from_millis(5);

/// What arrives at a mail server.
pub struct Call {
    /// The connection.
    pub stream: BoxStream,
    /// From which source.
    pub source: IpAddr,
    /// What goes wrong with it.
    pub fault: Option<Fault>,
    /// Whether the relay has let go of it.
    pub ends: Arc<Ends>,
}

/// The network of one life of the relay.
#[derive(Clone)]
pub struct SimNet {
    world: Arc<World>,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    listeners: HashMap<SocketAddr, UnboundedSender<(BoxStream, SocketAddr)>>,
    servers: HashMap<usize, UnboundedSender<Call>>,
    ports: u16,
}

impl SimNet {
    /// Nobody listens.
    pub fn new(world: Arc<World>) -> Self {
        Self { world, inner: Arc::default() }
    }

    /// Connections to a mail server.
    pub fn serve(&self, host: usize) -> UnboundedReceiver<Call> {
        let (sender, calls) = unbounded_channel();
        self.inner.lock().unwrap().servers.insert(host, sender);
        calls
    }

    /// A client connects to the relay. The relay sees it in pieces of so many octets, and it is reset after
    /// so many in both directions.
    pub fn dial(
        &self,
        from: IpAddr,
        to: SocketAddr,
        piece: usize,
        left: Option<u64>,
    ) -> io::Result<BoxStream> {
        let (ours, theirs) = tokio::io::duplex(PIPE_OCTETS);
        let mut inner = self.inner.lock().unwrap();
        inner.ports = inner.ports.wrapping_add(1);
        let client = SocketAddr::new(from, inner.ports);
        let listener = inner.listeners.get(&to).ok_or(io::ErrorKind::ConnectionRefused)?;
        let wire = Wire { stream: Some(theirs), piece, left, _end: None };
        let sent = listener.send((Box::new(wire), client));
        sent.map_err(|_| io::ErrorKind::ConnectionRefused)?;
        Ok(Box::new(ours))
    }

    fn draw_fault(&self, host: &HostPlan, place: usize) -> Option<Fault> {
        let number = self.world.books().next_session(place);
        let mut random = random(self.world.plan.seed, ("session", place, number));
        if self.world.now() >= host.troubled_until {
            return None;
        }
        let meets = rand::RngExt::random_bool(&mut random, host.fault_share);
        let fault = meets.then(|| Fault::draw(&mut random))?;
        // Octets of a handshake are never the same twice.
        (host.tls != Tls::Works || !matches!(fault, Fault::Cut(_))).then_some(fault)
    }

    async fn call(&self, source: IpAddr, to: SocketAddr) -> io::Result<BoxStream> {
        let world = &self.world;
        let place = world.plan.host_at(to.ip()).ok_or(io::ErrorKind::HostUnreachable)?;
        let host = &world.plan.hosts[place];
        let ends = Ends::open(world, host.site, source);
        tokio::time::sleep(LATENCY).await;
        let now = world.now();
        if host.dead || host.refuses.is_some_and(|(from, until)| (from..until).contains(&now)) {
            if place % 2 == 0 {
                world.fault("connection refused");
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            world.fault("connection not answered");
            std::future::pending::<()>().await;
        }
        let fault = self.draw_fault(host, place);
        world.note(format_args!("{source} connects to {}: {fault:?}", host.name));
        let (ours, theirs) = tokio::io::duplex(PIPE_OCTETS);
        let left = if let Some(Fault::Cut(octets)) = fault { Some(octets) } else { None };
        let theirs = Wire {
            stream: Some(theirs),
            piece: usize::MAX,
            left: None,
            _end: Some(End(Arc::clone(&ends))),
        };
        let server = self.inner.lock().unwrap().servers.get(&place).cloned();
        let server = server.ok_or(io::ErrorKind::ConnectionRefused)?;
        let call = Call { stream: Box::new(theirs), source, fault, ends: Arc::clone(&ends) };
        server.send(call).map_err(|_| io::ErrorKind::ConnectionRefused)?;
        let piece = if host.tls == Tls::Works { usize::MAX } else { host.piece };
        if piece == 1 {
            world.fault("octet by octet");
        }
        Ok(Box::new(Wire { stream: Some(ours), piece, left, _end: Some(End(ends)) }))
    }
}

impl Net for SimNet {
    fn listen(&self, address: SocketAddr) -> io::Result<BoxListener> {
        let (sender, arrivals) = unbounded_channel();
        self.inner.lock().unwrap().listeners.insert(address, sender);
        Ok(Box::new(SimListener { address, arrivals: tokio::sync::Mutex::new(arrivals) }))
    }

    fn connect(&self, from: IpAddr, to: SocketAddr) -> BoxFuture<'_, io::Result<BoxStream>> {
        Box::pin(self.call(from, to))
    }

    fn has_address(&self, _address: IpAddr) -> bool {
        true
    }
}

struct SimListener {
    address: SocketAddr,
    arrivals: tokio::sync::Mutex<UnboundedReceiver<(BoxStream, SocketAddr)>>,
}

impl Listen for SimListener {
    fn accept(&self) -> BoxFuture<'_, io::Result<(BoxStream, SocketAddr)>> {
        Box::pin(async move {
            self.arrivals.lock().await.recv().await.ok_or_else(|| io::ErrorKind::BrokenPipe.into())
        })
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

/// A connection as its site counts it.
pub struct Ends {
    world: Arc<World>,
    site: usize,
    source: IpAddr,
    closed: AtomicBool,
}

impl Ends {
    fn open(world: &Arc<World>, site: usize, source: IpAddr) -> Arc<Self> {
        world.books().connects(world, site, source);
        let world = Arc::clone(world);
        Arc::new(Self { world, site, source, closed: AtomicBool::new(false) })
    }

    /// Whether either end has let go of it.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    fn close(&self) {
        if !self.closed.swap(true, Ordering::Relaxed) {
            self.world.books().disconnects(self.site, self.source);
        }
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        self.close();
    }
}

/// One end of it: the first that goes closes it.
struct End(Arc<Ends>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// One end of a stream.
struct Wire {
    stream: Option<DuplexStream>,
    /// Octets that are read at a time.
    piece: usize,
    /// Octets until it is reset.
    left: Option<u64>,
    _end: Option<End>,
}

impl Wire {
    /// How many of so many octets may pass; none when it is reset, at which the other end sees it closed.
    fn may_pass(&mut self, octets: usize) -> io::Result<usize> {
        if self.left == Some(0) {
            self.stream = None;
        }
        if self.stream.is_none() {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let left = self.left.map_or(usize::MAX, |left| usize::try_from(left).unwrap());
        Ok(octets.min(left))
    }

    fn passed(&mut self, octets: usize) {
        if let Some(left) = &mut self.left {
            *left -= octets as u64;
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut octets = [0; 4096];
        let most = buffer.remaining().min(self.piece).min(octets.len());
        let most = self.may_pass(most)?;
        let mut part = ReadBuf::new(&mut octets[..most]);
        let stream = self.stream.as_mut().expect("it is there, or nothing may pass");
        std::task::ready!(Pin::new(stream).poll_read(cx, &mut part))?;
        buffer.put_slice(part.filled());
        let read = part.filled().len();
        self.passed(read);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        let most = self.may_pass(octets.len())?;
        let stream = self.stream.as_mut().expect("it is there, or nothing may pass");
        let written = std::task::ready!(Pin::new(stream).poll_write(cx, &octets[..most]))?;
        self.passed(written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Some(stream) => Pin::new(stream).poll_flush(cx),
            None => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Some(stream) => Pin::new(stream).poll_shutdown(cx),
            None => Poll::Ready(Ok(())),
        }
    }
}
