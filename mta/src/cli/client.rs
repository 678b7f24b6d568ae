//! Speaks HTTP/1.1 with a running relay over its control socket.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::http::request::Builder;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use crate::admin::{Page, Problem, SOCKET, WHO};

use super::load;

/// Rows of each page that is asked for.
const PAGE: usize = 1_000;

/// Asks (`GET`), or tells (`POST` with a body), and reads the answer.
pub(super) fn call<T: DeserializeOwned>(
    config: &Path,
    target: &str,
    body: Option<&impl serde::Serialize>,
) -> Result<T, String> {
    let method = if body.is_some() { Method::POST } else { Method::GET };
    let body = body.map(serde_json::to_vec).transpose().map_err(|error| error.to_string())?;
    send(config, method, target, body.unwrap_or_default())
}

/// Has something removed, and reads what it was.
pub(super) fn remove<T: DeserializeOwned>(config: &Path, target: &str) -> Result<T, String> {
    send(config, Method::DELETE, target, Vec::new())
}

/// Has something changed, and reads what it is now.
pub(super) fn change<T: DeserializeOwned>(
    config: &Path,
    target: &str,
    body: &impl serde::Serialize,
) -> Result<T, String> {
    let body = serde_json::to_vec(body).map_err(|error| error.to_string())?;
    send(config, Method::PATCH, target, body)
}

/// All rows of a list that comes in pages.
pub(super) fn rows<T: DeserializeOwned>(config: &Path, target: &str) -> Result<Vec<T>, String> {
    Ok(first_rows(config, target, usize::MAX)?.0)
}

/// So many rows of a list that comes in pages, and whether there are more.
pub(super) fn first_rows<T: DeserializeOwned>(
    config: &Path,
    target: &str,
    limit: usize,
) -> Result<(Vec<T>, bool), String> {
    let (mut all, mut from) = (Vec::new(), None::<String>);
    loop {
        let joint = if target.contains('?') { '&' } else { '?' };
        let wanted = (limit - all.len()).clamp(1, PAGE);
        let from_part = from.map(|from| format!("&from={}", escaped(&from))).unwrap_or_default();
        let page: Page<T> =
            call(config, &format!("{target}{joint}limit={wanted}{from_part}"), None::<&()>)?;
        all.extend(page.rows);
        from = page.next;
        if from.is_none() || all.len() >= limit {
            return Ok((all, from.is_some()));
        }
    }
}

/// What stands there, as it is.
pub(super) fn fetch(config: &Path, target: &str) -> Result<Bytes, String> {
    exchanged(config, Method::GET, target, Vec::new())
}

fn send<T: DeserializeOwned>(
    config: &Path,
    method: Method,
    target: &str,
    body: Vec<u8>,
) -> Result<T, String> {
    parsed(&exchanged(config, method, target, body)?)
}

fn parsed<T: DeserializeOwned>(text: &[u8]) -> Result<T, String> {
    serde_json::from_slice(text)
        .map_err(|error| format!("the relay's answer cannot be read: {error}"))
}

fn exchanged(config: &Path, method: Method, target: &str, body: Vec<u8>) -> Result<Bytes, String> {
    let socket = load(config)?.server.data_dir.join(SOCKET);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    runtime.block_on(exchange(&socket, method, target, body))
}

/// `key=value&…`, escaped, of what is given.
pub(super) fn query(pairs: &[(&str, Option<&str>)]) -> String {
    let mut text = String::new();
    for (key, value) in pairs {
        let Some(value) = value else { continue };
        text.push(if text.is_empty() { '?' } else { '&' });
        text.push_str(key);
        text.push('=');
        text.push_str(&escaped(value));
    }
    text
}

/// Text as a part of a path or a query (RFC 3986 section 2.1).
pub(super) fn escaped(value: &str) -> String {
    let mut text = String::new();
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~@".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

/// Who runs the command: it stands in what events tell of the change.
pub(super) fn who() -> String {
    let user = nix::unistd::User::from_uid(nix::unistd::Uid::current()).ok().flatten();
    let user = user.map_or_else(|| nix::unistd::Uid::current().to_string(), |user| user.name);
    match std::env::var("SUDO_USER") {
        Ok(person) if !person.is_empty() => person,
        _ => user,
    }
}

/// What a stream was answered with.
pub(super) enum Answered {
    /// What comes.
    Stream(Incoming),
    /// Why nothing does.
    Refused(String),
}

/// Knows where the relay is.
pub(super) struct Caller {
    socket: PathBuf,
    relay: String,
}

impl Caller {
    /// Of the relay with this configuration.
    pub(super) fn new(config: &Path) -> Result<Self, String> {
        let server = load(config)?.server;
        Ok(Self { socket: server.data_dir.join(SOCKET), relay: server.hostname })
    }

    /// Name of the relay.
    pub(super) fn relay(&self) -> &str {
        &self.relay
    }

    /// Asks, and reads the answer.
    pub(super) async fn get<T: DeserializeOwned>(&self, target: &str) -> Result<T, String> {
        let text = exchange(&self.socket, Method::GET, target, Vec::new()).await?;
        parsed(&text)
    }

    /// Asks for something that is read as it comes; an error when no relay answers.
    pub(super) async fn open(
        &self,
        target: &str,
        header: Option<(&str, &str)>,
    ) -> Result<Answered, String> {
        let mut request = request(Method::GET, target);
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        let response = ask(&self.socket, request, Vec::new()).await?;
        let status = response.status();
        if status.is_success() {
            return Ok(Answered::Stream(response.into_body()));
        }
        let text = response.into_body().collect().await.map_err(|error| failed(&error))?;
        Ok(Answered::Refused(refusal(status, &text.to_bytes())))
    }
}

async fn exchange(
    socket: &Path,
    method: Method,
    target: &str,
    body: Vec<u8>,
) -> Result<Bytes, String> {
    let response = ask(socket, request(method, target), body).await?;
    let status = response.status();
    let text = response.into_body().collect().await.map_err(|error| failed(&error))?.to_bytes();
    if status.is_success() { Ok(text) } else { Err(refusal(status, &text)) }
}

fn request(method: Method, target: &str) -> Builder {
    Request::builder()
        .method(method)
        .uri(target)
        .header("host", "tambo")
        .header("content-type", "application/json")
        .header(WHO, who())
}

async fn ask(socket: &Path, request: Builder, body: Vec<u8>) -> Result<Response<Incoming>, String> {
    let stream = UnixStream::connect(socket).await.map_err(|error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
            format!(
                "no relay runs here: {} is not open; start it with `tambo serve`",
                socket.display()
            )
        }
        ErrorKind::PermissionDenied => {
            format!(
                "{}: {error}; run this as the relay's user, as in `sudo -u tambo tambo …`",
                socket.display()
            )
        }
        _ => format!("{}: {error}", socket.display()),
    })?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| failed(&error))?;
    tokio::spawn(connection);
    let request = request.body(Full::new(Bytes::from(body))).map_err(|error| error.to_string())?;
    sender.send_request(request).await.map_err(|error| failed(&error))
}

fn failed(error: &hyper::Error) -> String {
    format!("the relay did not answer: {error}")
}

fn refusal(status: StatusCode, text: &[u8]) -> String {
    let problem: Option<Problem> = serde_json::from_slice(text).ok();
    problem.map_or_else(|| format!("the relay answered {status}"), |problem| problem.detail)
}
