//! The binary, end to end, with real mail servers and clients on loopback.

#![expect(clippy::print_stdout, reason = "figures for whoever reads the log")]
#![expect(clippy::unwrap_used, reason = "a world that cannot be built is a failed test")]

mod advice;
mod api;
mod blocklists;
mod browser;
mod classify;
mod cli;
mod delivery;
mod dkim;
mod events;
mod extensions;
mod holds;
mod injection;
mod levers;
mod limits;
mod metrics;
mod numbers;
mod peers;
mod probe;
mod prometheus;
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
mod suppression;
mod top;
mod via;
mod warm_up;
mod web;
mod webhooks;
mod wire;
mod world;
