//! `tambo completions` and `tambo man`: what shells and readers of manuals want, made of the same description as `--help`.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Cli;

/// Which shell.
#[derive(Debug, Args)]
pub(super) struct CompletionsArguments {
    /// The shell that is to know the commands.
    shell: Shell,
}

/// Where to.
#[derive(Debug, Args)]
pub(super) struct ManArguments {
    /// The folder that the pages are written to, as in `/usr/local/share/man/man1`.
    folder: PathBuf,
}

pub(super) fn completions(arguments: &CompletionsArguments) -> Result<(), String> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "tambo", &mut script);
    std::io::stdout().write_all(&script).map_err(|error| error.to_string())
}

/// A page for `tambo`, and one for each command of it, as in `tambo-queue-hold.1`.
pub(super) fn man(arguments: &ManArguments) -> Result<(), String> {
    let folder = &arguments.folder;
    let place = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    std::fs::create_dir_all(folder).map_err(|error| place(folder, error))?;
    clap_mangen::generate_to(Cli::command(), folder).map_err(|error| place(folder, error))?;
    eprintln!(
        "The pages are in {}: `man -l {}` shows the first.",
        folder.display(),
        folder.join("tambo.1").display()
    );
    Ok(())
}
