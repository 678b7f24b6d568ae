//! Tambo, a mail relay. `ARCHITECTURE.md` is the map; a folder here is a stage of mail.

pub mod access;
pub mod admin;
pub mod app;
pub mod cli;
pub mod compose;
pub mod control;
pub mod current;
pub mod dispatch;
pub mod egress;
pub mod message;
pub mod metrics;
pub mod outcome;
pub mod outside;
pub mod password;
pub mod policy;
pub mod queue;
pub mod reload;
pub mod smtp;
pub mod smtp_in;
pub mod smtp_out;
pub mod spool;
pub mod suppression;
pub mod web;
pub mod wire;
