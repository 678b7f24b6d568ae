//! What strangers do.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tests::client::{Client, stream_from};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

use super::world::World;

/// Addresses that attackers come from: as many as a small botnet has.
const ADDRESSES: u64 = 200;

/// An attack, and how it begins.
pub struct Attack {
    pub name: &'static str,
    pub begin: fn(&World) -> Hostile,
    /// It goes on until so much was tried, in each round.
    pub tries: u64,
}

/// Every attack.
pub const ATTACKS: &[Attack] = &[
    Attack { name: "10,000 idle connections", begin: idle, tries: 0 },
    Attack { name: "1,000 clients of an octet a second", begin: slow, tries: 0 },
    Attack { name: "100 clients that never read", begin: never_read, tries: 0 },
    Attack { name: "1,000 connections a second", begin: connects, tries: 0 },
    Attack { name: "pipelined floods", begin: floods, tries: 0 },
    Attack { name: "100,000 guesses of recipients", begin: recipients, tries: 100_000 },
    Attack { name: "10,000 guesses of passwords", begin: passwords, tries: 10_000 },
];

/// Attackers at work.
pub struct Hostile {
    tasks: JoinSet<()>,
    done: Arc<AtomicU64>,
    turned_away: Arc<AtomicU64>,
    what: &'static str,
}

impl Hostile {
    fn new(what: &'static str) -> Self {
        let (done, turned_away) = (Arc::default(), Arc::default());
        Self { tasks: JoinSet::new(), done, turned_away, what }
    }

    /// What they tried, whatever came of it.
    pub fn tried(&self) -> u64 {
        self.done.load(Ordering::Relaxed) + self.turned_away.load(Ordering::Relaxed)
    }

    /// They go away; what they got done.
    pub async fn end(mut self) -> String {
        self.tasks.shutdown().await;
        let (done, away) =
            (self.done.load(Ordering::Relaxed), self.turned_away.load(Ordering::Relaxed));
        format!("{done} {}, {away} times turned away", self.what)
    }

    /// So many of these at work, over and over until the end.
    fn work<F>(&mut self, count: u64, act: impl Fn(u64, Counters) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        for number in 0..count {
            let counters =
                Counters { done: Arc::clone(&self.done), away: Arc::clone(&self.turned_away) };
            self.tasks.spawn(act(number, counters));
        }
    }
}

#[derive(Clone)]
struct Counters {
    done: Arc<AtomicU64>,
    away: Arc<AtomicU64>,
}

impl Counters {
    fn done(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }

    fn away(&self) {
        self.away.fetch_add(1, Ordering::Relaxed);
    }
}

/// 127.0.10.1 and on.
fn address(number: u64) -> IpAddr {
    let place = number % ADDRESSES;
    IpAddr::from([127, 0, 10, u8::try_from(1 + place).unwrap_or(1)])
}

async fn pause() {
    tokio::time::sleep(Duration::from_millis(500)).await;
}

