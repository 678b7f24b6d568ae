//! Commands of a client (RFC 5321 section 4.1): a checked line in, a command or the reason why not out.
//!
//! Verbs and paths are ours to read, strictly, and so are the parameters of RFC 3461, of which
//! smtp-proto knows too little; the other parameters of MAIL go through it after repeated and
//! unknown keywords have been refused (it lets them pass).

use smtp_proto::{MAIL_BODY_8BITMIME, MAIL_SMTPUTF8, Request};

use crate::message::{
    Address, AddressError, BodyType, Notify, OriginalRecipient, Priority, RecipientParameters,
    ReturnContent, parse_envelope_id,
};

/// A command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// EHLO with the client's name.
    Ehlo(String),
    /// HELO with the client's name.
    Helo(String),
    /// MAIL FROM.
    Mail(Path, MailParameters),
    /// RCPT TO.
    Rcpt(Path, RecipientParameters),
    /// DATA
    Data,
    /// BDAT (RFC 3030).
    Bdat {
        /// Octets that follow.
        size: u64,
        /// They are the last of the message.
        last: bool,
    },
    /// RSET
    Rset,
    /// NOOP
    Noop,
    /// QUIT
    Quit,
    /// VRFY
    Vrfy,
    /// EXPN
    Expn,
    /// HELP
    Help,
    /// STARTTLS
    StartTls,
    /// AUTH with the mechanism in capitals and the initial response, if any.
    Auth(String, Option<String>),
}

/// What stands between `<` and `>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Path {
    /// `<>`
    Null,
    /// `<postmaster>`, in any case (RFC 5321 4.1.1.3).
    Postmaster,
    /// A mailbox; a source route before it is dropped (RFC 5321 appendix C).
    Mailbox(Address),
}

/// Parameters of MAIL.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MailParameters {
    /// Octets announced (RFC 1870); `None`: not said.
    pub size: Option<u64>,
    /// 7BIT or 8BITMIME (RFC 6152).
    pub body: BodyType,
    /// MT-PRIORITY (RFC 6710); `None`: not said.
    pub priority: Option<Priority>,
    /// SMTPUTF8 (RFC 6531): addresses and headers may have letters beyond ASCII.
    pub utf8: bool,
    /// RET (RFC 3461 section 4.3); `None`: not said.
    pub returns: Option<ReturnContent>,
    /// ENVID (RFC 3461 section 4.4), decoded; `None`: not said.
    pub envelope_id: Option<String>,
}

