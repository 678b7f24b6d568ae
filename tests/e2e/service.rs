//! The relay as a service of systemd: its unit, what it tells, sockets that it is handed.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

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

#[tokio::test]
async fn systemd_hears_that_it_is_ready_well_and_stopping() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("notify");
    let socket = UnixDatagram::bind(&place).unwrap();
    let config = configuration(folder.path(), "127.0.0.1:0");
    let notify = format!("NOTIFY_SOCKET={}", place.display());
    let wrap = ["env", &notify, "WATCHDOG_USEC=100000"];
    let relay = RelayProcess::start_with(&config, folder.path(), &wrap).await;
    let mut said = Vec::new();
    let mut hear = async |wanted: &str| {
        let mut octets = [0; 1024];
        let heard = tokio::time::timeout(Duration::from_secs(20), async {
            loop {
                let length = socket.recv(&mut octets).await.unwrap();
                let text = String::from_utf8_lossy(&octets[..length]).into_owned();
                said.push(text.clone());
                if text.lines().any(|line| line == wanted) {
                    return;
                }
            }
        });
        assert!(heard.await.is_ok(), "{wanted} was not heard: {said:?}");
    };
    hear("READY=1").await;
    hear("WATCHDOG=1").await;
    hear("WATCHDOG=1").await;
    assert!(relay.stop().await);
    hear("STOPPING=1").await;
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
