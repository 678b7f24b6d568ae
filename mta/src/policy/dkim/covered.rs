//! Which header fields a signature covers (RFC 6376 section 5.4).

use crate::metrics::limit_hit;
use crate::policy::headers::{field_end, split_field};

use super::relaxed::write_field;

/// Fields of one name that are covered, the lowest ones. RFC 5322 allows one of most names; thousands
/// would make the signature longer than the message.
const FIELDS_OF_A_NAME_MAX: usize = 50;

/// Whether fields may be added to those that are covered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cover {
    /// No: the name is listed once more than there are fields, also when there is none. A second
    /// From or Subject is what readers would see instead of the first.
    Sealed,
    /// No, when there is one: what has none may get one on the way, as lists do.
    SealedWhenThere,
    /// Yes: what is there is covered.
    Open,
}

/// Names that are covered, in the order in which they are listed: those of RFC 6376 section 5.4.1, what
/// says how a body is read, and what must be covered to count: one-click unsubscription (RFC 8058
/// section 4), complaint addresses (RFC 9477 section 3.1), Feedback-ID. Trace fields are not: they
/// change on the way.
const NAMES: [(&str, Cover); 37] = [
    ("From", Cover::Sealed),
    ("To", Cover::Sealed),
    ("Cc", Cover::Sealed),
    ("Subject", Cover::Sealed),
    ("Date", Cover::Sealed),
    ("Message-ID", Cover::Sealed),
    ("Reply-To", Cover::Sealed),
    ("MIME-Version", Cover::Sealed),
    ("Content-Type", Cover::Sealed),
    ("Content-Transfer-Encoding", Cover::Sealed),
    ("Content-Disposition", Cover::SealedWhenThere),
    ("Content-ID", Cover::SealedWhenThere),
    ("Content-Description", Cover::SealedWhenThere),
    ("Content-Language", Cover::SealedWhenThere),
    ("Sender", Cover::SealedWhenThere),
    ("In-Reply-To", Cover::SealedWhenThere),
    ("References", Cover::SealedWhenThere),
    ("List-Unsubscribe", Cover::SealedWhenThere),
    ("List-Unsubscribe-Post", Cover::SealedWhenThere),
    ("List-Id", Cover::SealedWhenThere),
    ("List-Help", Cover::SealedWhenThere),
    ("List-Subscribe", Cover::SealedWhenThere),
    ("List-Post", Cover::SealedWhenThere),
    ("List-Owner", Cover::SealedWhenThere),
    ("List-Archive", Cover::SealedWhenThere),
    ("Feedback-ID", Cover::SealedWhenThere),
    ("CFBL-Address", Cover::SealedWhenThere),
    ("CFBL-Feedback-ID", Cover::SealedWhenThere),
    ("Auto-Submitted", Cover::SealedWhenThere),
    ("Disposition-Notification-To", Cover::SealedWhenThere),
    ("Resent-Date", Cover::Open),
    ("Resent-From", Cover::Open),
    ("Resent-To", Cover::Open),
    ("Resent-Cc", Cover::Open),
    ("Resent-Sender", Cover::Open),
    ("Resent-Message-ID", Cover::Open),
    ("Resent-Reply-To", Cover::Open),
];

/// Names for h=, and the fields that they stand for in relaxed form: of several with one name the
/// lowest comes first (RFC 6376 section 5.4.2).
pub(super) fn covered(section: &[u8]) -> (Vec<&'static str>, Vec<u8>) {
    let mut found: [Vec<&[u8]>; NAMES.len()] = [const { Vec::new() }; NAMES.len()];
    let mut at = 0;
    while at < section.len() {
        let end = field_end(section, at);
        if let Some((name, value)) = split_field(&section[at..end])
            && let Some(place) =
                NAMES.iter().position(|(known, _)| name.eq_ignore_ascii_case(known.as_bytes()))
        {
            found[place].push(value);
        }
        at = end;
    }
    let mut names = Vec::with_capacity(NAMES.len());
    let mut fields = Vec::with_capacity(section.len());
    for ((name, cover), values) in NAMES.iter().zip(&found) {
        let taken = values.len().min(FIELDS_OF_A_NAME_MAX);
        for value in values.iter().rev().take(taken) {
            write_field(&mut fields, name, value);
        }
        if taken < values.len() {
            limit_hit("dkim_fields_of_a_name");
        }
        let sealed = match cover {
            // Listed once more, it would stand for one of those that are left out.
            _ if taken < values.len() => false,
            Cover::Sealed => true,
            Cover::SealedWhenThere => taken > 0,
            Cover::Open => false,
        };
        names.extend(std::iter::repeat_n(*name, taken + usize::from(sealed)));
    }
    (names, fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(section: &str) -> String {
        covered(section.as_bytes()).0.join(":")
    }

    fn fields(section: &str) -> String {
        String::from_utf8(covered(section.as_bytes()).1).unwrap()
    }

    const NONE: &str = "From:To:Cc:Subject:Date:Message-ID:Reply-To:MIME-Version:Content-Type:\
                        Content-Transfer-Encoding";

    #[test]
    fn what_may_not_be_added_is_listed_once_more() {
        assert_eq!(names("Received: x\r\nX-Other: y\r\nReturn-Path: <z>\r\n"), NONE);
        assert_eq!(names("from: a\r\n"), NONE.replace("From", "From:From"));
        assert_eq!(names("To: a\r\nTO: b\r\n"), NONE.replace("To:Cc", "To:To:To:Cc"));
        assert_eq!(
            names(
                "list-unsubscribe-post: List-Unsubscribe=One-Click\r\nList-Unsubscribe: <https://x>\r\n"
            ),
            format!(
                "{NONE}:List-Unsubscribe:List-Unsubscribe:List-Unsubscribe-Post:List-Unsubscribe-Post"
            )
        );
        assert_eq!(names("Resent-To: a\r\n"), format!("{NONE}:Resent-To"));
    }

    #[test]
    fn fields_are_in_the_order_of_their_names_and_the_lowest_first() {
        assert_eq!(
            fields(
                "To: 1\r\nReceived: x\r\nSubject : \r\n folded\r\nTo: 2\r\nFrom: me\r\nno field\r\nTo: 3\r\n"
            ),
            "from:me\r\nto:3\r\nto:2\r\nto:1\r\nsubject:folded\r\n"
        );
        assert_eq!(fields("X: To: 1\r\nX-To: 2\r\n"), "");
    }

    #[test]
    fn a_flood_of_fields_is_covered_from_below_and_not_sealed() {
        let mut many = String::new();
        (0..70_000).for_each(|n| many.push_str(&format!("To: {n}\r\n")));
        let (names, fields) = covered(many.as_bytes());
        assert_eq!(names.iter().filter(|name| **name == "To").count(), FIELDS_OF_A_NAME_MAX);
        assert!(fields.starts_with(b"to:69999\r\nto:69998\r\n"));
    }
}
