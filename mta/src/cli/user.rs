//! `tambo user`: add, list, password, change, remove.

use std::path::Path;

use clap::{Args, Subcommand};

use crate::access::Role;
use crate::admin::{UserChange, UserOrder, UserRow};

use super::client::{call, change, escaped, remove, rows};
use super::password::read_password;
use super::{print_json, print_line, print_table};

/// What to do with the people who may open the web.
#[derive(Debug, Args)]
pub(super) struct UserArguments {
    #[command(subcommand)]
    command: UserCommand,
}

#[derive(Debug, Subcommand)]
enum UserCommand {
    /// Add a person; the password is asked for, or read from standard input.
    Add {
        /// The name that they type to come in.
        name: String,
        /// What they may do: `reader`, `operator`, `administrator`.
        #[arg(long)]
        role: Role,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// List the people.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Give a person another password, which is asked for, or read from standard input; their sessions end.
    Password {
        /// Their name.
        name: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Give a person another role, or take a second factor away whose telephone is lost.
    Change {
        /// Their name.
        name: String,
        /// What they may do from now on: `reader`, `operator`, `administrator`.
        #[arg(long)]
        role: Option<Role>,
        /// No code is asked for beside the password any more.
        #[arg(long)]
        no_second_factor: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Remove a person; their sessions end at once.
    Remove {
        /// Their name.
        name: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn user(config: &Path, arguments: &UserArguments) -> Result<(), String> {
    let place = |name: &str| format!("/api/v1/users/{}", escaped(name));
    let (row, json, said): (UserRow, bool, &str) = match &arguments.command {
        UserCommand::List { json } => return list(config, *json),
        UserCommand::Add { name, role, json } => {
            let order = UserOrder { name: name.clone(), role: *role, password: read_password()? };
            (call(config, "/api/v1/users", Some(&order))?, *json, "may come in")
        }
        UserCommand::Password { name, json } => {
            let order = UserChange { password: Some(read_password()?), ..UserChange::default() };
            (change(config, &place(name), &order)?, *json, "has another password; sessions ended")
        }
        UserCommand::Change { name, role, no_second_factor, json } => {
            let second_factor = no_second_factor.then_some(false);
            let order = UserChange { role: *role, second_factor, password: None };
            (change(config, &place(name), &order)?, *json, "is changed")
        }
        UserCommand::Remove { name, json } => {
            (remove(config, &place(name))?, *json, "is removed; sessions ended")
        }
    };
    if json {
        return print_json(&row);
    }
    print_line(&format!("{} ({}) {said}.", row.name, row.role));
    Ok(())
}

fn list(config: &Path, json: bool) -> Result<(), String> {
    let rows: Vec<UserRow> = rows(config, "/api/v1/users")?;
    if json {
        return print_json(&rows);
    }
    if rows.is_empty() {
        print_line(
            "Nobody may open the web: `tambo user add NAME --role administrator` adds the first.",
        );
        return Ok(());
    }
    let cells = |row: &UserRow| {
        vec![
            row.name.clone(),
            row.role.to_string(),
            if row.second_factor { "yes" } else { "no" }.to_owned(),
            row.created_by.clone(),
            row.last_login.clone().unwrap_or_else(|| "never".to_owned()),
        ]
    };
    let headings = ["NAME", "ROLE", "SECOND FACTOR", "ADDED BY", "LAST LOGIN"];
    print_table(&headings, &rows.iter().map(cells).collect::<Vec<_>>());
    Ok(())
}
