//! `tambo tail`: what happens, as it happens. Waits for a relay that is restarted, and goes on where it was.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use clap::Args;
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::message::Event;

use super::client::{Answered, Caller};
use super::events::EventFilter;
use super::trace::line;

/// First wait for a relay that is gone; each is twice the one before.
const WAIT: Duration = Duration::from_millis(250);
const WAIT_MAX: Duration = Duration::from_secs(5);
/// Octets of a line that is not complete: far more than an event has.
const LINE_MAX: usize = 4 * 1024 * 1024;

/// What is followed.
#[derive(Debug, Args)]
pub(super) struct TailArguments {
    /// Types, with commas between them: bounced,expired.
    #[arg(long = "type")]
    kind: Option<String>,
    #[command(flatten)]
    filter: EventFilter,
    /// Print JSON, one object a line.
    #[arg(long)]
    json: bool,
}

pub(super) fn tail(config: &Path, arguments: &TailArguments) -> Result<(), String> {
    let caller = Caller::new(config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| error.to_string())?.block_on(follow(&caller, arguments))
}

async fn follow(caller: &Caller, arguments: &TailArguments) -> Result<(), String> {
    let query = arguments.filter.query(&[("type", arguments.kind.as_deref())]);
    let target = format!("/api/v1/events/stream{query}");
    let mut reader = Reader { place: None, show: Show::new(arguments.json) };
    let mut wait = WAIT;
    loop {
        let place = reader.place.clone();
        let headers = place.as_deref().map(|place| ("last-event-id", place));
        match caller.open(&target, headers).await {
            Ok(Answered::Stream(body)) => {
                wait = WAIT;
                reader.read(body).await?;
                eprintln!("tambo: the relay is gone; waiting for it");
            }
            Ok(Answered::Refused(why)) => return Err(why),
            // The first time there is none to wait for.
            Err(why) if reader.place.is_none() => return Err(why),
            Err(_) => {}
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(WAIT_MAX);
    }
}

/// Reads server-sent events and remembers how far.
struct Reader {
    /// The last event that was seen or passed.
    place: Option<String>,
    show: Show,
}

impl Reader {
    /// Until the stream ends; an error when nobody reads what is shown.
    async fn read(&mut self, body: Incoming) -> Result<(), String> {
        each_line(body, &mut |line| self.take(line)).await
    }

    fn take(&mut self, line: &str) -> Result<(), String> {
        if let Some(place) = line.strip_prefix("id: ") {
            self.place = Some(place.to_owned());
        } else if let Some(data) = line.strip_prefix("data: ") {
            self.show.event(data)?;
        }
        Ok(())
    }
}

/// Each line of a stream, until it ends.
pub(super) async fn each_line(
    mut body: Incoming,
    take: &mut impl FnMut(&str) -> Result<(), String>,
) -> Result<(), String> {
    let mut text: Vec<u8> = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        let Ok(data) = frame.into_data() else { continue };
        text.extend_from_slice(&data);
        while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = text.drain(..=end).collect();
            take(String::from_utf8_lossy(&line).trim_end())?;
        }
        if text.len() > LINE_MAX {
            return Err("the relay's answer cannot be read: a line has no end".to_owned());
        }
    }
    Ok(())
}

/// Whether colours are wanted: by a terminal, and by whoever sits there (no-color.org).
pub(super) fn in_colours() -> bool {
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    std::io::stdout().is_terminal() && !plain
}

/// Prints a line at once.
pub(super) fn show(line: &str) -> Result<(), String> {
    let mut out = std::io::stdout().lock();
    let written = writeln!(out, "{line}").and_then(|()| out.flush());
    written.map_err(|error| format!("nobody reads on: {error}"))
}

/// How events are shown.
struct Show {
    json: bool,
    colours: bool,
}

impl Show {
    fn new(json: bool) -> Self {
        Self { json, colours: in_colours() }
    }

    fn event(&self, data: &str) -> Result<(), String> {
        let shown = if self.json {
            data.to_owned()
        } else {
            let event: Event = serde_json::from_str(data)
                .map_err(|error| format!("the relay's answer cannot be read: {error}"))?;
            line(&event, self.colours)
        };
        show(&shown)
    }
}
