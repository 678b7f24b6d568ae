//! The binary, end to end, with real mail servers and clients on loopback.

#![expect(clippy::print_stdout, reason = "figures for whoever reads the log")]
#![expect(clippy::unwrap_used, reason = "a world that cannot be built is a failed test")]

mod advice;
mod api;
mod blocklists;
mod classify;
mod cli;
mod delivery;
mod dkim;
mod extensions;
mod levers;
mod limits;
mod metrics;
mod peers;
mod providers;
mod proxy;
mod reload;
mod routes;
mod scripts;
mod service;
mod smuggling;
mod sources;
mod spool;
mod submission;
mod via;
mod warm_up;
mod world;
