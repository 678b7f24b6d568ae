//! Nothing acknowledged is lost: kill -9 at random moments, then the log cut to what the last
//! completed sync had covered. A kill leaves the page cache, so without the cut a relay that
//! never syncs would pass; that one is tested too, and must fail.

#![expect(clippy::print_stdout, reason = "figures for whoever reads the log")]
#![expect(clippy::unwrap_used, reason = "a world that cannot be built is a failed test")]

mod faults;
mod trace;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tests::client::Client;
use tests::corpus::attachment;
use tests::dns::DnsServer;
use tests::free_port;
use tests::mx::{Behaviour, MxHost};
use tests::packages::need;
use tests::relay::{RelayProcess, eventually};
use tokio::task::JoinSet;

const SESSIONS: usize = 6;
const ZONE: &str = "a.example MX 10 mx.a.example\nmx.a.example A 127.0.1.90\nb.example MX 10 mx.b.example\nmx.b.example A 127.0.1.91";

struct World {
    config: PathBuf,
    folder: tempfile::TempDir,
    hosts: Vec<MxHost>,
    acknowledged: Arc<Mutex<BTreeSet<String>>>,
    dns: DnsServer,
}

impl World {
    /// `b.example` refuses everything for now when `deferring`.
    async fn build(deferring: bool) -> Self {
        need("strace", "strace");
        // A real disk: nothing is proved on tmpfs.
        let folder =
            tempfile::Builder::new().prefix("tambo-crash-").tempdir_in("/var/tmp").unwrap();
        let ips = ["127.0.1.90".parse().unwrap(), "127.0.1.91".parse().unwrap()];
        let port = free_port(&ips);
        let grey = Behaviour { greylist: true, ..Behaviour::default() };
        let busy =
            Behaviour { mail_reply: Some("450 4.3.2 not now".to_owned()), ..Behaviour::default() };
        let [first, second] =
            if deferring { [busy.clone(), busy] } else { [Behaviour::default(), grey] };
        let hosts = vec![
            MxHost::start(SocketAddr::new(ips[0], port), first),
            MxHost::start(SocketAddr::new(ips[1], port), second),
        ];
        let dns = DnsServer::start(ZONE).await;
        let text = format!(
            "[server]\nhostname = \"relay.x.example\"\ndata_dir = \"{}\"\n[[listener]]\nname = \"relay\"\n\
             bind = [\"127.0.0.1:0\"]\ntls = \"off\"\nrelay_from = [\"127.0.0.0/8\"]\n[delivery]\nport = {port}\n\
             retry = [\"1s\"]\nallow_destinations = [\"127.0.1.0/24\"]\n\
             [[response]]\nid = \"grey\"\npattern = 'greylisted'\ncategory = \"greylist\"\nscope = \"triplet\"\n\
             action = [\"retry\", \"same-source\"]\nretry_after = \"1s\"\n[dns]\nservers = [\"{}\"]\n[log]\nlevel = \"warn\"\n",
            folder.path().display(),
            dns.address
        );
        let config = folder.path().join("tambo.toml");
        std::fs::write(&config, text).unwrap();
        Self { config, folder, hosts, acknowledged: Arc::default(), dns }
    }

    fn trace(&self) -> PathBuf {
        self.folder.path().join("trace")
    }

    /// A relay whose syncs are seen; `inject` changes what a sync does.
    async fn start_traced(&self, inject: Option<&str>) -> RelayProcess {
        let trace = self.trace();
        let _ = std::fs::remove_file(&trace);
        let trace = trace.display().to_string();
        let mut words = vec!["strace", "-D", "-f", "-y", "-s", "0", "-o", &trace];
        words.extend(["-e", "trace=write,pwrite64,fdatasync,fsync,exit_group"]);
        if let Some(inject) = inject {
            words.extend(["-e", inject]);
        }
        RelayProcess::start_with(&self.config, self.folder.path(), &words).await
    }

    /// Sessions that send until the relay is gone, and note what was acknowledged.
    fn send(&self, to: SocketAddr, round: u64) -> JoinSet<()> {
        let mut sessions = JoinSet::new();
        for session in 0..SESSIONS {
            let acknowledged = Arc::clone(&self.acknowledged);
            sessions.spawn(async move {
                let large = attachment(700_000);
                let Ok(mut client) = Client::connect(to).await else { return };
                if client.command("EHLO c", 250).await.is_err() {
                    return;
                }
                for number in 0.. {
                    let id = format!("{round}-{session}-{number}@crash");
                    let domain = if number % 2 == 0 { "a.example" } else { "b.example" };
                    let body = if number % 17 == 3 { large.as_str() } else { "short\r\n" };
                    let data = format!("Message-ID: <{id}>\r\nSubject: x\r\n\r\n{body}");
                    let recipient = format!("{round}-{session}-{number}@{domain}");
                    match client.deliver("s@x.example", &[&recipient], data.as_bytes()).await {
                        Ok(_) => {
                            acknowledged.lock().unwrap().insert(recipient);
                        }
                        Err(_) => return,
                    }
                }
            });
        }
        sessions
    }

