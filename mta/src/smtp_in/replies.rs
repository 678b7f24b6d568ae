//! What we answer, in one place: the code, the enhanced code (RFC 3463) and words that say what
//! to do. Nothing a client sent is repeated in them.

use crate::message::{AddressError, EnhancedCode, Reply};
use crate::policy::{HeaderFlaw, OverQuota};
use crate::queue::Refusal;
use crate::smtp::{CommandError, Flaw};

/// A reply from its parts.
pub(super) fn reply(
    code: u16,
    (class, subject, detail): (u8, u16, u16),
    text: impl Into<String>,
) -> Reply {
    Reply::new(code, EnhancedCode::new(class, subject, detail), text)
}

pub(super) fn command_error(error: &CommandError, sender: bool) -> Reply {
    match error {
        CommandError::Unknown => reply(500, (5, 5, 1), "Command not known here"),
        CommandError::Syntax(what) => reply(501, (5, 5, 2), format!("Syntax: {what}")),
        CommandError::Chunk => {
            reply(501, (5, 5, 4), "Syntax: write BDAT and a number of octets, then LAST or nothing")
        }
        CommandError::Parameter => reply(555, (5, 5, 4), "A parameter that was not offered"),
        CommandError::ParameterValue(what) => reply(501, (5, 5, 4), format!("Syntax: {what}")),
        CommandError::Address(AddressError::NeedsUtf8) => {
            reply(553, (5, 6, 7), "An address with letters beyond ASCII needs SMTPUTF8 in MAIL")
        }
        CommandError::Address(AddressError::Domain) => {
            let detail = if sender { 8 } else { 2 };
            reply(501, (5, 1, detail), format!("Bad address: {}", AddressError::Domain))
        }
        CommandError::Address(error) => {
            let detail = if sender { 7 } else { 3 };
            reply(501, (5, 1, detail), format!("Bad address: {error}"))
        }
    }
}

pub(super) fn flaw(flaw: Flaw, line_length: u32, message_size: u64) -> Reply {
    match flaw {
        Flaw::BareNewline => reply(
            550,
            (5, 6, 11),
            "The message has a CR or LF that stands alone; lines end in CRLF (RFC 5321 2.3.8)",
        ),
        Flaw::Nul => {
            reply(550, (5, 6, 0), "The message has an octet of value 0; encode it as base64")
        }
        Flaw::LongLine => reply(
            550,
            (5, 6, 0),
            format!(
                "A line is longer than {line_length} octets; encode the text as quoted-printable or base64"
            ),
        ),
        Flaw::TooBig => {
            reply(552, (5, 3, 4), format!("The message is larger than {message_size} octets"))
        }
    }
}

pub(super) fn header_flaw(flaw: &HeaderFlaw) -> Reply {
    match flaw {
        HeaderFlaw::Tambo(what) => reply(550, (5, 6, 0), *what),
        HeaderFlaw::From(_) => {
            reply(550, (5, 7, 1), "This account may not write with the address in From")
        }
    }
}

pub(super) fn refusal(refusal: Refusal) -> Reply {
    match refusal {
        Refusal::Full => reply(452, (4, 3, 1), "The disk is almost full; try again later"),
        Refusal::BodiesInFlight => {
            reply(452, (4, 3, 1), "Too many messages are arriving at once; try again later")
        }
        Refusal::Unavailable => {
            reply(451, (4, 3, 0), "The message could not be stored; try again later")
        }
        Refusal::Stopping => reply(421, (4, 3, 2), "The relay is stopping; try again later"),
    }
}

pub(super) fn over_quota(over: OverQuota) -> Reply {
    let what = over.limit.replace('_', " ");
    reply(
        450,
        (4, 7, 1),
        format!("This account has reached its limit of {} {what}; try again later", over.value),
    )
}