/// Why a line is no command that can be obeyed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandError {
    /// 500 5.5.2
    Unknown,
    /// 501 5.5.2, with what was expected.
    Syntax(&'static str),
    /// 501 5.1.7 or 5.1.3: a bad address.
    Address(AddressError),
    /// 501 5.5.4: BDAT without a size that can be read; what follows can't be told from commands.
    Chunk,
    /// 555 5.5.4: a parameter that was not offered.
    Parameter,
    /// 501 5.5.4: a parameter with a bad value, or given twice.
    ParameterValue(&'static str),
}

/// What may follow the path of MAIL.
const MAIL_KEYWORDS: [&str; 7] =
    ["SIZE", "BODY", "AUTH", "MT-PRIORITY", "SMTPUTF8", "RET", "ENVID"];

impl Command {
    /// From a line without its CRLF.
    pub fn parse(line: &[u8]) -> Result<Self, CommandError> {
        if line.iter().any(|b| *b < b' ' && *b != b'\t') || line.contains(&127) {
            return Err(CommandError::Syntax("commands have no control characters"));
        }
        let line = std::str::from_utf8(line)
            .map_err(|_| CommandError::Syntax("commands are ASCII, or UTF-8 with SMTPUTF8"))?;
        let line = line.trim_end_matches([' ', '\t']);
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let alone = |command: Self| {
            if rest.is_empty() {
                Ok(command)
            } else {
                Err(CommandError::Syntax("this command stands alone"))
            }
        };
        match verb.to_ascii_uppercase().as_str() {
            "EHLO" => client_name(rest).map(Self::Ehlo),
            "HELO" => client_name(rest).map(Self::Helo),
            "MAIL" => mail(rest),
            "RCPT" => rcpt(rest),
            "DATA" => alone(Self::Data),
            "BDAT" => bdat(rest),
            "RSET" => alone(Self::Rset),
            "QUIT" => alone(Self::Quit),
            "STARTTLS" => alone(Self::StartTls),
            "NOOP" => Ok(Self::Noop),
            "VRFY" if rest.is_empty() => Err(CommandError::Syntax("VRFY needs an address")),
            "VRFY" => Ok(Self::Vrfy),
            "EXPN" => Ok(Self::Expn),
            "HELP" => Ok(Self::Help),
            "AUTH" => auth(rest),
            _ => Err(CommandError::Unknown),
        }
    }
}

/// RFC 5321 says domain or literal; machines inside send names with underscores, and printers send
/// bare addresses or the name of their model with its blanks. What can't be written into a Received line
/// becomes a hyphen.
fn client_name(rest: &str) -> Result<String, CommandError> {
    let name = rest.trim();
    if name.is_empty() || name.len() > 255 {
        return Err(CommandError::Syntax("give the name of your host, as in EHLO mail.example.pe"));
    }
    let fits = |c: &char| c.is_ascii_alphanumeric() || "._-:[]".contains(*c);
    Ok(name.chars().map(|c| if fits(&c) { c } else { '-' }).collect())
}

fn bdat(rest: &str) -> Result<Command, CommandError> {
    let mut words = rest.split(' ').filter(|word| !word.is_empty());
    let size = words.next().filter(|word| word.bytes().all(|byte| byte.is_ascii_digit()));
    let size = size.and_then(|word| word.parse().ok()).ok_or(CommandError::Chunk)?;
    match (words.next(), words.next()) {
        (None, _) => Ok(Command::Bdat { size, last: false }),
        (Some(word), None) if word.eq_ignore_ascii_case("LAST") => {
            Ok(Command::Bdat { size, last: true })
        }
        _ => Err(CommandError::Chunk),
    }
}

fn auth(rest: &str) -> Result<Command, CommandError> {
    let mut words = rest.split(' ').filter(|word| !word.is_empty());
    let mechanism = words.next().ok_or(CommandError::Syntax("AUTH needs a mechanism"))?;
    let initial = words.next().map(str::to_owned);
    match words.next() {
        None => Ok(Command::Auth(mechanism.to_ascii_uppercase(), initial)),
        Some(_) => Err(CommandError::Syntax("AUTH takes a mechanism and one response")),
    }
}

fn mail(rest: &str) -> Result<Command, CommandError> {
    let usage = "write MAIL FROM:<address>";
    let rest = after_keyword(rest, "FROM:").ok_or(CommandError::Syntax(usage))?;
    let (path, parameters) = split_path(rest).ok_or(CommandError::Syntax(usage))?;
    let path = read_path(path)?;
    if path == Path::Postmaster {
        return Err(CommandError::Address(AddressError::Incomplete));
    }
    check_keywords(parameters, &MAIL_KEYWORDS)?;
    let parameters = mail_parameters(parameters)?;
    match &path {
        Path::Mailbox(address) if address.needs_utf8() && !parameters.utf8 => {
            Err(CommandError::Address(AddressError::NeedsUtf8))
        }
        _ => Ok(Command::Mail(path, parameters)),
    }
}

fn rcpt(rest: &str) -> Result<Command, CommandError> {
    let usage = "write RCPT TO:<address>";
    let rest = after_keyword(rest, "TO:").ok_or(CommandError::Syntax(usage))?;
    let (path, parameters) = split_path(rest).ok_or(CommandError::Syntax(usage))?;
    let path = read_path(path)?;
    if path == Path::Null {
        return Err(CommandError::Address(AddressError::Incomplete));
    }
    check_keywords(parameters, &["NOTIFY", "ORCPT"])?;
    Ok(Command::Rcpt(path, recipient_parameters(parameters)?))
}

fn after_keyword<'a>(text: &'a str, keyword: &str) -> Option<&'a str> {
    let text = text.trim_start();
    let head = text.get(..keyword.len())?;
    // A blank after the colon is against RFC 5321 and common in scripts.
    head.eq_ignore_ascii_case(keyword).then(|| text[keyword.len()..].trim_start())
}

