//! What else a machine can do to a relay: stop it in the middle, fill its disk, take away descriptors, names or the right
//! time, damage its files. What each of them costs stands in docs/failures.md; nothing acknowledged is lost in any
//! that leaves the disk whole.

use std::collections::BTreeSet;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use tests::client::Client;
use tests::packages::need;
use tests::relay::{RelayProcess, eventually};

use super::World;

/// Octets of the small disk.
const SMALL_DISK_MIB: u32 = 400;

/// A file system of its own, unmounted at the end.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path) -> Self {
        std::fs::create_dir_all(at).unwrap();
        let size = format!("size={SMALL_DISK_MIB}m");
        run("mount", &["-t", "tmpfs", "-o", &size, "tambo-small", &at.display().to_string()]);
        Self(at.to_owned())
    }

    fn remount(&self, how: &str) {
        run("mount", &["-o", &format!("remount,{how}"), &self.0.display().to_string()]);
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn run(program: &str, words: &[&str]) {
    let done = Command::new(program).args(words).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{program} {words:?}: {said} (these tests run as root)");
}

impl World {
    /// The same configuration with this put in the place of that.
    fn change(&self, that: &str, this: &str) {
        let text = std::fs::read_to_string(&self.config).unwrap();
        assert!(text.contains(that), "{that}");
        std::fs::write(&self.config, text.replace(that, this)).unwrap();
    }

    async fn start(&self) -> RelayProcess {
        RelayProcess::start(&self.config, self.folder.path()).await
    }

    fn acknowledged(&self) -> BTreeSet<String> {
        self.acknowledged.lock().unwrap().clone()
    }

    /// Everything that was acknowledged arrives.
    async fn all_arrive(&self) {
        let acknowledged = self.acknowledged();
        eventually("all that was acknowledged arrives", async || {
            let arrived: BTreeSet<String> = self.arrived().into_iter().collect();
            acknowledged.is_subset(&arrived).then_some(())
        })
        .await;
    }

    /// Sends one message; the reply to its end.
    async fn send_one(&self, relay: &RelayProcess, to: &str, body: &str) -> Result<String, String> {
        let mut client = Client::connect(relay.address("relay")).await?;
        client.command("EHLO c", 250).await?;
        let data = format!("Subject: x\r\n\r\n{body}\r\n");
        let reply = client.deliver("s@x.example", &[to], data.as_bytes()).await?;
        self.acknowledged.lock().unwrap().insert(to.to_owned());
        Ok(reply)
    }
}

/// The command's answer without a relay: whether it went well, and what it said.
fn tambo(world: &World, words: &[&str]) -> (bool, String) {
    // One that runs is stopped after a while.
    let done = Command::new("timeout")
        .args(["--kill-after=5", "20"])
        .arg(tests::program("tambo"))
        .args(words)
        .arg("--config")
        .arg(&world.config)
        .output()
        .unwrap();
    let said = [done.stdout, done.stderr].concat();
    (done.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopped_under_load_it_ends_well_and_loses_nothing() {
    let world = World::build(false).await;
    for round in 0..3 {
        let relay = world.start().await;
        let mut sessions = world.send(relay.address("relay"), round);
        let before = world.acknowledged().len();
        eventually("mail flows", async || (world.acknowledged().len() > before + 20).then_some(()))
            .await;
        assert!(relay.stop().await, "it ends well");
        while sessions.join_next().await.is_some() {}
    }
    let relay = world.start().await;
    world.all_arrive().await;
    assert!(relay.stop().await);
    let arrived = world.arrived();
    let distinct: BTreeSet<&String> = arrived.iter().collect();
    println!("{} arrived, {} twice", distinct.len(), arrived.len() - distinct.len());
    assert_eq!(arrived.len(), distinct.len(), "what is in flight ends before the relay does");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fills_refuses_mail_and_goes_on_when_there_is_room() {
    let world = World::build(false).await;
    let disk = SmallDisk::mount(&world.folder.path().join("small"));
    let data_dir = world.folder.path().display().to_string();
    world.change(
        &format!("data_dir = \"{data_dir}\"\n"),
        &format!("data_dir = \"{data_dir}/small\"\nmin_free_space = \"100MiB\"\n"),
    );
    let relay = RelayProcess::start(&world.config, &disk.0).await;
    world.send_one(&relay, "first@a.example", "x").await.unwrap();
    let filler = disk.0.join("filler");
    run("fallocate", &["-l", "280M", &filler.display().to_string()]);
    let refused = eventually("mail is refused", async || {
        world.send_one(&relay, "refused@a.example", "x").await.err()
    })
    .await;
    assert!(refused.starts_with("452 4.3.1 The disk is almost full"), "{refused}");
    std::fs::remove_file(&filler).unwrap();
    eventually("mail is taken again", async || {
        world.send_one(&relay, "second@a.example", "x").await.ok()
    })
    .await;
    world.all_arrive().await;
    assert!(relay.stop().await);

    // Fuller than the reserve: whatever is written, somebody else takes the room first.
    let relay = RelayProcess::start(&world.config, &disk.0).await;
    let mut sessions = world.send(relay.address("relay"), 7);
    let poured = Command::new("dd")
        .args(["if=/dev/zero", "bs=1M", "status=none"])
        .arg(format!("of={}", filler.display()))
        .output()
        .unwrap();
    assert!(!poured.status.success(), "the disk is full now");
    let answer = eventually("nothing is acknowledged any more", async || {
        world.send_one(&relay, "no-room@a.example", "x").await.err()
    })
    .await;
    println!("with no room at all: {answer}");
    relay.kill().await;
    std::fs::remove_file(&filler).unwrap();
    while sessions.join_next().await.is_some() {}
    let relay = RelayProcess::start(&world.config, &disk.0).await;
    world.all_arrive().await;
    assert!(relay.stop().await);
}

#[tokio::test]
async fn on_a_disk_that_cannot_be_written_it_does_not_start_and_says_why() {
    let world = World::build(false).await;
    let disk = SmallDisk::mount(&world.folder.path().join("small"));
    let data_dir = world.folder.path().display().to_string();
    world
        .change(&format!("data_dir = \"{data_dir}\""), &format!("data_dir = \"{data_dir}/small\""));
    let relay = RelayProcess::start(&world.config, &disk.0).await;
    world.send_one(&relay, "before@a.example", "x").await.unwrap();
    assert!(relay.stop().await);
    disk.remount("ro");
    let (well, said) = tambo(&world, &["serve"]);
    assert!(!well && said.contains("Read-only file system"), "{said}");
    disk.remount("rw");
    let relay = RelayProcess::start(&world.config, &disk.0).await;
    world.all_arrive().await;
    assert!(relay.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_descriptors_new_clients_wait_and_mail_goes_on() {
    need("prlimit", "util-linux");
    let world = World::build(false).await;
    let relay = world.start().await;
    world.send_one(&relay, "before@a.example", "x").await.unwrap();
    world.all_arrive().await;
    let pid = relay.pid().to_string();
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    run("prlimit", &["--pid", &pid, &format!("--nofile={}:", open + 4)]);
    let mut idle = Vec::new();
    for _ in 0..30 {
        // The kernel takes them; whether the relay can, is another matter.
        if let Ok(stream) = tokio::net::TcpStream::connect(relay.address("relay")).await {
            idle.push(stream);
        }
    }
    let busy = tokio::time::timeout(
        Duration::from_secs(2),
        world.send_one(&relay, "meanwhile@a.example", "x"),
    );
    println!("while there are none: {:?}", busy.await.map_err(|_| "the client waits"));
    drop(idle);
    eventually("clients are served again", async || {
        world.send_one(&relay, "after@a.example", "x").await.ok()
    })
    .await;
    run("prlimit", &["--pid", &pid, "--nofile=1024:"]);
    world.all_arrive().await;
    assert!(relay.stop().await);
}

#[tokio::test]
async fn without_names_mail_waits_and_goes_when_they_are_back() {
    let mut world = World::build(false).await;
    let address = world.dns.address;
    let (gone, zone) = (tests::dns::DnsServer::start("").await, super::ZONE);
    // Nobody listens where the relay asks.
    drop(std::mem::replace(&mut world.dns, gone));
    let relay = world.start().await;
    world.send_one(&relay, "u@a.example", "x").await.unwrap();
    eventually("it is deferred", async || {
        let rows = relay.ask(&["queue", "list"]).await;
        (rows[0]["state"] == "deferred").then_some(())
    })
    .await;
    let rows = relay.ask(&["queue", "list"]).await;
    println!("without names: {}", rows[0]["last_reply"]);
    world.dns = tests::dns::DnsServer::start_at(address, zone).await;
    world.all_arrive().await;
    assert!(relay.stop().await);
}

#[tokio::test]
async fn a_clock_that_is_set_back_loses_and_repeats_nothing() {
    need("faketime", "faketime");
    let world = World::build(false).await;
    let time = world.folder.path().join("time");
    std::fs::write(&time, "+0").unwrap();
    let file = format!("FAKETIME_TIMESTAMP_FILE={}", time.display());
    let library = faketime();
    let preload = format!("LD_PRELOAD={}", library.display());
    let wrap =
        ["env", &file, &preload, "FAKETIME_DONT_FAKE_MONOTONIC=1", "FAKETIME_CACHE_DURATION=1"];
    let relay = RelayProcess::start_with(&world.config, world.folder.path(), &wrap).await;
    for number in 0..20 {
        world.send_one(&relay, &format!("before{number}@b.example"), "x").await.unwrap();
    }
    // What waits, waits longer by as much.
    std::fs::write(&time, "-20s").unwrap();
    for number in 0..20 {
        world.send_one(&relay, &format!("after{number}@b.example"), "x").await.unwrap();
    }
    world.all_arrive().await;
    let told = async || {
        relay.said().iter().any(|line| line.contains("the clock was set back by")).then_some(())
    };
    eventually("the operator is told", told).await;
    world.send_one(&relay, "last@a.example", "x").await.unwrap();
    kill(relay.pid(), Signal::SIGKILL).unwrap();
    drop(relay);
    let relay = RelayProcess::start_with(&world.config, world.folder.path(), &wrap).await;
    world.send_one(&relay, "again@a.example", "x").await.unwrap();
    world.all_arrive().await;
    let arrived = world.arrived();
    let distinct: BTreeSet<&String> = arrived.iter().collect();
    assert!(
        arrived.len() <= distinct.len() + 1,
        "at most the one in flight at the kill comes twice"
    );
    let trace = relay.ask(&["trace", "again@a.example"]).await;
    assert!(trace[0]["time"].as_str().is_some(), "{trace}");
    assert!(relay.stop().await);
}

fn faketime() -> PathBuf {
    let found = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib/faketime"];
    let libraries = found.iter().flat_map(|folder| {
        [format!("{folder}/faketime/libfaketimeMT.so.1"), format!("{folder}/libfaketimeMT.so.1")]
    });
    libraries.map(PathBuf::from).find(|path| path.exists()).expect("the package faketime is there")
}

#[tokio::test]
async fn a_log_whose_end_is_missing_loses_that_end_and_nothing_before() {
    let world = World::build(true).await;
    let relay = world.start().await;
    for number in 0..200 {
        world.send_one(&relay, &format!("u{number}@a.example"), "x").await.unwrap();
    }
    relay.kill().await;
    let logs = files(&world.folder.path().join("spool"), "log");
    let last = logs.last().unwrap();
    let size = std::fs::metadata(last).unwrap().len();
    std::fs::OpenOptions::new().write(true).open(last).unwrap().set_len(size - 10).unwrap();
    let relay = world.start().await;
    let left = relay.ask(&["queue", "list", "--limit", "1000"]).await.as_array().unwrap().len();
    println!("ten octets of {size} are missing: {left} of 200 are left");
    assert!(left >= 199, "only what the last write held may be missing: {left}");
    assert!(relay.stop().await);
}

#[tokio::test]
async fn a_damaged_table_stops_the_relay_and_what_can_be_read_is_exported() {
    let world = World::build(true).await;
    // The log goes into tables when the relay is started again.
    for round in 0..2 {
        let relay = world.start().await;
        for number in 0..100 {
            let to = format!("u{round}-{number}@a.example");
            world.send_one(&relay, &to, "x").await.unwrap();
        }
        assert!(relay.stop().await);
    }
    let spool = world.folder.path().join("spool");
    let tables = files(&spool, "sst");
    assert!(!tables.is_empty(), "there are tables");
    for table in &tables {
        let file = std::fs::OpenOptions::new().read(true).write(true).open(table).unwrap();
        // The first block of records.
        file.write_all_at(&[0xff; 64], 16).unwrap();
    }
    let (well, said) = tambo(&world, &["serve"]);
    println!("tables are damaged: serve ends {}: {said}", if well { "well" } else { "badly" });
    assert!(!well && said.contains("tambo spool check"), "it says what to do: {said}");
    let out = world.folder.path().join("saved");
    let (_, said) = tambo(&world, &["spool", "export", &out.display().to_string()]);
    println!("export: {said}");
    assert!(
        said.contains("damaged") || said.contains("cannot be read"),
        "it says what is lost: {said}"
    );
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().flatten();
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|it| it == extension))
        .collect();
    files.sort();
    files
}
