//! `tambo wire`: what is said on connections, as it is said.

use std::path::Path;

use clap::Args;

use crate::admin::WireLine;

use super::client::{Answered, Caller, query};
use super::tail::{each_line, in_colours, show};

/// Which conversations are watched.
#[derive(Debug, Args)]
pub(super) struct WireArguments {
    /// `out`: with servers; `in`: with clients; both when not given.
    #[arg(long, value_name = "in|out")]
    direction: Option<String>,
    /// Where the mail goes: a provider, or the hosts of a domain.
    #[arg(long)]
    site: Option<String>,
    /// Source that is used.
    #[arg(long)]
    source: Option<String>,
    /// Listener that clients come in by.
    #[arg(long)]
    listener: Option<String>,
    /// Address of the client or server, or name of the server.
    #[arg(long)]
    peer: Option<String>,
    /// Mails to this domain alone.
    #[arg(long)]
    domain: Option<String>,
    /// Mails to this address alone.
    #[arg(long)]
    recipient: Option<String>,
    /// Connections at a time, 64 at most; 16 when not given.
    #[arg(long)]
    connections: Option<usize>,
    /// How long, as 30s or 10m; an hour at most, 10m when not given.
    #[arg(long = "for")]
    time: Option<String>,
    /// Print JSON, one object a line.
    #[arg(long)]
    json: bool,
}

pub(super) fn wire(config: &Path, arguments: &WireArguments) -> Result<(), String> {
    let caller = Caller::new(config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| error.to_string())?.block_on(follow(&caller, arguments))
}

async fn follow(caller: &Caller, arguments: &WireArguments) -> Result<(), String> {
    let connections = arguments.connections.map(|count| count.to_string());
    let query = query(&[
        ("direction", arguments.direction.as_deref()),
        ("site", arguments.site.as_deref()),
        ("source", arguments.source.as_deref()),
        ("listener", arguments.listener.as_deref()),
        ("peer", arguments.peer.as_deref()),
        ("domain", arguments.domain.as_deref()),
        ("recipient", arguments.recipient.as_deref()),
        ("connections", connections.as_deref()),
        ("time", arguments.time.as_deref()),
    ]);
    let stream = match caller.open(&format!("/api/v1/wire{query}"), None).await? {
        Answered::Stream(stream) => stream,
        Answered::Refused(why) => return Err(why),
    };
    let colours = in_colours();
    let mut over = false;
    let mut take = |line: &str| {
        let Some(data) = line.strip_prefix("data: ") else { return Ok(()) };
        let line: WireLine = serde_json::from_str(data)
            .map_err(|error| format!("the relay's answer cannot be read: {error}"))?;
        over |= line.kind == "over";
        if arguments.json {
            return show(data);
        }
        shown(&line, colours).iter().try_for_each(|line| show(line))
    };
    each_line(stream, &mut take).await?;
    if over { Ok(()) } else { Err("the relay is gone".to_owned()) }
}

/// A line of its own for each line that was said.
fn shown(line: &WireLine, colours: bool) -> Vec<String> {
    let name = |value: &Option<String>| value.clone().unwrap_or_default();
    let with = match line.direction.as_deref() {
        Some("in") => format!("{} at {}", name(&line.peer), name(&line.listener)),
        _ => format!("{} from {}", name(&line.site), name(&line.source)),
    };
    let (sign, text) = match &*line.kind {
        "sent" => (">", line.text.clone()),
        "heard" => ("<", line.text.clone()),
        "begun" if line.direction.as_deref() == Some("in") => ("·", format!("a client: {with}")),
        "begun" => ("·", format!("to {with}")),
        "ended" => ("·", format!("over: {with}")),
        _ => ("·", line.text.clone()),
    };
    let time = line.time.split(['T', 'Z']).nth(1).unwrap_or("");
    let number = line.connection.map_or(String::new(), |number| format!("#{number}"));
    let colour = colours.then(|| colour(&line.kind, &text)).flatten();
    let line = |text: &str| {
        let text = format!("{sign} {}", text.replace(char::is_control, " "));
        let text = colour.map_or(text.clone(), |colour| format!("\x1b[{colour}m{text}\x1b[0m"));
        format!("{time} {number:>5} {text}")
    };
    text.lines().map(line).collect()
}

/// Good, bad, or to be seen (ECMA-48, SGR): by the first digit of replies.
fn colour(kind: &str, text: &str) -> Option<u8> {
    if !matches!(kind, "sent" | "heard") {
        return Some(36);
    }
    match text.as_bytes() {
        [b'2' | b'3', b'0'..=b'9', ..] => Some(32),
        [b'4', b'0'..=b'9', ..] => Some(33),
        [b'5', b'0'..=b'9', ..] => Some(31),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_strangers_say_is_no_order_to_the_terminal() {
        let line = WireLine {
            time: "2026-11-24T13:05:00.123Z".to_owned(),
            connection: Some(7),
            direction: Some("out".to_owned()),
            site: Some("mx.b.pe".to_owned()),
            source: Some("a".to_owned()),
            listener: None,
            peer: None,
            kind: "heard".to_owned(),
            text: "550-5.1.1 no\r\n550 \x1b[2J such user".to_owned(),
        };
        let plain =
            ["13:05:00.123    #7 < 550-5.1.1 no", "13:05:00.123    #7 < 550  [2J such user"];
        assert_eq!(shown(&line, false), plain);
        assert!(shown(&line, true)[0].ends_with("\x1b[31m< 550-5.1.1 no\x1b[0m"));
        let begun = WireLine { kind: "begun".to_owned(), text: String::new(), ..line };
        assert_eq!(shown(&begun, false), ["13:05:00.123    #7 · to mx.b.pe from a"]);
    }
}