/// `<path>` and what follows it.
fn split_path(text: &str) -> Option<(&str, &str)> {
    let Some(inside) = text.strip_prefix('<') else { return bare_path(text) };
    let (mut quoted, mut escaped) = (false, false);
    for (place, byte) in inside.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'>' if !quoted => {
                let rest = &inside[place + 1..];
                let separated = rest.is_empty() || rest.starts_with(' ');
                return separated.then(|| (&inside[..place], rest.trim()));
            }
            _ => {}
        }
    }
    None
}

/// A path without its brackets, as old devices send it: it ends at the first blank. The null path is
/// written `<>` and in no other way.
fn bare_path(text: &str) -> Option<(&str, &str)> {
    if text.is_empty() || text.contains(['<', '>', '"']) {
        return None;
    }
    let (path, rest) = text.split_once(' ').unwrap_or((text, ""));
    Some((path, rest.trim()))
}

fn read_path(path: &str) -> Result<Path, CommandError> {
    if path.is_empty() {
        return Ok(Path::Null);
    }
    if path.eq_ignore_ascii_case("postmaster") {
        return Ok(Path::Postmaster);
    }
    let mailbox = match path.strip_prefix('@') {
        // @one,@two:mailbox
        Some(route) => route.split_once(':').map_or("", |(_, mailbox)| mailbox),
        None => path,
    };
    Address::parse(mailbox).map(Path::Mailbox).map_err(CommandError::Address)
}

fn check_keywords(parameters: &str, known: &[&str]) -> Result<(), CommandError> {
    let mut seen: Vec<String> = Vec::new();
    for word in parameters.split(' ').filter(|word| !word.is_empty()) {
        let keyword = word.split('=').next().unwrap_or("").to_ascii_uppercase();
        if !known.contains(&keyword.as_str()) {
            return Err(CommandError::Parameter);
        }
        if seen.contains(&keyword) {
            return Err(CommandError::ParameterValue("a parameter is given twice"));
        }
        seen.push(keyword);
    }
    Ok(())
}

/// RFC 3461 sections 4.1 and 4.2.
fn recipient_parameters(parameters: &str) -> Result<RecipientParameters, CommandError> {
    let mut found = RecipientParameters::default();
    if let Some(value) = value_of(parameters, "NOTIFY") {
        let usage = "NOTIFY takes NEVER, or SUCCESS, FAILURE and DELAY with commas";
        found.notify = Some(Notify::parse(value).ok_or(CommandError::ParameterValue(usage))?);
    }
    if let Some(value) = value_of(parameters, "ORCPT") {
        let usage = "ORCPT takes a type and an address in xtext, as in rfc822;ana@example.pe";
        let original = OriginalRecipient::parse(value);
        found.original = Some(original.ok_or(CommandError::ParameterValue(usage))?);
    }
    Ok(found)
}

/// What stands after `KEYWORD=`; an empty text when there is no `=`.
fn value_of<'a>(parameters: &'a str, keyword: &str) -> Option<&'a str> {
    let mut pairs = parameters.split(' ').map(|word| word.split_once('=').unwrap_or((word, "")));
    pairs.find(|(name, _)| name.eq_ignore_ascii_case(keyword)).map(|(_, value)| value)
}

fn mail_parameters(parameters: &str) -> Result<MailParameters, CommandError> {
    if parameters.is_empty() {
        return Ok(MailParameters::default());
    }
    let returns = value_of(parameters, "RET").map(|value| {
        ReturnContent::parse(value).ok_or(CommandError::ParameterValue("RET takes FULL or HDRS"))
    });
    let envelope_id = value_of(parameters, "ENVID").map(|value| {
        let usage = "ENVID takes at most 100 octets of xtext";
        parse_envelope_id(value).ok_or(CommandError::ParameterValue(usage))
    });
    let ours = ["RET", "ENVID"];
    let others = parameters.split(' ').filter(|word| {
        let name = word.split('=').next().unwrap_or("");
        !ours.iter().any(|ours| ours.eq_ignore_ascii_case(name))
    });
    let others = others.collect::<Vec<_>>().join(" ");
    Ok(MailParameters {
        returns: returns.transpose()?,
        envelope_id: envelope_id.transpose()?,
        ..transport_parameters(&others)?
    })
}

