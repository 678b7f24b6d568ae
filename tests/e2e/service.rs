//! The relay as a service of systemd: its unit, what it tells, sockets that it is handed.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::time::{ClockId, clock_gettime};
use tests::client::Client;
use tests::relay::RelayProcess;
use tokio::net::UnixDatagram;

fn unit(name: &str) -> PathBuf {
    PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("../systemd").join(name)
}

fn configuration(folder: &std::path::Path, bind: &str) -> PathBuf {
    let text = format!(
        "[server]\nhostname = \"relay.example.pe\"\ndata_dir = \"{}\"\n[dns]\nservers = [\"127.0.0.1:9\"]\n\
         [[listener]]\nname = \"relay\"\nbind = [\"{bind}\"]\ntls = \"off\"\nrelay_from = [\"127.0.0.0/8\"]\n",
        folder.display()
    );
    let path = folder.join("tambo.toml");
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn the_unit_leaves_little_to_an_intruder() {
    let done = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--threshold=20", "--no-pager"])
        .arg(unit("tambo.service"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "exposure is over 2.0:\n{said}");
    assert!(said.contains("Overall exposure level"), "{said}");
}

/// What a service tells systemd, as it comes.
struct Ear {
    socket: UnixDatagram,
    said: Vec<String>,
}

impl Ear {
    /// The first message from now on that has this line.
    async fn hear(&mut self, wanted: &str) -> String {
        let mut octets = [0; 1024];
        let heard = tokio::time::timeout(Duration::from_secs(20), async {
            loop {
                let length = self.socket.recv(&mut octets).await.unwrap();
                let text = String::from_utf8_lossy(&octets[..length]).into_owned();
                self.said.push(text.clone());
                if text.lines().any(|line| line == wanted) {
                    return text;
                }
            }
        });
        heard.await.unwrap_or_else(|_| panic!("{wanted} was not heard: {:?}", self.said))
    }

    /// Everything but the beats of the watchdog, by its first line.
    fn told(&self) -> Vec<&str> {
        let first = self.said.iter().filter_map(|text| text.lines().next());
        first.filter(|line| *line != "WATCHDOG=1").collect()
    }
}

fn monotonic_microseconds() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap();
    u64::try_from(now.tv_sec() * 1_000_000 + now.tv_nsec() / 1_000).unwrap()
}

#[tokio::test]
async fn systemd_hears_that_it_is_ready_well_reloading_and_stopping() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("notify");
    let socket = UnixDatagram::bind(&place).unwrap();
    let config = configuration(folder.path(), "127.0.0.1:0");
    let notify = format!("NOTIFY_SOCKET={}", place.display());
    let wrap = ["env", &notify, "WATCHDOG_USEC=100000"];
    let relay = RelayProcess::start_with(&config, folder.path(), &wrap).await;
    let mut ear = Ear { socket, said: Vec::new() };
    ear.hear("READY=1").await;
    ear.hear("WATCHDOG=1").await;
    ear.hear("WATCHDOG=1").await;
    // It counts as reloading from the first to the second; `Type=notify-reload` wants the time, too.
    let whole = std::fs::read_to_string(&config).unwrap();
    let broken = whole.replace("[dns]", "[dns]\nnonsense = 1");
    for (text, status) in [
        (&whole, "STATUS=the configuration was reloaded"),
        (&broken, "STATUS=not reloaded, the configuration in force stays: "),
        (&whole, "STATUS=the configuration was reloaded"),
    ] {
        std::fs::write(&config, text).unwrap();
        let before = monotonic_microseconds();
        kill(relay.pid(), Signal::SIGHUP).unwrap();
        let reloading = ear.hear("RELOADING=1").await;
        let since = reloading.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
        let since: u64 = since.expect(&reloading).parse().unwrap();
        assert!((before..=monotonic_microseconds()).contains(&since), "{before}: {reloading}");
        let ready = ear.hear("READY=1").await;
        assert!(ready.lines().any(|line| line.starts_with(status)), "{ready}");
    }
    assert!(relay.stop().await);
    ear.hear("STOPPING=1").await;
    let reload = ["RELOADING=1", "READY=1"];
    let all = [&["READY=1"][..], &reload, &reload, &reload, &["STOPPING=1"]].concat();
    assert_eq!(ear.told(), all);
}

#[tokio::test]
async fn a_socket_that_systemd_opened_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let port = tests::free_port(&["127.0.0.1".parse().unwrap()]);
    let address = format!("127.0.0.1:{port}");
    let config = configuration(folder.path(), &address);
    // It opens the port and starts the relay when somebody connects.
    let early = tokio::spawn({
        let address = address.clone();
        async move {
            loop {
                if let Ok(stream) = tokio::net::TcpStream::connect(&address).await {
                    return stream;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    });
    let wrap = ["systemd-socket-activate", "-l", &address];
    let relay = RelayProcess::start_with(&config, folder.path(), &wrap).await;
    assert_eq!(relay.address("relay").to_string(), address);
    let _early = early.await.unwrap();
    let mut client = Client::connect(relay.address("relay")).await.unwrap();
    client.command("EHLO client.example", 250).await.unwrap();
    assert!(relay.stop().await);
}
