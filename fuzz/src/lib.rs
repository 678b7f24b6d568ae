//! What those fuzz targets do that need more than a page. Each calls one function here, and so does
//! `tests/corpus.rs`, which plays their seeds and mutations of them without a fuzzer.
//!
//! A function panics when a promise is broken; what the relay answers to nonsense is its own affair.

pub mod addresses;
pub mod client;
pub mod cut;
pub mod injection;
pub mod make;
pub mod notice;
pub mod receivers;
pub mod replies;
pub mod server;
pub mod session;
