//! What a reply is about, in one word, by its enhanced code (RFC 3463) or else its code.

use crate::message::Reply;

/// The category of a reply that is not positive.
pub fn category(reply: &Reply) -> &'static str {
    let Some(code) = reply.enhanced else {
        return if reply.is_permanent() { "refused" } else { "temporary" };
    };
    match (code.class, code.subject, code.detail) {
        (_, 1, 2 | 10) | (5, 4, 4) => "bad-domain",
        (_, 1, 7 | 8) => "bad-sender",
        (_, 1, _) | (_, 2, 4) => "bad-mailbox",
        (_, 2, 1) => "inactive-mailbox",
        (_, 2, 2) => "mailbox-full",
        (_, 2, _) => "mailbox",
        (_, 3, 4) => "too-big",
        (_, 3, _) => "system",
        (_, 4, 3) => "dns",
        (_, 4, 6) => "loop",
        (_, 4, 7) => "expired",
        (_, 4, _) => "connection",
        (_, 5, _) => "protocol",
        (_, 6, _) => "content",
        (_, 7, 4 | 5 | 10 | 11) => "tls",
        (_, 7, _) => "policy",
        (5, ..) => "refused",
        _ => "temporary",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_enhanced_code_or_class() {
        let check = |text: &str, expected: &str| {
            let (code, rest) = text.split_once(' ').unwrap();
            let reply = Reply::from_lines(code.parse().unwrap(), std::iter::once(rest));
            assert_eq!(category(&reply), expected, "{text}");
        };
        check("550 5.1.1 no such user", "bad-mailbox");
        check("550 5.1.2 no such domain", "bad-domain");
        check("452 4.2.2 over quota", "mailbox-full");
        check("450 4.2.0 greylisted", "mailbox");
        check("451 4.4.1 no connection", "connection");
        check("451 4.4.3 dns", "dns");
        check("550 5.7.1 blocked", "policy");
        check("552 5.3.4 too big", "too-big");
        check("550 no", "refused");
        check("450 later", "temporary");
    }
}
