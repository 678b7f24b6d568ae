//! `tambo`, the program.

use std::process::ExitCode;

fn main() -> ExitCode {
    mta::cli::main()
}
