//! A real browser without a window: Debian's Chromium, driven by chromedriver over `WebDriver` (W3C). One at a time.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::OnceLock;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, MutexGuard};

use crate::relay::eventually;

/// How `WebDriver` names an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A window of a browser; closed when dropped.
pub struct Browser {
    address: SocketAddr,
    session: String,
    downloads: tempfile::TempDir,
    _driver: Child,
    _turn: MutexGuard<'static, ()>,
}

impl Browser {
    /// Opens one. It speaks the languages of `languages`, as `es-PE,es`, and takes certificates of tests.
    pub async fn start(languages: &str) -> Self {
        static TURN: OnceLock<Mutex<()>> = OnceLock::new();
        let turn = TURN.get_or_init(Mutex::default).lock().await;
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("chromedriver is not installed: run scripts/packages test");
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port: u16 = loop {
            let line = lines.next_line().await.unwrap().expect("chromedriver ended");
            if let Some(port) = line.split("successfully on port ").nth(1) {
                break port.trim_end_matches('.').parse().unwrap();
            }
        };
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let flags = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
        ];
        let language = format!("--accept-lang={languages}");
        let flags: Vec<&str> = flags.into_iter().chain([language.as_str()]).collect();
        let downloads = tempfile::tempdir().unwrap();
        let options = json!({
            "args": flags,
            "prefs": {
                "intl.accept_languages": languages,
                "download.default_directory": downloads.path(),
                "download.prompt_for_download": false,
            },
        });
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "acceptInsecureCerts": true, "goog:chromeOptions": options, "timeouts": { "script": 60_000 },
        } } });
        let made = send(address, "POST", "/session", Some(&wanted)).await;
        let session = made["sessionId"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned();
        Self { address, session, downloads, _driver: driver, _turn: turn }
    }

    async fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        send(self.address, method, &format!("/session/{}{path}", self.session), body).await
    }

    /// Goes to an address.
    pub async fn go(&self, to: &str) {
        self.ask("POST", "/url", Some(&json!({ "url": to }))).await;
    }

    /// Where it is.
    pub async fn place(&self) -> String {
        self.ask("GET", "/url", None).await.as_str().unwrap().to_owned()
    }

    /// What a script returns.
    pub async fn run(&self, script: &str) -> Value {
        self.ask("POST", "/execute/sync", Some(&json!({ "script": script, "args": [] }))).await
    }

    /// What a script that takes its time hands to its last argument.
    pub async fn run_later(&self, script: &str) -> Value {
        self.ask("POST", "/execute/async", Some(&json!({ "script": script, "args": [] }))).await
    }

    /// The text that is seen of the page.
    pub async fn text(&self) -> String {
        let text = self.run("return document.body.innerText").await;
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until the page shows a text.
    pub async fn shows(&self, text: &str) {
        eventually(&format!("the page shows {text}"), async || {
            self.text().await.contains(text).then_some(())
        })
        .await;
    }

    /// Waits for a file whose name begins and ends so to be downloaded, and reads it.
    pub async fn downloaded(&self, begin: &str, end: &str) -> Vec<u8> {
        eventually(&format!("{begin}…{end} is downloaded"), async || {
            let files = std::fs::read_dir(self.downloads.path()).ok()?.flatten();
            // Browsers write under another name and rename.
            let name = |file: &std::fs::DirEntry| file.file_name().to_string_lossy().into_owned();
            let mut files =
                files.filter(|it| name(it).starts_with(begin) && name(it).ends_with(end));
            std::fs::read(files.next()?.path()).ok()
        })
        .await
    }

    async fn find(&self, css: &str) -> String {
        let question = json!({ "using": "css selector", "value": css });
        let found = self.ask("POST", "/element", Some(&question)).await;
        found[ELEMENT].as_str().unwrap_or_else(|| panic!("no {css}: {found}")).to_owned()
    }

    /// Clicks.
    pub async fn click(&self, css: &str) {
        let element = self.find(css).await;
        let done = self.ask("POST", &format!("/element/{element}/click"), Some(&json!({}))).await;
        assert!(done.is_null(), "{css}: {done}");
    }

    /// Types into a field, in place of what is there.
    pub async fn fill(&self, css: &str, text: &str) {
        let element = self.find(css).await;
        self.ask("POST", &format!("/element/{element}/clear"), Some(&json!({}))).await;
        let done = self
            .ask("POST", &format!("/element/{element}/value"), Some(&json!({ "text": text })))
            .await;
        assert!(done.is_null(), "{css}: {done}");
    }

    /// The width of the window, and whether the person likes it dark.
    pub async fn look(&self, width: u32, height: u32, dark: bool) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500 });
        self.tell("Emulation.setDeviceMetricsOverride", size).await;
        let scheme = if dark { "dark" } else { "light" };
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.tell("Emulation.setEmulatedMedia", features).await;
    }

    /// Whether scripts run.
    pub async fn scripts(&self, run: bool) {
        self.tell("Emulation.setScriptExecutionDisabled", json!({ "value": !run })).await;
    }

    async fn tell(&self, command: &str, parameters: Value) -> Value {
        let order = json!({ "cmd": command, "params": parameters });
        self.ask("POST", "/goog/cdp/execute", Some(&order)).await
    }

    /// Writes a picture of the whole page, at most so high.
    pub async fn picture(&self, file: &Path, width: u32, most: u32) {
        let height = self.run("return document.documentElement.scrollHeight").await;
        let height = height.as_u64().unwrap_or(800).min(u64::from(most));
        let clip = json!({ "x": 0, "y": 0, "width": width, "height": height, "scale": 1 });
        let wanted = json!({ "format": "png", "captureBeyondViewport": true, "clip": clip });
        let taken = self.tell("Page.captureScreenshot", wanted).await;
        let octets = STANDARD.decode(taken["data"].as_str().unwrap()).unwrap();
        std::fs::write(file, octets).unwrap();
    }

    /// Closes the window.
    pub async fn close(self) {
        self.ask("DELETE", "", None).await;
    }
}

/// Scripts may be long: they are handed to curl on its standard input.
async fn send(address: SocketAddr, method: &str, path: &str, body: Option<&Value>) -> Value {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--max-time", "120", "--request", method]);
    command.args(["--header", "Content-Type: application/json"]);
    if body.is_some() {
        command.args(["--data-binary", "@-"]);
    }
    let url = format!("http://{address}{path}");
    let mut child = command.arg(url).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    if let Some(body) = body {
        stdin.write_all(body.to_string().as_bytes()).await.unwrap();
    }
    drop(stdin);
    let done = tokio::time::timeout(Duration::from_mins(2), child.wait_with_output())
        .await
        .unwrap()
        .unwrap();
    let answer: Value = serde_json::from_slice(&done.stdout).unwrap_or_default();
    answer["value"].clone()
}
