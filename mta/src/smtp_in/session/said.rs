//! What is said in a session, for those who watch it: commands and replies in order, without secrets and without mail.

use std::fmt::Write as _;

use super::Session;

/// What is kept until it is taken: more is said at once by nobody who is to be understood.
const SAID_MAX: usize = 1_000;

/// Mechanisms of AUTH that clients try; any other word may be a secret.
const MECHANISMS: [&str; 6] = ["PLAIN", "LOGIN", "CRAM-MD5", "XOAUTH2", "NTLM", "GSSAPI"];

/// Something that was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// By the client.
    Heard(String),
    /// By us.
    Sent(String),
}

impl Session {
    /// Whether what is said is kept from now on.
    pub fn listen(&mut self, listen: bool) {
        let said = self.said.take().unwrap_or_default();
        self.said = listen.then_some(said);
    }

    /// What was said since the last call.
    pub fn take_said(&mut self) -> Vec<Said> {
        self.said.as_mut().map(std::mem::take).unwrap_or_default()
    }

    pub(super) fn hear_command(&mut self, line: &[u8]) {
        self.hear(|| Said::Heard(shown(line)));
    }

    pub(super) fn hear_reply(&mut self, text: &str) {
        self.hear(|| Said::Sent(text.trim_end().to_owned()));
    }

    pub(super) fn hear_secret(&mut self) {
        self.hear(|| Said::Heard("(a name or a password)".to_owned()));
    }

    pub(super) fn hear_mail(&mut self) {
        self.hear(|| Said::Heard("(mail)".to_owned()));
    }

    fn hear(&mut self, said: impl FnOnce() -> Said) {
        if let Some(kept) = &mut self.said
            && kept.len() < SAID_MAX
        {
            kept.push(said());
        }
    }
}

/// A command as it may be shown. What is no command may be a password that was not asked for, or mail: only what
/// looks like a command and can't be either is shown whole.
fn shown(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let starts =
        |word: &str| text.get(..word.len()).is_some_and(|it| it.eq_ignore_ascii_case(word));
    let path = |word: &str| starts(word) && text[word.len()..].trim_start().starts_with('<');
    if path("MAIL FROM:")
        || path("RCPT TO:")
        || ["EHLO ", "HELO ", "BDAT "].iter().any(|it| starts(it))
    {
        return text.into_owned();
    }
    let mut words = text.split_ascii_whitespace();
    let verb = words.next().unwrap_or("").to_ascii_uppercase();
    let known = ["DATA", "RSET", "NOOP", "QUIT", "STARTTLS", "VRFY", "EXPN", "HELP", "AUTH"];
    if !known.contains(&&*verb) {
        return format!("(no command, {} octets)", line.len());
    }
    let mut shown = verb;
    if shown == "AUTH"
        && let Some(mechanism) =
            words.next().filter(|it| MECHANISMS.contains(&&*it.to_ascii_uppercase()))
    {
        let _ = write!(shown, " {mechanism}");
    }
    if words.next().is_some() {
        shown.push_str(" (…)");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_and_mail_are_not_shown() {
        let check = |line: &str, expected: &str| assert_eq!(shown(line.as_bytes()), expected);
        check("MAIL FROM:<a@b.pe> SIZE=10", "MAIL FROM:<a@b.pe> SIZE=10");
        check("rcpt to:<a@b.pe>", "rcpt to:<a@b.pe>");
        check("AUTH PLAIN AGFuYQBzZWNyZXRv", "AUTH PLAIN (…)");
        check("auth login", "AUTH login");
        check("AUTH AGFuYQBzZWNyZXRvAGFuYQBzZWNyZXRv", "AUTH");
        check("c2VjcmV0bw==", "(no command, 12 octets)");
        check("Help me, the password is secreto", "HELP (…)");
        check("Subject: secreto", "(no command, 16 octets)");
        check("Mail from: my bank", "(no command, 18 octets)");
        check("AUTH secreto", "AUTH");
        check("", "(no command, 0 octets)");
    }
}
