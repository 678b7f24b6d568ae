//! The relay as a process: a configuration in a folder, started, asked, stopped, killed.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, timeout};

use crate::program;

/// Time for a relay to be ready, and to stop.
const PATIENCE: Duration = Duration::from_mins(1);
/// Lines of its log that are kept, to be shown when it ends badly.
const SAID_MAX: usize = 50;

/// A relay that runs; killed when dropped.
pub struct RelayProcess {
    child: Child,
    /// Its configuration.
    pub config: PathBuf,
    data_dir: PathBuf,
    /// Name of listener (and `admin`) → address.
    pub addresses: HashMap<String, SocketAddr>,
    /// The last it wrote to standard error.
    said: Arc<Mutex<VecDeque<String>>>,
}

impl RelayProcess {
    /// Starts `tambo serve` on a configuration file; `wrap` goes before it, as `strace -f …`.
    pub async fn start_with(config: &Path, data_dir: &Path, wrap: &[&str]) -> Self {
        let tambo = program("tambo");
        let mut words: Vec<&std::ffi::OsStr> = wrap.iter().map(std::ffi::OsStr::new).collect();
        words.push(tambo.as_os_str());
        let mut child = Command::new(words[0])
            .args(&words[1..])
            .args(["serve", "--config"])
            .arg(config)
            .stderr(Stdio::piped())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .process_group(0)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = Vec::new();
        let ready = timeout(PATIENCE, async {
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some(places) = line.strip_prefix("tambo ready: ") {
                    return Some(places.to_owned());
                }
                said.push(line);
            }
            None
        })
        .await;
        let Ok(Some(places)) = ready else {
            panic!("the relay is not ready; it said:\n{}", said.join("\n"))
        };
        let log = std::env::var_os("TAMBO_TEST_LOG").is_some();
        let said = Arc::new(Mutex::new(VecDeque::from(said)));
        let last = Arc::clone(&said);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                if log {
                    eprintln!("{line}");
                }
                let mut last = last.lock().unwrap();
                if last.len() == SAID_MAX {
                    last.pop_front();
                }
                last.push_back(line);
            }
        });
        let addresses = places
            .split(", ")
            .filter_map(|place| place.split_once(" on "))
            .map(|(name, address)| (name.to_owned(), address.parse().unwrap()))
            .collect();
        Self { child, config: config.to_owned(), data_dir: data_dir.to_owned(), addresses, said }
    }

    /// Starts `tambo serve`.
    pub async fn start(config: &Path, data_dir: &Path) -> Self {
        Self::start_with(config, data_dir, &[]).await
    }

    /// Where a listener listens.
    pub fn address(&self, listener: &str) -> SocketAddr {
        *self
            .addresses
            .get(listener)
            .unwrap_or_else(|| panic!("{listener} is not among {:?}", self.addresses))
    }

    /// Runs a command of the command line with `--json` and reads what it prints.
    pub async fn ask(&self, words: &[&str]) -> Value {
        let (done, out, err) = self.run(&[words, &["--json"]].concat()).await;
        assert!(done, "{words:?}: {err}");
        serde_json::from_str(&out).unwrap()
    }

    /// Runs a command of the command line: whether it succeeded, and what it wrote.
    pub async fn run(&self, words: &[&str]) -> (bool, String, String) {
        let done = Command::new(program("tambo"))
            .args(words)
            .arg("--config")
            .arg(&self.config)
            .output()
            .await
            .unwrap();
        let text = |octets| String::from_utf8(octets).unwrap();
        (done.status.success(), text(done.stdout), text(done.stderr))
    }

    /// The page that Prometheus reads.
    pub async fn metrics(&self) -> String {
        metrics_at(self.address("admin")).await
    }

    /// The value of a counter, written with its labels; 0 when it is not there.
    pub async fn metric(&self, name: &str) -> u64 {
        let page = self.metrics().await;
        let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map_or(0, |value| value.parse().unwrap())
    }

    /// The events in the files so far.
    pub fn events(&self) -> Vec<Value> {
        let mut files: Vec<PathBuf> = std::fs::read_dir(self.data_dir.join("events"))
            .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
            .unwrap_or_default();
        files.sort();
        let texts = files.iter().map(|file| std::fs::read_to_string(file).unwrap_or_default());
        let lines: Vec<String> =
            texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
        // The last line may be half written.
        lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The last that it wrote to standard error.
    pub fn said(&self) -> Vec<String> {
        self.said.lock().unwrap().iter().cloned().collect()
    }

    /// Process id.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id().unwrap()).unwrap())
    }

    /// SIGTERM; returns whether it ended well.
    pub async fn stop(mut self) -> bool {
        kill(self.pid(), Signal::SIGTERM).unwrap();
        let status = timeout(PATIENCE, self.child.wait()).await.unwrap().unwrap();
        if !status.success() {
            let said = self.said.lock().unwrap().make_contiguous().join("\n");
            eprintln!("the relay ended with {status}; it said:\n{said}");
        }
        status.success()
    }

    /// SIGKILL.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Waits until it ends by itself; returns whether it ended well.
    pub async fn ended(mut self) -> bool {
        timeout(PATIENCE, self.child.wait()).await.unwrap().unwrap().success()
    }
}

/// The page that Prometheus reads, of a relay whose `admin.bind` is there.
pub async fn metrics_at(admin: SocketAddr) -> String {
    let mut stream = TcpStream::connect(admin).await.unwrap();
    let question = b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    stream.write_all(question).await.unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).await.unwrap();
    page
}

/// Looks until something is so; fails after a minute with what it was waiting for.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < until, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
