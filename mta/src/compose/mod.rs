//! Mail that a program hands in as parts: what is checked of it, how parts become a message (RFC 5322), and how
//! one template becomes the message of each recipient when that is sent.
//!
//! Pure: no queue, no clock, no network. Whoever hands in parts is told all mistakes at once, each with the place
//! where it stands (a JSON pointer, RFC 6901). What is stored of a template ([`Parts`]) has a version of its own.

mod checked;
mod fields;
mod letter;
mod mime;
mod parts;
mod templates;

pub use checked::{Addressee, Checked, Content, Limits, Undefined, check};
pub use letter::{Attachment, Letter, Mistake, Party, To};
pub use parts::{File, Mailbox, Parts};
pub use templates::Unrendered;

/// Octets of a message that is handed in as parts, or made of a template: what most servers take, and a little
/// less than they say, for base64 makes three octets four.
pub const MESSAGE_MAX: u64 = 32 * 1024 * 1024;
