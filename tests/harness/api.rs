//! The API as a script sees it: `curl` with a token.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::process::Command;

/// Asks, and returns the status and the body: nothing when it is no JSON.
pub async fn curl(
    address: SocketAddr,
    token: Option<&str>,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> (u16, Value) {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--max-time", "60", "--request", method]);
    command.args(["--write-out", "\n%{http_code}", "--header", "Content-Type: application/json"]);
    if let Some(token) = token {
        command.args(["--header", &format!("Authorization: Bearer {token}")]);
    }
    if let Some(body) = body {
        command.args(["--data", &body.to_string()]);
    }
    let done = command.arg(format!("http://{address}{path}")).output().await.unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let out = String::from_utf8(done.stdout).unwrap();
    let (body, status) = out.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), serde_json::from_str(body).unwrap_or_default())
}
