//! A real Prometheus (Debian's package), with a configuration of ours, and what it answers.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::free_port;
use crate::packages::need;
use crate::relay::eventually;

/// A Prometheus that runs; killed when dropped.
pub struct Prometheus {
    address: SocketAddr,
    _child: Child,
}

impl Prometheus {
    /// Starts it on the configuration in this folder, where it also keeps what it reads.
    pub async fn start(folder: &Path) -> Self {
        need("prometheus", "prometheus");
        let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let address = SocketAddr::new(local, free_port(&[local]));
        let log = std::fs::File::create(folder.join("prometheus.log")).unwrap();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", folder.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("prometheus").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let prometheus = Self { address, _child: child };
        eventually("Prometheus is ready", async || {
            let answer = prometheus.get("/-/ready").await?;
            answer.starts_with("HTTP/1.1 200").then_some(())
        })
        .await;
        prometheus
    }

    /// What an expression is worth now: labels and values.
    pub async fn query(&self, expression: &str) -> Result<Vec<(Value, f64)>, String> {
        let path = format!("/api/v1/query?query={}", escaped(expression));
        let answer = self.ask(&path).await.ok_or("no answer")?;
        if answer["status"] != "success" {
            return Err(answer["error"].as_str().unwrap_or("?").to_owned());
        }
        let rows = answer["data"]["result"].as_array().cloned().unwrap_or_default();
        let value = |row: &Value| row["value"][1].as_str().and_then(|text| text.parse().ok());
        Ok(rows.iter().map(|row| (row["metric"].clone(), value(row).unwrap_or(f64::NAN))).collect())
    }

    /// The alert rules that it goes by.
    pub async fn rules(&self) -> Vec<Value> {
        let answer = self.ask("/api/v1/rules?type=alert").await.unwrap();
        let groups = answer["data"]["groups"].as_array().unwrap();
        groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
    }

    async fn ask(&self, path: &str) -> Option<Value> {
        let answer = self.get(path).await?;
        serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
    }

    /// An answer with its head. HTTP/1.0: a body that is not cut into pieces.
    async fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(self.address).await.ok()?;
        let question = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
        stream.write_all(question.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        Some(answer.replacen("HTTP/1.0", "HTTP/1.1", 1))
    }
}

/// For the query of a URL (RFC 3986).
fn escaped(text: &str) -> String {
    let escape = |octet: u8| match octet {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' | b'.' => {
            char::from(octet).to_string()
        }
        _ => format!("%{octet:02X}"),
    };
    text.bytes().map(escape).collect()
}
