//! Tambo, a mail relay. `ARCHITECTURE.md` is the map; a folder here is a stage of mail.

pub mod egress;
pub mod message;
pub mod metrics;
pub mod outside;
pub mod policy;
pub mod queue;
pub mod smtp;
pub mod spool;