/// They say EHLO, and then nothing.
fn idle(world: &World) -> Hostile {
    let mut hostile = Hostile::new("connections held");
    let to = world.relay.address("relay");
    hostile.work(10_000, move |number, counters| async move {
        loop {
            if let Ok(mut client) = Client::connect_from(address(number), to).await
                && client.command("EHLO idle.example", 250).await.is_ok()
            {
                counters.done();
                std::future::pending::<()>().await;
            }
            counters.away();
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
    });
    hostile
}

/// An octet of a command each second.
fn slow(world: &World) -> Hostile {
    let mut hostile = Hostile::new("octets sent");
    let to = world.relay.address("relay");
    hostile.work(1_000, move |number, counters| async move {
        loop {
            if let Ok(mut stream) = stream_from(address(number), to).await {
                for octet in b"EHLO slow.example".iter().cycle() {
                    if stream.write_all(&[*octet]).await.is_err() {
                        break;
                    }
                    counters.done();
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
            counters.away();
            pause().await;
        }
    });
    hostile
}

/// Commands whose replies nobody fetches.
fn never_read(world: &World) -> Hostile {
    let mut hostile = Hostile::new("commands written");
    let to = world.relay.address("relay");
    hostile.work(100, move |number, counters| async move {
        loop {
            if let Ok(mut stream) = stream_from(address(number), to).await {
                let _ = stream.write_all(b"EHLO deaf.example\r\n").await;
                let commands = b"NOOP\r\n".repeat(1_000);
                while stream.write_all(&commands).await.is_ok() {
                    for _ in 0..1_000 {
                        counters.done();
                    }
                }
            }
            counters.away();
            pause().await;
        }
    });
    hostile
}

/// They connect, read the greeting or not, and go.
fn connects(world: &World) -> Hostile {
    let mut hostile = Hostile::new("connections made");
    let to = world.relay.address("relay");
    hostile.work(500, move |number, counters| async move {
        let mut ticks = tokio::time::interval(Duration::from_millis(500));
        for turn in 0.. {
            ticks.tick().await;
            let Ok(mut stream) = stream_from(address(number + turn), to).await else {
                counters.away();
                continue;
            };
            let mut greeting = [0; 3];
            match stream.read_exact(&mut greeting).await {
                Ok(_) if greeting == *b"220" => counters.done(),
                _ => counters.away(),
            }
        }
    });
    hostile
}

/// As many commands in a packet as fit.
fn floods(world: &World) -> Hostile {
    let mut hostile = Hostile::new("replies drawn");
    let to = world.relay.address("relay");
    hostile.work(20, move |number, counters| async move {
        loop {
            if let Ok(stream) = stream_from(address(number), to).await {
                let (mut reads, mut writes) = stream.into_split();
                let commands =
                    b"MAIL FROM:<a@b.example>\r\nRCPT TO:<a@b.example>\r\nRSET\r\nNONSENSE\r\n"
                        .repeat(500);
                let reading = async {
                    let mut buffer = vec![0; 64 * 1024];
                    while let Ok(size) = reads.read(&mut buffer).await
                        && size > 0
                    {
                        let lines = buffer[..size].iter().filter(|octet| **octet == b'\n');
                        for _ in lines {
                            counters.done();
                        }
                    }
                };
                let writing = async {
                    let _ = writes.write_all(b"EHLO flood.example\r\n").await;
                    while writes.write_all(&commands).await.is_ok() {}
                };
                tokio::select! { () = reading => {} () = writing => {} }
            }
            counters.away();
            pause().await;
        }
    });
    hostile
}

/// Is this one there? And this one?
fn recipients(world: &World) -> Hostile {
    let mut hostile = Hostile::new("recipients asked for");
    let to = world.relay.address("relay");
    hostile.work(50, move |number, counters| async move {
        loop {
            if let Ok(mut client) = Client::connect_from(address(number), to).await
                && client.command("EHLO guess.example", 250).await.is_ok()
                && client.command("MAIL FROM:<a@b.example>", 250).await.is_ok()
            {
                for guess in 0.. {
                    let asked = format!("RCPT TO:<user{guess}@a.example>");
                    match client.command(&asked, 250).await {
                        Err(answer) if answer.starts_with('5') => counters.done(),
                        _ => break,
                    }
                }
            }
            counters.away();
            pause().await;
        }
    });
    hostile
}

/// Each check of a password costs the relay memory and time: that is what makes them hard to guess.
fn passwords(world: &World) -> Hostile {
    let mut hostile = Hostile::new("passwords tried");
    let to: SocketAddr = world.relay.address("submission");
    let connector = world.certificate.connector();
    hostile.work(50, move |number, counters| {
        let connector = connector.clone();
        async move {
            loop {
                let from = address(number);
                let opened = Client::connect_with_tls(from, to, &connector, "relay.example").await;
                if let Ok(mut client) = opened
                    && client.command("EHLO guess.example", 250).await.is_ok()
                {
                    for guess in 0.. {
                        match client.login("script", &format!("guess{guess}")).await {
                            Err(answer) if answer.starts_with("535") => counters.done(),
                            // Not checked any more, for a while; they go on until they are cut off.
                            Err(answer) if answer.starts_with('4') => counters.away(),
                            _ => break,
                        }
                    }
                }
                pause().await;
            }
        }
    });
    hostile
}
