//! `tambo top`: the relay at a glance, once a second: rates, what waits, providers, sources, and what needs attention.

mod look;
mod view;

use std::io::IsTerminal;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use clap::Args;
use crossterm::event::{self, Event, KeyCode, KeyModifiers};
use ratatui::DefaultTerminal;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use tokio::signal::unix::{SignalKind, signal};

use super::client::Caller;
use super::print_line;
use look::{Looker, Seen};
use view::{Row, Tone, rows};

/// How often it looks.
const EVERY: Duration = Duration::from_secs(1);
/// How soon a key is heard.
const KEYS: Duration = Duration::from_millis(50);
/// Columns when nobody says.
const WIDTH: u16 = 80;

/// How to look.
#[derive(Debug, Args)]
pub(super) struct TopArguments {
    /// Look once and print it.
    #[arg(long)]
    once: bool,
    /// Print JSON, once.
    #[arg(long)]
    json: bool,
}

/// What whoever looks tells whoever draws.
enum News {
    /// What is seen, or why nothing is.
    Seen(Box<Result<Seen, String>>),
    /// Somebody wants it to end.
    End,
}

pub(super) fn top(config: &Path, arguments: &TopArguments) -> Result<(), String> {
    let caller = Caller::new(config)?;
    if arguments.once || arguments.json || !std::io::stdout().is_terminal() {
        let seen = runtime()?.block_on(Looker::new(caller).look())?;
        if arguments.json {
            return super::print_json(&seen);
        }
        for row in rows(&seen, usize::from(WIDTH), usize::MAX) {
            print_line(&row.text);
        }
        return Ok(());
    }
    let (told, news) = mpsc::channel();
    let runtime = runtime()?;
    std::thread::spawn(move || runtime.block_on(watch(Looker::new(caller), told)));
    // From here on the terminal is put back whatever happens: at the end, after a panic, and after a signal, which
    // comes as news.
    let mut terminal = ratatui::try_init().map_err(|error| format!("no terminal: {error}"))?;
    let done = draw(&mut terminal, &news);
    ratatui::restore();
    done
}

fn runtime() -> Result<tokio::runtime::Runtime, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| error.to_string())
}

/// Looks once a second until nobody listens.
async fn watch(mut looker: Looker, told: Sender<News>) {
    let mut ends = Vec::new();
    for kind in [SignalKind::terminate(), SignalKind::hangup(), SignalKind::interrupt()] {
        ends.extend(signal(kind));
    }
    let mut ended = std::pin::pin!(async {
        let waits = ends.iter_mut().map(|it| Box::pin(it.recv()));
        futures_util::future::select_all(waits).await
    });
    loop {
        tokio::select! {
            _ = &mut ended => {
                let _ = told.send(News::End);
                return;
            }
            seen = looker.look() => {
                if told.send(News::Seen(Box::new(seen))).is_err() {
                    return;
                }
            }
        }
        tokio::select! {
            _ = &mut ended => {
                let _ = told.send(News::End);
                return;
            }
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

fn draw(terminal: &mut DefaultTerminal, news: &Receiver<News>) -> Result<(), String> {
    let (mut seen, mut trouble): (Option<Seen>, Option<String>) = (None, None);
    loop {
        match news.recv_timeout(KEYS) {
            Ok(News::Seen(found)) => match *found {
                Ok(found) => (seen, trouble) = (Some(found), None),
                Err(why) => trouble = Some(why),
            },
            Ok(News::End) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
            Err(RecvTimeoutError::Timeout) => {}
        }
        let drawn = terminal.draw(|frame| {
            let area = frame.area();
            let lines = lines(seen.as_ref(), trouble.as_deref(), area.width, area.height);
            frame.render_widget(Paragraph::new(lines), area);
        });
        drawn.map_err(|error| error.to_string())?;
        while event::poll(Duration::ZERO).map_err(|error| error.to_string())? {
            if let Event::Key(key) = event::read().map_err(|error| error.to_string())? {
                let control = key.modifiers.contains(KeyModifiers::CONTROL);
                match key.code {
                    KeyCode::Char('q') | KeyCode::Esc => return Ok(()),
                    KeyCode::Char('c') if control => return Ok(()),
                    _ => {}
                }
            }
        }
    }
}

fn lines(
    seen: Option<&Seen>,
    trouble: Option<&str>,
    width: u16,
    height: u16,
) -> Vec<Line<'static>> {
    let (width, height) = (usize::from(width), usize::from(height));
    let mut shown = Vec::new();
    if let Some(why) = trouble {
        shown.push(Row { tone: Tone::Bad, text: why.to_owned() });
    }
    match seen {
        Some(seen) => shown.extend(rows(seen, width, height.saturating_sub(1 + shown.len()))),
        None => shown.push(Row { tone: Tone::Plain, text: "…".to_owned() }),
    }
    shown.resize(height.saturating_sub(1), Row { tone: Tone::Plain, text: String::new() });
    shown.push(Row { tone: Tone::Quiet, text: "q quits".to_owned() });
    shown.into_iter().map(|row| Line::from(Span::styled(row.text, style(row.tone)))).collect()
}

fn style(tone: Tone) -> Style {
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    match tone {
        Tone::Heading => Style::new().add_modifier(Modifier::BOLD),
        Tone::Bad if plain => Style::new().add_modifier(Modifier::REVERSED),
        Tone::Bad => Style::new().fg(Color::Red),
        Tone::Watch if !plain => Style::new().fg(Color::Yellow),
        Tone::Quiet => Style::new().add_modifier(Modifier::DIM),
        Tone::Plain | Tone::Watch => Style::new(),
    }
}
