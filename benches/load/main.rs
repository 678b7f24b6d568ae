//! Load beside Postfix and the direct line.

fn main() {}
