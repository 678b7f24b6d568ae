//! The command line. Each subcommand is a file; those that speak with a running relay do so
//! over its control socket.

mod audit;
mod check;
mod classify;
mod client;
mod config;
mod dkim;
mod events;
mod explain;
mod manual;
mod password;
mod probe;
mod queue;
mod report;
mod serve;
mod source_show;
mod sources;
mod spool;
mod supervisor;
mod suppression;
mod swap;
mod tail;
mod token;
mod top;
mod trace;
mod user;
mod warm_up;
mod webhooks;
mod wire;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use relay_config::Config;

/// Where the configuration is when nobody says.
const DEFAULT_CONFIG: &str = "/etc/tambo/tambo.toml";

/// Tambo: a mail relay for institutions that send in bulk.
#[derive(Debug, Parser)]
#[command(name = "tambo", version, about, max_term_width = 100)]
pub struct Cli {
    /// The configuration file.
    #[arg(long, short, global = true, env = "TAMBO_CONFIG", default_value = DEFAULT_CONFIG)]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the relay in the foreground.
    Serve,
    /// Check the configuration; report every mistake at once.
    Check,
    /// Show what is in force: what destinations may be asked to take, and who decided it.
    Config(config::ConfigArguments),
    /// Tell what a server's reply means and what the relay would do.
    Classify(classify::ClassifyArguments),
    /// Look at the queue and act upon it.
    Queue(queue::QueueArguments),
    /// Look at the addresses that mail is sent from, and act upon them.
    Sources(sources::SourcesArguments),
    /// Look at the addresses that nothing is sent to, put some on the list and take some off.
    Suppression(suppression::SuppressionArguments),
    /// Tell what became of a message: by its id, its Message-ID, an address, or tag:TAG.
    Trace(trace::TraceArguments),
    /// List what happened: by recipient, sender, tag, account, site, type, time …
    Events(events::EventsArguments),
    /// Follow what happens, as it happens; --json prints one object a line.
    Tail(tail::TailArguments),
    /// Watch what is said with servers and clients, as it is said; passwords and mail are left out.
    Wire(wire::WireArguments),
    /// List messages with what became of each: by recipient, sender, tag, account, site, state, time …
    Messages(events::MessagesArguments),
    /// Watch the relay: rates, what waits, providers, sources, what needs attention; q quits.
    Top(top::TopArguments),
    /// Tell what happened on a day or in a month: as text, CSV or a workbook, in Spanish or English.
    Report(report::ReportArguments),
    /// Tell where mail to an address would go now, and what stands in its way.
    Explain(explain::ExplainArguments),
    /// Ask a destination how it answers now: names, connection, TLS, greeting, and whether it takes a recipient.
    Probe(probe::ProbeArguments),
    /// Read a stopped spool: what is wrong with it, and what waits in it as files.
    Spool(spool::SpoolArguments),
    /// Look at webhooks: how far each is behind; have one send events again.
    Webhooks(webhooks::WebhooksArguments),
    /// Make keys that sign mail, and print their DNS records.
    Dkim(dkim::DkimArguments),
    /// Make, list and revoke tokens, with which programs and people use the API.
    Token(token::TokenArguments),
    /// Add, list and remove the people who may open the web.
    User(user::UserArguments),
    /// Look at the book of what was changed by whom, and check that nobody changed the book.
    Audit(audit::AuditArguments),
    /// Print what a shell needs to complete commands: `tambo completions bash > /etc/bash_completion.d/tambo`.
    Completions(manual::CompletionsArguments),
    /// Write the manual pages of all commands into a folder.
    Man(manual::ManArguments),
    /// Read a password and print its argon2id hash for `password_hash`.
    Password,
}

/// Runs a command; errors are written to standard error with what to do next.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match &cli.command {
        Command::Serve => serve::serve(&cli.config),
        Command::Check => check::check(&cli.config),
        Command::Config(arguments) => config::config(&cli.config, arguments),
        Command::Classify(arguments) => classify::classify(&cli.config, arguments),
        Command::Queue(arguments) => queue::queue(&cli.config, arguments),
        Command::Sources(arguments) => sources::sources(&cli.config, arguments),
        Command::Suppression(arguments) => suppression::suppression(&cli.config, arguments),
        Command::Trace(arguments) => trace::trace(&cli.config, arguments),
        Command::Events(arguments) => events::events(&cli.config, arguments),
        Command::Tail(arguments) => tail::tail(&cli.config, arguments),
        Command::Wire(arguments) => wire::wire(&cli.config, arguments),
        Command::Messages(arguments) => events::messages(&cli.config, arguments),
        Command::Top(arguments) => top::top(&cli.config, arguments),
        Command::Report(arguments) => report::report(&cli.config, arguments),
        Command::Explain(arguments) => explain::explain(&cli.config, arguments),
        Command::Probe(arguments) => probe::probe(&cli.config, arguments),
        Command::Spool(arguments) => spool::spool(&cli.config, arguments),
        Command::Webhooks(arguments) => webhooks::webhooks(&cli.config, arguments),
        Command::Dkim(arguments) => dkim::dkim(&cli.config, arguments),
        Command::Token(arguments) => token::token(&cli.config, arguments),
        Command::User(arguments) => user::user(&cli.config, arguments),
        Command::Audit(arguments) => audit::audit(&cli.config, arguments),
        Command::Completions(arguments) => manual::completions(arguments),
        Command::Man(arguments) => manual::man(arguments),
        Command::Password => password::password(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("tambo: {message}");
            ExitCode::FAILURE
        }
    }
}

/// Reads the configuration; warnings go to standard error, and so do mistakes.
fn load(path: &std::path::Path) -> Result<Config, String> {
    match read(path)? {
        Ok((config, warnings)) => {
            for warning in warnings {
                eprintln!("warning: {warning}");
            }
            Ok(config)
        }
        Err(mistakes) => {
            for mistake in &mistakes {
                eprintln!("{mistake}");
            }
            let count = mistakes.len();
            Err(format!(
                "{count} {} in {}",
                if count == 1 { "mistake" } else { "mistakes" },
                path.display()
            ))
        }
    }
}

/// The configuration with what will surprise, or its mistakes.
type Read = Result<(Config, Vec<String>), Vec<String>>;

/// Reads the configuration and says nothing; an error when there is no file to read.
fn read(path: &std::path::Path) -> Result<Read, String> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        format!("{}: {error}; name the file with --config or TAMBO_CONFIG", path.display())
    })?;
    let told = |all: Vec<relay_config::Located>| all.iter().map(ToString::to_string).collect();
    Ok(match relay_config::load(&text, &path.display().to_string()) {
        Ok(loaded) => Ok((loaded.config, told(loaded.warnings))),
        Err(problems) => Err(told(problems)),
    })
}

/// Prints a value as JSON.
#[expect(clippy::print_stdout, reason = "the answer of a command")]
fn print_json<T: serde::Serialize>(value: &T) -> Result<(), String> {
    println!("{}", serde_json::to_string_pretty(value).map_err(|error| error.to_string())?);
    Ok(())
}

/// Prints a line.
#[expect(clippy::print_stdout, reason = "the answer of a command")]
fn print_line(line: &str) {
    println!("{line}");
}

/// Prints rows under headings, each column as wide as its widest cell.
fn print_table(headings: &[&str], rows: &[Vec<String>]) {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([headings.get(column).map_or(0, |h| h.len())]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let padded: Vec<String> =
            cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        print_line(padded.join("  ").trim_end());
    };
    line(headings.to_vec());
    for row in rows {
        line(row.iter().map(String::as_str).collect());
    }
}
