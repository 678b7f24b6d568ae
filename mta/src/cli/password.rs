//! `tambo password`: a password in, its hash out.

use std::io::{IsTerminal, Read};

use crate::password::hash_password;

use super::print_line;

pub(super) fn password() -> Result<(), String> {
    print_line(&hash_password(&read_password()?)?);
    Ok(())
}

/// A password from the terminal, where it is asked for twice, or the first line of what is piped in.
pub(super) fn read_password() -> Result<String, String> {
    let password = if std::io::stdin().is_terminal() { ask()? } else { read()? };
    if password.is_empty() {
        return Err("the password is empty; type one, or pipe it in".to_owned());
    }
    Ok(password)
}

fn ask() -> Result<String, String> {
    let read = |prompt| rpassword::prompt_password(prompt).map_err(|error| error.to_string());
    let first = read("Password: ")?;
    if read("Again: ")? == first { Ok(first) } else { Err("the two differ; try again".to_owned()) }
}

fn read() -> Result<String, String> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).map_err(|error| error.to_string())?;
    Ok(text.lines().next().unwrap_or("").to_owned())
}