/// SIZE, BODY, AUTH, MT-PRIORITY, SMTPUTF8.
fn transport_parameters(parameters: &str) -> Result<MailParameters, CommandError> {
    if parameters.is_empty() {
        return Ok(MailParameters::default());
    }
    let has = |keyword: &str| {
        parameters
            .split(' ')
            .any(|word| word.get(..keyword.len()).is_some_and(|w| w.eq_ignore_ascii_case(keyword)))
    };
    let line = format!("MAIL FROM:<> {parameters}\r\n");
    let bad = CommandError::ParameterValue("a parameter has a value that cannot be read");
    let Ok(Request::Mail { from }) = Request::parse(&mut line.as_bytes().iter()) else {
        return Err(bad);
    };
    if from.flags & smtp_proto::MAIL_BODY_BINARYMIME != 0 {
        return Err(CommandError::ParameterValue("BINARYMIME is not offered"));
    }
    let body =
        if from.flags & MAIL_BODY_8BITMIME != 0 { BodyType::EightBit } else { BodyType::SevenBit };
    let size = has("SIZE=").then_some(from.size as u64);
    let priority = match (has("MT-PRIORITY"), i8::try_from(from.mt_priority)) {
        (false, _) => None,
        (true, Ok(value @ -9..=9)) => Some(Priority::new(value)),
        (true, _) => return Err(bad),
    };
    let utf8 = from.flags & MAIL_SMTPUTF8 != 0;
    if (has("SIZE") && size.is_none()) || (has("SMTPUTF8") && (!utf8 || has("SMTPUTF8="))) {
        return Err(bad);
    }
    Ok(MailParameters { size, body, priority, utf8, ..MailParameters::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: Result<Command, CommandError>) {
        assert_eq!(Command::parse(line.as_bytes()), expected, "{line}");
    }

    fn mailbox(text: &str) -> Path {
        Path::Mailbox(Address::parse(text).unwrap())
    }

    fn mail(path: Path, size: Option<u64>, body: BodyType) -> Command {
        Command::Mail(path, MailParameters { size, body, ..MailParameters::default() })
    }

    fn rcpt(path: Path) -> Command {
        Command::Rcpt(path, RecipientParameters::default())
    }

    #[test]
    fn commands_are_read() {
        use BodyType::{EightBit, SevenBit};
        check("ehlo pc_07.local", Ok(Command::Ehlo("pc_07.local".to_owned())));
        check("HELO [10.1.2.3]", Ok(Command::Helo("[10.1.2.3]".to_owned())));
        check("EHLO  Peña (2º) ", Ok(Command::Ehlo("Pe-a--2--".to_owned())));
        check("mail from:<a@x.pe>", Ok(mail(mailbox("a@x.pe"), None, SevenBit)));
        check(
            "MAIL FROM: <a@x.pe> SIZE=12 body=8bitmime",
            Ok(mail(mailbox("a@x.pe"), Some(12), EightBit)),
        );
        check("MAIL FROM:<> AUTH=<>", Ok(mail(Path::Null, None, SevenBit)));
        check("RCPT TO:<\"a b\"@x.pe>", Ok(rcpt(mailbox("\"a b\"@x.pe"))));
        check("RCPT TO:<\"a>b\"@x.pe>", Ok(rcpt(mailbox("\"a>b\"@x.pe"))));
        check("RCPT TO:<@r.pe,@s.pe:a@x.pe>", Ok(rcpt(mailbox("a@x.pe"))));
        check("RCPT TO:<a@[192.0.2.1]>", Ok(rcpt(mailbox("a@[192.0.2.1]"))));
        check("RCPT TO:<PostMaster>", Ok(rcpt(Path::Postmaster)));
        check("RCPT TO:<ñu@x.pe>", Ok(rcpt(mailbox("ñu@x.pe"))));
        check("RCPT TO:a@x.pe", Ok(rcpt(mailbox("a@x.pe"))));
        check("MAIL FROM: a@x.pe  SIZE=12", Ok(mail(mailbox("a@x.pe"), Some(12), SevenBit)));
        check(
            "auth plain AGEAYg==",
            Ok(Command::Auth("PLAIN".to_owned(), Some("AGEAYg==".to_owned()))),
        );
        check("DATA ", Ok(Command::Data));
        check("NOOP whatever", Ok(Command::Noop));
    }

    #[test]
    fn what_senders_ask_to_be_told() {
        let parameters = MailParameters {
            size: Some(9),
            utf8: true,
            returns: Some(ReturnContent::Headers),
            envelope_id: Some("a=1".to_owned()),
            ..MailParameters::default()
        };
        check(
            "MAIL FROM:<ñu@x.pe> RET=hdrs SMTPUTF8 ENVID=a+3D1 SIZE=9",
            Ok(Command::Mail(mailbox("ñu@x.pe"), parameters)),
        );
        let full =
            MailParameters { returns: Some(ReturnContent::Full), ..MailParameters::default() };
        check("MAIL FROM:<a@x.pe> RET=FULL", Ok(Command::Mail(mailbox("a@x.pe"), full)));
        let asked = RecipientParameters {
            notify: Notify::parse("SUCCESS,DELAY"),
            original: OriginalRecipient::parse("rfc822;b@y.pe"),
        };
        check(
            "RCPT TO:<a@x.pe> notify=success,delay ORCPT=rfc822;b@y.pe",
            Ok(Command::Rcpt(mailbox("a@x.pe"), asked)),
        );
    }

    #[test]
    fn what_cannot_be_obeyed() {
        let syntax = |line: &str| {
            assert!(
                matches!(Command::parse(line.as_bytes()), Err(CommandError::Syntax(_))),
                "{line}"
            );
        };
        for line in [
            "EHLO",
            "MAIL",
            "MAIL FROM:",
            "MAIL FROM: SIZE=1 <a@x.pe>",
            "MAIL FROM:a@x.pe>",
            "MAIL FROM:Ana <a@x.pe>",
            "MAIL FROM:\"a\"@x.pe",
            "MAIL FROM:<a@x.pe",
            "MAIL FROM:<a@x.pe>SIZE=1",
            "MAIL TO:<a@x.pe>",
            "DATA now",
            "RSET x",
            "QUIT x",
            "STARTTLS x",
            "VRFY",
            "AUTH",
            "AUTH PLAIN a b",
            "NO\u{7}OP",
            "NOOP ñ\u{1}",
        ] {
            syntax(line);
        }
        check("", Err(CommandError::Unknown));
        check("GET / HTTP/1.1", Err(CommandError::Unknown));
        check("MAIL FROM:<a>", Err(CommandError::Address(AddressError::Incomplete)));
        check("MAIL FROM:<ñ@x.pe>", Err(CommandError::Address(AddressError::NeedsUtf8)));
        check("RCPT TO:<>", Err(CommandError::Address(AddressError::Incomplete)));
        check("RCPT TO:<a@x.pe> SIZE=1", Err(CommandError::Parameter));
        check("MAIL FROM:<a@x.pe> REQUIRETLS", Err(CommandError::Parameter));
        let value = |line: &str| {
            assert!(
                matches!(Command::parse(line.as_bytes()), Err(CommandError::ParameterValue(_))),
                "{line}"
            );
        };
        for line in [
            "MAIL FROM:<a@x.pe> SIZE=1 SIZE=2",
            "MAIL FROM:<a@x.pe> SIZE=x",
            "MAIL FROM:<a@x.pe> SIZE",
            "MAIL FROM:<a@x.pe> SIZE=-1",
            "MAIL FROM:<a@x.pe> BODY=BINARYMIME",
            "MAIL FROM:<a@x.pe> BODY=9BIT",
            "MAIL FROM:<a@x.pe> SMTPUTF8=1",
            "MAIL FROM:<a@x.pe> SMTPUTF8 SMTPUTF8",
            "MAIL FROM:<a@x.pe> RET=ALL",
            "MAIL FROM:<a@x.pe> RET",
            "MAIL FROM:<a@x.pe> RET=FULL RET=HDRS",
            "MAIL FROM:<a@x.pe> ENVID=",
            "MAIL FROM:<a@x.pe> ENVID=a=b",
            "RCPT TO:<a@x.pe> NOTIFY=NEVER,FAILURE",
            "RCPT TO:<a@x.pe> NOTIFY=",
            "RCPT TO:<a@x.pe> NOTIFY",
            "RCPT TO:<a@x.pe> NOTIFY=DELAY NOTIFY=DELAY",
            "RCPT TO:<a@x.pe> ORCPT=a@x.pe",
        ] {
            value(line);
        }
    }
}