    async fn kill_and_cut(&self, relay: RelayProcess) -> u64 {
        relay.kill().await;
        let trace = self.trace();
        let ended = async || {
            let text = std::fs::read_to_string(&trace).unwrap_or_default();
            text.contains("+++ killed by SIGKILL +++").then_some(())
        };
        eventually("the trace ends", ended).await;
        trace::cut_logs(
            &std::fs::read_to_string(&trace).unwrap(),
            Path::new(&self.folder.path().join("spool")),
        )
    }

    fn arrived(&self) -> Vec<String> {
        self.hosts.iter().flat_map(MxHost::taken).flat_map(|taken| taken.recipients).collect()
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_the_machine_stops() {
    let world = World::build(false).await;
    let mut random = StdRng::seed_from_u64(number("TAMBO_CRASH_SEED", 1));
    let rounds = number("TAMBO_CRASH_ROUNDS", 5);
    for round in 0..rounds {
        let relay = world.start_traced(None).await;
        let before = world.acknowledged.lock().unwrap().len();
        let mut sessions = world.send(relay.address("relay"), round);
        // However busy the machine is, the kill hits a relay at work.
        eventually("mail flows", async || {
            (world.acknowledged.lock().unwrap().len() > before + 5).then_some(())
        })
        .await;
        tokio::time::sleep(Duration::from_millis(random.random_range(0..900))).await;
        let cut = world.kill_and_cut(relay).await;
        while sessions.join_next().await.is_some() {}
        let count = world.acknowledged.lock().unwrap().len();
        println!("round {}/{rounds}: {count} acknowledged, {cut} octets of log cut", round + 1);
    }
    let relay = RelayProcess::start(&world.config, world.folder.path()).await;
    let acknowledged = world.acknowledged.lock().unwrap().clone();
    assert!(acknowledged.len() as u64 > rounds * 5, "too few: {}", acknowledged.len());
    let missing = || {
        let arrived: BTreeSet<String> = world.arrived().into_iter().collect();
        acknowledged.difference(&arrived).cloned().collect::<Vec<_>>()
    };
    let drained = async || {
        let left = relay.ask(&["queue", "list", "--limit", "1"]).await;
        (left.as_array().unwrap().is_empty()).then_some(())
    };
    eventually("the queue is empty", drained).await;
    assert_eq!(missing(), Vec::<String>::new(), "acknowledged and lost");
    let arrived = world.arrived();
    let distinct: BTreeSet<&String> = arrived.iter().collect();
    println!(
        "{} acknowledged, {} arrived, {} twice",
        acknowledged.len(),
        distinct.len(),
        arrived.len() - distinct.len()
    );
    assert!(relay.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_does_not_sync_fails_this_test() {
    let world = World::build(true).await;
    // The syncs do nothing and say that all is well.
    let relay = world.start_traced(Some("inject=fdatasync,fsync:retval=0")).await;
    let mut sessions = world.send(relay.address("relay"), 0);
    eventually("mail flows", async || {
        (world.acknowledged.lock().unwrap().len() > 20).then_some(())
    })
    .await;
    world.kill_and_cut(relay).await;
    while sessions.join_next().await.is_some() {}
    let acknowledged = world.acknowledged.lock().unwrap().len();
    let relay = RelayProcess::start(&world.config, world.folder.path()).await;
    let left = relay.ask(&["queue", "list", "--limit", "100000"]).await.as_array().unwrap().len();
    println!("{acknowledged} acknowledged without a sync, {left} left");
    assert!(left < acknowledged, "the cut does not show what was not synced");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_sync_ends_the_relay_and_nothing_is_acknowledged_after_it() {
    let world = World::build(true).await;
    let relay = world.start_traced(Some("inject=fdatasync:error=EIO:when=40+")).await;
    let mut sessions = world.send(relay.address("relay"), 0);
    assert!(!relay.ended().await, "it ends by itself, and not well");
    while sessions.join_next().await.is_some() {}
    let relay = RelayProcess::start(&world.config, world.folder.path()).await;
    let acknowledged = world.acknowledged.lock().unwrap().len();
    let left = relay.ask(&["queue", "list", "--limit", "100000"]).await.as_array().unwrap().len();
    assert!(acknowledged > 0 && left >= acknowledged, "{acknowledged} acknowledged, {left} left");
}

#[tokio::test]
async fn with_too_little_disk_nothing_is_accepted() {
    let world = World::build(true).await;
    let text = std::fs::read_to_string(&world.config).unwrap();
    std::fs::write(
        &world.config,
        text.replace("[server]\n", "[server]\nmin_free_space = \"900TiB\"\n"),
    )
    .unwrap();
    let relay = RelayProcess::start(&world.config, world.folder.path()).await;
    let mut client = Client::connect(relay.address("relay")).await.unwrap();
    client.command("EHLO c", 250).await.unwrap();
    let refused = client.command("MAIL FROM:<a@x.example>", 250).await.unwrap_err();
    assert_eq!(refused, "452 4.3.1 The disk is almost full; try again later");
}
