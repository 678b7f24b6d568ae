//! The command line. Each subcommand is a file; those that speak with a running relay do so
//! over its control socket.

mod audit;
mod check;
mod classify;
mod client;
mod config;
mod dkim;
mod explain;
mod password;
mod queue;
mod serve;
mod source_show;
mod sources;
mod spool;
mod supervisor;
mod swap;
mod token;
mod trace;
mod warm_up;

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
    /// Tell what became of a message: by its id, its Message-ID, an address, or tag:TAG.
    Trace(trace::TraceArguments),
    /// Tell where mail to an address would go now, and what stands in its way.
    Explain(explain::ExplainArguments),
    /// Read a stopped spool: what is wrong with it, and what waits in it as files.
    Spool(spool::SpoolArguments),
    /// Make keys that sign mail, and print their DNS records.
    Dkim(dkim::DkimArguments),
    /// Make, list and revoke tokens, with which programs and people use the API.
    Token(token::TokenArguments),
    /// Look at the book of what was changed by whom, and check that nobody changed the book.
    Audit(audit::AuditArguments),
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
        Command::Trace(arguments) => trace::trace(&cli.config, arguments),
        Command::Explain(arguments) => explain::explain(&cli.config, arguments),
        Command::Spool(arguments) => spool::spool(&cli.config, arguments),
        Command::Dkim(arguments) => dkim::dkim(&cli.config, arguments),
        Command::Token(arguments) => token::token(&cli.config, arguments),
        Command::Audit(arguments) => audit::audit(&cli.config, arguments),
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

/// Reads the configuration; warnings go to standard error.
fn load(path: &std::path::Path) -> Result<Config, String> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        format!("{}: {error}; name the file with --config or TAMBO_CONFIG", path.display())
    })?;
    match relay_config::load(&text, &path.display().to_string()) {
        Ok(loaded) => {
            for warning in loaded.warnings {
                eprintln!("warning: {warning}");
            }
            Ok(loaded.config)
        }
        Err(problems) => {
            for problem in &problems {
                eprintln!("{problem}");
            }
            let count = problems.len();
            Err(format!(
                "{count} {} in {}",
                if count == 1 { "mistake" } else { "mistakes" },
                path.display()
            ))
        }
    }
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
