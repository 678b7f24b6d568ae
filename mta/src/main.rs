//! `tambo`, the program.

fn main() {}
