//! The wire of SMTP, shared by both sides: lines, the transparency of DATA, limits.
//!
//! smtp-proto parses what our own splitter and strict checks have passed; the receiver of DATA
//! and the writers are ours (design, section 3, says why). No I/O, no clock.

mod command;
mod data;
pub(crate) mod handshake;
mod lines;
mod stuff;

pub use command::{Command, CommandError, MailParameters, Path};
pub use data::{DataReceiver, Flaw, Received};
pub use lines::{Line, take_line};
pub use stuff::stuffed;

/// Octets of a command line with its CRLF (RFC 5321 4.5.3.1.4).
pub const COMMAND_LINE_MAX: usize = 512;
/// Octets that the parameters of MAIL add: SIZE 26 (RFC 1870), BODY 17 (RFC 6152), AUTH 500
/// (RFC 4954), SMTPUTF8 10 (RFC 6531), RET and ENVID 108 (RFC 3461), MT-PRIORITY 15 (RFC 6710).
pub const MAIL_LINE_MAX: usize = COMMAND_LINE_MAX + 26 + 17 + 500 + 10 + 108 + 15;
/// Octets that the parameters of RCPT add: NOTIFY 28 and ORCPT 507 (RFC 3461).
pub const RCPT_LINE_MAX: usize = COMMAND_LINE_MAX + 28 + 507;
/// Octets of a line of an AUTH exchange (RFC 4954 section 4).
pub const AUTH_LINE_MAX: usize = 12_288;
/// Octets of one line of a reply that we read (RFC 5321 4.5.3.1.5 says 512; some say more).
pub const REPLY_LINE_MAX: usize = 4096;
