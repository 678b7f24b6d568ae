//! Tambo's configuration: what a person writes (`raw`), and what it means (`config`).
//!
//! Pure: text in, a [`Config`] or every error at once out. No sockets, no clock, no files.

pub mod config;
pub mod values;

pub use config::Config;
