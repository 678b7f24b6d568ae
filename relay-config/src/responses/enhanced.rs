//! What a reply means that no rule knows: by its enhanced code (RFC 3463), else by its class.
//!
//! Nobody is suppressed on a code alone, and an unknown 4xx is tried again.

use super::words::{Blame, Category};

/// What an enhanced code is about and whom it blames; `None` where the code says nothing: its
/// subject is 0 or not of RFC 3463.
pub(super) const fn by_enhanced(class: u8, subject: u16, detail: u16) -> Option<(Category, Blame)> {
    Some(match (class, subject, detail) {
        (_, 1, 2 | 10) | (5, 4, 4) => (Category::BadDomain, Blame::RecipientDomain),
        (_, 1, 7 | 8) => (Category::BadSender, Blame::SendingDomain),
        (_, 1, _) | (_, 2, 4) => (Category::BadMailbox, Blame::Recipient),
        (_, 2, 1) => (Category::InactiveMailbox, Blame::Recipient),
        (_, 2, 2) => (Category::MailboxFull, Blame::Recipient),
        (_, 2, _) => (Category::Mailbox, Blame::Recipient),
        (_, 3, 4) => (Category::TooBig, Blame::Message),
        (_, 3, _) => (Category::System, Blame::Receiver),
        (_, 4, 3) => (Category::Dns, Blame::RecipientDomain),
        (_, 4, 6) => (Category::Loop, Blame::RecipientDomain),
        (_, 4, 7) => (Category::Expired, Blame::Unclear),
        (_, 4, _) => (Category::Connection, Blame::Receiver),
        (_, 5, _) => (Category::Protocol, Blame::Connection),
        (_, 6, _) => (Category::Content, Blame::Message),
        (_, 7, 4 | 5 | 10 | 11) => (Category::Tls, Blame::Route),
        (_, 7, _) => (Category::Policy, Blame::Unclear),
        _ => return None,
    })
}

/// What is left: permanent or not.
pub(super) const fn by_class(permanent: bool) -> (Category, Blame) {
    if permanent {
        (Category::Refused, Blame::Unclear)
    } else {
        (Category::Temporary, Blame::Unclear)
    }
}
