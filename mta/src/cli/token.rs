//! `tambo token`: create, list, revoke.

use std::path::Path;

use clap::{Args, Subcommand};
use relay_config::values::parse_duration;

use crate::access::Scope;
use crate::admin::{NewToken, TokenOrder, TokenRow};

use super::client::{call, escaped, remove, rows};
use super::{print_json, print_line, print_table};

/// What to do with tokens.
#[derive(Debug, Args)]
pub(super) struct TokenArguments {
    #[command(subcommand)]
    command: TokenCommand,
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Make a token and print it, this once.
    Create {
        /// What it is called in lists and in the audit log.
        #[arg(long)]
        name: String,
        /// What it may do: `read`, `send`, `operate`, `admin`. May be repeated.
        #[arg(long = "scope", required = true, value_name = "SCOPE")]
        scopes: Vec<Scope>,
        /// The account that it sends as; needed for `send`.
        #[arg(long)]
        account: Option<String>,
        /// When it ends, as in `90d`; without it, when it is revoked.
        #[arg(long = "for", value_name = "TIME", value_parser = parse_duration)]
        lasts: Option<std::time::Duration>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// List tokens; their texts are kept nowhere.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// End a token at once.
    Revoke {
        /// Its name.
        name: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn token(config: &Path, arguments: &TokenArguments) -> Result<(), String> {
    match &arguments.command {
        TokenCommand::Create { name, scopes, account, lasts, json } => {
            let order = TokenOrder {
                name: name.clone(),
                scopes: scopes.clone(),
                account: account.clone(),
                expires_in_seconds: lasts.map(|lasts| lasts.as_secs().max(1)),
            };
            create(config, &order, *json)
        }
        TokenCommand::List { json } => list(config, *json),
        TokenCommand::Revoke { name, json } => {
            let row: TokenRow = remove(config, &format!("/api/v1/tokens/{}", escaped(name)))?;
            if *json {
                return print_json(&row);
            }
            print_line(&format!("The token {} has ended.", row.name));
            Ok(())
        }
    }
}

fn create(config: &Path, order: &TokenOrder, json: bool) -> Result<(), String> {
    let made: NewToken = call(config, "/api/v1/tokens", Some(order))?;
    if json {
        return print_json(&made);
    }
    print_line(&made.token);
    eprintln!(
        "This is shown once: keep it where the program that uses it can read it, and nobody else."
    );
    Ok(())
}

fn list(config: &Path, json: bool) -> Result<(), String> {
    let rows: Vec<TokenRow> = rows(config, "/api/v1/tokens")?;
    if json {
        return print_json(&rows);
    }
    if rows.is_empty() {
        print_line("There are no tokens: `tambo token create --name NAME --scope read` makes one.");
        return Ok(());
    }
    let cells = |row: &TokenRow| {
        let scopes: Vec<&str> = row.scopes.iter().map(|scope| scope.word()).collect();
        let or = |value: &Option<String>, nothing: &str| {
            value.clone().unwrap_or_else(|| nothing.to_owned())
        };
        vec![
            row.name.clone(),
            scopes.join(","),
            or(&row.account, "-"),
            row.created_by.clone(),
            or(&row.expires, "never"),
            or(&row.last_used, "not since the start"),
        ]
    };
    let headings = ["NAME", "SCOPES", "ACCOUNT", "MADE BY", "ENDS", "LAST USED"];
    print_table(&headings, &rows.iter().map(cells).collect::<Vec<_>>());
    Ok(())
}
