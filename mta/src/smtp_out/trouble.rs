//! All that can go wrong towards a peer, and what it means: how far it reaches, whose fault it
//! is, what may be tried next. Nobody else decides that. Each row has its test below.

use std::io;
use std::time::Duration;

use relay_config::config::Gateway;
use relay_config::responses::Phase;

use crate::message::{EnhancedCode, Failure, Fault, Reply, Retry, Scope};
use crate::outside::DnsError;

use super::gateway::GatewayError;
use super::reply_reader::Garbage;
use super::socks5::SocksError;

/// The moment of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The first words of the server.
    Greeting,
    /// EHLO or HELO.
    Hello,
    /// STARTTLS.
    StartTls,
    /// AUTH.
    Auth,
    /// MAIL.
    Mail,
    /// RCPT.
    Rcpt,
    /// DATA.
    Data,
    /// While the message was being sent.
    Body,
    /// After the final dot, or the last octet of BDAT.
    Final,
    /// RSET.
    Reset,
}

impl Moment {
    fn words(self) -> &'static str {
        match self {
            Self::Greeting => "waiting for the greeting",
            Self::Hello => "in EHLO",
            Self::StartTls => "in STARTTLS",
            Self::Auth => "in AUTH",
            Self::Mail => "in MAIL",
            Self::Rcpt => "in RCPT",
            Self::Data => "in DATA",
            Self::Body => "while sending the message",
            Self::Final => "waiting for the reply to the message",
            Self::Reset => "in RSET",
        }
    }

    /// As rules for replies name it.
    const fn phase(self) -> Phase {
        match self {
            Self::Greeting => Phase::Greeting,
            Self::Hello => Phase::Hello,
            Self::StartTls => Phase::StartTls,
            Self::Auth => Phase::Auth,
            // RSET begins anew: nobody is named yet.
            Self::Mail | Self::Reset => Phase::Mail,
            Self::Rcpt => Phase::Rcpt,
            Self::Data | Self::Body => Phase::Data,
            Self::Final => Phase::Final,
        }
    }
}

/// A reply that says no, or not now.
pub(super) fn refused(moment: Moment, reply: Reply) -> Failure {
    let cause = format!("the server answered {}", moment.words());
    let hint = hint(&reply);
    let later = Retry::Later(hint);
    let (scope, retry) = match (moment, reply.code) {
        // It leaves: whatever was going on is unfinished, another host may go on.
        (_, 421) => (Scope::Session, Retry::NextHost),
        // "No SMTP service here" and the like are about us or the host, not about the mail.
        (Moment::Greeting | Moment::Hello, _) => (Scope::Session, Retry::NextHost),
        (Moment::StartTls | Moment::Auth, _) => (Scope::Site, later),
        (Moment::Rcpt, 500..) => (Scope::Recipient, Retry::Never),
        (Moment::Rcpt, _) => (Scope::Recipient, later),
        (_, 500..) => (Scope::Message, Retry::Never),
        (_, _) => (Scope::Message, later),
    };
    let fault = if moment == Moment::Auth { Fault::Local } else { Fault::Peer };
    Failure { scope, fault, retry, reply, phase: Some(moment.phase()), cause }
}

/// A reply that is neither yes nor no where it stands, as 354 to MAIL.
pub(super) fn unexpected(moment: Moment, reply: &Reply) -> Failure {
    let cause = format!("an answer that does not belong {}: {reply}", moment.words());
    if moment == Moment::Final {
        return possible_duplicate(cause);
    }
    session(Fault::Peer, EnhancedCode::new(4, 5, 0), cause)
}

/// What came is no reply.
pub(super) fn garbage(moment: Moment, garbage: Garbage) -> Failure {
    let what = match garbage {
        Garbage::NotAReply => "something that is no SMTP reply",
        Garbage::Endless => "a reply without end",
    };
    let cause = format!("the server sent {what} {}", moment.words());
    if moment == Moment::Final {
        return possible_duplicate(cause);
    }
    session(Fault::Peer, EnhancedCode::new(4, 5, 0), cause)
}

/// No reply in time. After the final dot the message may have been taken: another attempt may
/// deliver it twice, giving up may lose it, so it is tried again, at this destination's pace.
pub(super) fn timed_out(moment: Moment) -> Failure {
    let cause = format!("no answer in time {}", moment.words());
    match moment {
        Moment::Final => possible_duplicate(cause),
        _ => session(Fault::Peer, EnhancedCode::new(4, 4, 2), cause),
    }
}

/// The connection broke.
pub(super) fn lost(moment: Moment, error: &io::Error) -> Failure {
    let cause = format!("the connection was lost {}: {}", moment.words(), plain(error));
    match moment {
        Moment::Final => possible_duplicate(cause),
        _ => session(Fault::Peer, EnhancedCode::new(4, 4, 2), cause),
    }
}

/// A host could not be connected to.
pub(super) fn not_connected(error: &io::Error) -> Failure {
    let local = matches!(
        error.kind(),
        io::ErrorKind::AddrNotAvailable
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::AddrInUse
    ) || matches!(error.raw_os_error(), Some(23 | 24));
    if local {
        let cause = format!("this machine cannot connect: {}", plain(error));
        return own_fault(EnhancedCode::new(4, 3, 5), cause);
    }
    session(Fault::Peer, EnhancedCode::new(4, 4, 1), format!("no connection: {}", plain(error)))
}

/// The gateway that the source is behind did not connect to a host. Its address is told to the operator
/// alone: the reply goes to senders.
pub(super) fn gateway(gateway: &Gateway, error: &GatewayError) -> Failure {
    // RFC 1928 section 6.
    const NOT_ALLOWED: u8 = 2;
    const NETWORK_UNREACHABLE: u8 = 3;
    const HOST_UNREACHABLE: u8 = 4;
    const CONNECTION_REFUSED: u8 = 5;
    const TTL_EXPIRED: u8 = 6;
    let at_fault = |code, what: String| {
        let mut failure = own_fault(code, "the gateway of the source is of no use".to_owned());
        failure.cause = format!("the gateway {gateway} {what}");
        failure
    };
    let (silent, wrong) = (EnhancedCode::new(4, 4, 1), EnhancedCode::new(4, 3, 5));
    let error = match error {
        GatewayError::Unreachable(error) => {
            return at_fault(silent, format!("cannot be reached: {}", plain(error)));
        }
        GatewayError::Credentials(why) => {
            return at_fault(wrong, format!("wants a password: {why}"));
        }
        GatewayError::NoCommonFamily => return no_common_family("the host"),
        // It tries for as long as we do: the host does not answer.
        GatewayError::Connect(SocksError::Lost(error))
            if error.kind() == io::ErrorKind::TimedOut =>
        {
            return not_connected(error);
        }
        GatewayError::LogIn(error) | GatewayError::Connect(error) => error,
    };
    let refused = |kind: io::ErrorKind| not_connected(&kind.into());
    match error {
        SocksError::Refused(NETWORK_UNREACHABLE) => refused(io::ErrorKind::NetworkUnreachable),
        SocksError::Refused(HOST_UNREACHABLE) => refused(io::ErrorKind::HostUnreachable),
        SocksError::Refused(CONNECTION_REFUSED) => refused(io::ErrorKind::ConnectionRefused),
        SocksError::Refused(TTL_EXPIRED) => refused(io::ErrorKind::TimedOut),
        SocksError::Refused(NOT_ALLOWED) => {
            at_fault(wrong, "does not let us connect to the host".to_owned())
        }
        SocksError::Refused(code) => {
            at_fault(wrong, format!("did not connect to the host: code {code} of RFC 1928"))
        }
        SocksError::Lost(error) => at_fault(silent, format!("was lost: {}", plain(error))),
        SocksError::NotSocks => at_fault(wrong, "does not speak SOCKS 5".to_owned()),
        SocksError::NoMethod => {
            at_fault(wrong, "does not take us with a password, or without one".to_owned())
        }
        SocksError::WrongPassword => {
            at_fault(wrong, "does not know this user name and password".to_owned())
        }
        SocksError::Unspeakable => {
            at_fault(wrong, "takes user names and passwords of 1 to 255 octets".to_owned())
        }
    }
}

/// The TLS handshake failed, or there is no TLS where it is required.
pub(super) fn tls(cause: String) -> Failure {
    session(Fault::Tls, EnhancedCode::new(4, 7, 5), cause)
}

/// A password file that cannot be read.
pub(super) fn credentials(cause: String) -> Failure {
    misconfigured(cause)
}

/// The server says beforehand that it takes nothing of this size (RFC 1870).
pub(super) fn too_big(size: u64, size_max: u64) -> Failure {
    let cause = format!("the message has {size} octets, the server takes {size_max}");
    never(Scope::Message, Fault::Peer, EnhancedCode::new(5, 3, 4), cause)
}

/// The message has 8-bit text, the server does not take it (RFC 6152), and it cannot be encoded.
pub fn not_eight_bit() -> Failure {
    let cause = "the message has 8-bit text and the server does not offer 8BITMIME".to_owned();
    never(Scope::Message, Fault::Peer, EnhancedCode::new(5, 6, 3), cause)
}

/// An address or the headers have letters beyond ASCII and the server does not take them (RFC
/// 6531). They are never rewritten: that would be another address.
pub(super) fn not_utf8() -> Failure {
    let cause =
        "the message has addresses or headers beyond ASCII and the server does not offer SMTPUTF8"
            .to_owned();
    never(Scope::Message, Fault::Peer, EnhancedCode::new(5, 6, 7), cause)
}

/// The domain's names.
pub(super) fn names(domain: &str, error: &DnsError) -> Failure {
    match error {
        DnsError::NoSuchName => {
            let cause = format!("the domain {domain} does not exist");
            never(Scope::Site, Fault::Dns, EnhancedCode::new(5, 1, 2), cause)
        }
        DnsError::NoRecords => {
            let cause = format!("{domain} has no mail server: neither MX nor address records");
            never(Scope::Site, Fault::Dns, EnhancedCode::new(5, 4, 4), cause)
        }
        DnsError::Unavailable(why) => Failure {
            scope: Scope::Site,
            fault: Fault::Dns,
            retry: Retry::Later(None),
            reply: Reply::new(
                451,
                EnhancedCode::new(4, 4, 3),
                format!("the DNS does not answer for {domain}"),
            ),
            phase: None,
            cause: format!("the DNS does not answer for {domain}: {why}"),
        },
    }
}

/// The routing domain is that of a smarthost that is not configured any more. What it waits for is
/// to be divided anew, which is done before it gets here.
pub(super) fn no_route(routing_domain: &str) -> Failure {
    misconfigured(format!("no route leads to {routing_domain} any more"))
}

/// The domain says that it takes no mail (RFC 7505).
pub(super) fn null_mx(domain: &str) -> Failure {
    let cause = format!("{domain} takes no mail (null MX)");
    let mut failure = never(Scope::Site, Fault::Dns, EnhancedCode::new(5, 1, 10), cause);
    failure.reply.code = 556;
    failure
}

/// The best mail server of the domain is this relay (RFC 5321 section 5.1).
pub(super) fn loops_back(domain: &str) -> Failure {
    let cause = format!(
        "mail for {domain} would come back to this relay: its best mail server is this one"
    );
    never(Scope::Site, Fault::Dns, EnhancedCode::new(5, 4, 6), cause)
}

/// All addresses of the hosts are loopback or private ones that the operator does not allow.
pub(super) fn forbidden(host: &str) -> Failure {
    let cause = format!(
        "{host} has only loopback or private addresses, which delivery.allow_destinations does not list"
    );
    let mut failure = never(Scope::Session, Fault::Policy, EnhancedCode::new(5, 4, 4), cause);
    failure.retry = Retry::Never;
    failure
}

/// The source has IPv4 and the host IPv6 only, or the reverse.
pub(super) fn no_common_family(host: &str) -> Failure {
    let cause = format!(
        "{host} cannot be reached from this source: one has IPv4 only, the other IPv6 only"
    );
    own_fault(EnhancedCode::new(4, 4, 4), cause)
}

/// No source of the pool has its address on this machine, or a gateway that is of use.
pub fn no_source(pool: &str) -> Failure {
    let cause = format!(
        "no source of the pool \"{pool}\" can be used: this machine lacks its address, or its gateway \
         does not answer"
    );
    own_fault(EnhancedCode::new(4, 3, 5), cause)
}

/// The connection ended before these recipients had their turn.
pub fn not_begun() -> Failure {
    let cause = "the connection ended before this recipient had its turn".to_owned();
    session(Fault::Peer, EnhancedCode::new(4, 4, 2), cause)
}

/// Nobody waits any longer for what a server says.
pub fn not_answered(limit: Duration) -> Failure {
    let cause = format!("it was not done within {} seconds", limit.as_secs());
    session(Fault::Peer, EnhancedCode::new(4, 4, 2), cause)
}

/// The body could not be read from the spool.
pub fn spool(cause: String) -> Failure {
    Failure {
        scope: Scope::Message,
        fault: Fault::Local,
        retry: Retry::Later(None),
        reply: Reply::new(
            451,
            EnhancedCode::new(4, 3, 0),
            "the message could not be read from the spool",
        ),
        phase: None,
        cause,
    }
}

/// A DKIM key of the message's domain did not sign (RFC 3463: cryptographic failure). It waits, for the
/// domain has published that its mail is signed: sent without, it would be refused for good where
/// DMARC is heeded, and a person who mends the key in time loses nothing.
pub fn unsigned(cause: String) -> Failure {
    Failure {
        scope: Scope::Message,
        fault: Fault::Local,
        retry: Retry::Later(None),
        reply: Reply::new(451, EnhancedCode::new(4, 7, 5), "the message could not be signed"),
        phase: None,
        cause,
    }
}

/// The message of this recipient cannot be made of its template: neither later nor elsewhere.
pub fn unrendered(cause: String) -> Failure {
    Failure {
        scope: Scope::Message,
        fault: Fault::Local,
        retry: Retry::Never,
        reply: Reply::new(554, EnhancedCode::new(5, 6, 0), cause.clone()),
        phase: None,
        cause,
    }
}

/// What the operator must mend before anything can go to the site.
fn misconfigured(cause: String) -> Failure {
    Failure {
        scope: Scope::Site,
        fault: Fault::Local,
        retry: Retry::Later(None),
        reply: Reply::new(451, EnhancedCode::new(4, 3, 5), cause.clone()),
        phase: None,
        cause,
    }
}

/// The source cannot be used for this; another might.
fn own_fault(code: EnhancedCode, cause: String) -> Failure {
    Failure {
        scope: Scope::Path,
        fault: Fault::Local,
        retry: Retry::Later(None),
        reply: Reply::new(451, code, cause.clone()),
        phase: None,
        cause,
    }
}

fn session(fault: Fault, code: EnhancedCode, cause: String) -> Failure {
    let reply = Reply::new(451, code, cause.clone());
    Failure { scope: Scope::Session, fault, retry: Retry::NextHost, reply, phase: None, cause }
}

fn possible_duplicate(cause: String) -> Failure {
    let cause =
        format!("{cause}; the message may have been taken, so the next attempt may be a duplicate");
    let reply = Reply::new(451, EnhancedCode::new(4, 4, 2), cause.clone());
    Failure {
        scope: Scope::Message,
        fault: Fault::Peer,
        retry: Retry::Later(None),
        reply,
        phase: None,
        cause,
    }
}

fn never(scope: Scope, fault: Fault, code: EnhancedCode, cause: String) -> Failure {
    Failure {
        scope,
        fault,
        retry: Retry::Never,
        reply: Reply::new(550, code, cause.clone()),
        phase: None,
        cause,
    }
}

/// The kind of an error without file names and numbers.
fn plain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::ConnectionReset => "connection reset".to_owned(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe => {
            "closed by the server".to_owned()
        }
        io::ErrorKind::TimedOut => "no answer in time".to_owned(),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            "unreachable".to_owned()
        }
        _ => error.to_string(),
    }
}

/// "Try again in 5 minutes", "retry after 300 seconds", "greylisted for 600 s": when the peer says.
fn hint(reply: &Reply) -> Option<Duration> {
    if !reply.is_transient() {
        return None;
    }
    let text = reply.text.to_ascii_lowercase();
    if !["again", "retry", "greylist", "graylist", "wait", "come back"]
        .iter()
        .any(|word| text.contains(word))
    {
        return None;
    }
    let words: Vec<&str> =
        text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    words.iter().enumerate().find_map(|(place, word)| {
        let digits = word.find(|c: char| !c.is_ascii_digit()).unwrap_or(word.len());
        let (number, attached) = word.split_at(digits);
        let number: u32 = number.parse().ok().filter(|number| *number > 0)?;
        let unit = if attached.is_empty() { *words.get(place + 1)? } else { attached };
        let unit = match unit {
            "s" | "sec" | "secs" | "second" | "seconds" => 1,
            "m" | "min" | "mins" | "minute" | "minutes" => 60,
            "h" | "hr" | "hrs" | "hour" | "hours" => 3600,
            _ => return None,
        };
        Some(Duration::from_secs(u64::from(number) * unit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use Moment::{Auth, Body, Data, Final, Greeting, Hello, Mail, Rcpt, StartTls};

    fn check(failure: &Failure, scope: Scope, fault: Fault, retry: Retry, enhanced: &str) {
        assert_eq!(
            (failure.scope, failure.fault, failure.retry),
            (scope, fault, retry),
            "{failure:?}"
        );
        assert_eq!(
            failure.reply.enhanced.map(|code| code.to_string()).as_deref(),
            Some(enhanced),
            "{failure:?}"
        );
        assert_eq!(failure.reply.is_permanent(), enhanced.starts_with('5'), "{failure:?}");
        assert!(!failure.cause.is_empty());
    }

    fn reply(text: &str) -> Reply {
        let (code, text) = text.split_once(' ').unwrap();
        Reply::from_lines(code.parse().unwrap(), std::iter::once(text))
    }

    #[test]
    fn replies_by_moment() {
        let later = Retry::Later(None);
        for (moment, text, scope, retry) in [
            (Greeting, "554 5.7.1 go away", Scope::Session, Retry::NextHost),
            (Greeting, "421 4.3.2 busy", Scope::Session, Retry::NextHost),
            (Hello, "550 5.7.1 bad name", Scope::Session, Retry::NextHost),
            (StartTls, "454 4.7.0 no", Scope::Site, later),
            (Mail, "421 4.7.0 too many", Scope::Session, Retry::NextHost),
            (Mail, "550 5.7.1 sender", Scope::Message, Retry::Never),
            (Mail, "451 4.3.0 busy", Scope::Message, later),
            (Rcpt, "550 5.1.1 unknown", Scope::Recipient, Retry::Never),
            (Rcpt, "450 4.2.0 greylisted", Scope::Recipient, later),
            (Rcpt, "421 4.7.0 bye", Scope::Session, Retry::NextHost),
            (Data, "554 5.5.1 no", Scope::Message, Retry::Never),
            (Final, "552 5.3.4 too big", Scope::Message, Retry::Never),
            (Final, "451 4.3.0 disk", Scope::Message, later),
            (Final, "421 4.3.2 stopping", Scope::Session, Retry::NextHost),
        ] {
            let failure = refused(moment, reply(text));
            check(&failure, scope, Fault::Peer, retry, text.split(' ').nth(1).unwrap());
        }
        let auth = refused(Auth, reply("535 5.7.8 wrong"));
        check(&auth, Scope::Site, Fault::Local, later, "5.7.8");
        check(
            &unexpected(Mail, &reply("354 what")),
            Scope::Session,
            Fault::Peer,
            Retry::NextHost,
            "4.5.0",
        );
    }

    #[test]
    fn what_is_no_reply() {
        let lost_at = |moment| lost(moment, &io::ErrorKind::ConnectionReset.into());
        for moment in [Greeting, Hello, StartTls, Auth, Mail, Rcpt, Data, Body] {
            check(&timed_out(moment), Scope::Session, Fault::Peer, Retry::NextHost, "4.4.2");
            check(&lost_at(moment), Scope::Session, Fault::Peer, Retry::NextHost, "4.4.2");
        }
        for failure in [timed_out(Final), lost_at(Final)] {
            check(&failure, Scope::Message, Fault::Peer, Retry::Later(None), "4.4.2");
            assert!(failure.cause.contains("duplicate"));
        }
        for what in [Garbage::NotAReply, Garbage::Endless] {
            check(&garbage(Rcpt, what), Scope::Session, Fault::Peer, Retry::NextHost, "4.5.0");
            check(&garbage(Final, what), Scope::Message, Fault::Peer, Retry::Later(None), "4.4.2");
        }
    }

    #[test]
    fn hosts_and_names() {
        let (never, later) = (Retry::Never, Retry::Later(None));
        let refused: io::Error = io::ErrorKind::ConnectionRefused.into();
        check(&not_connected(&refused), Scope::Session, Fault::Peer, Retry::NextHost, "4.4.1");
        let missing: io::Error = io::ErrorKind::AddrNotAvailable.into();
        check(&not_connected(&missing), Scope::Path, Fault::Local, later, "4.3.5");
        check(&tls("bad".to_owned()), Scope::Session, Fault::Tls, Retry::NextHost, "4.7.5");
        check(&credentials("no file".to_owned()), Scope::Site, Fault::Local, later, "4.3.5");
        check(&no_route("gone:25"), Scope::Site, Fault::Local, later, "4.3.5");
        check(&too_big(2, 1), Scope::Message, Fault::Peer, never, "5.3.4");
        check(&not_eight_bit(), Scope::Message, Fault::Peer, never, "5.6.3");
        check(&not_utf8(), Scope::Message, Fault::Peer, never, "5.6.7");
        check(&names("x.pe", &DnsError::NoSuchName), Scope::Site, Fault::Dns, never, "5.1.2");
        check(&names("x.pe", &DnsError::NoRecords), Scope::Site, Fault::Dns, never, "5.4.4");
        let silent = DnsError::Unavailable("timeout".to_owned());
        check(&names("x.pe", &silent), Scope::Site, Fault::Dns, later, "4.4.3");
        check(&null_mx("x.pe"), Scope::Site, Fault::Dns, never, "5.1.10");
        assert_eq!(null_mx("x.pe").reply.code, 556);
        check(&loops_back("x.pe"), Scope::Site, Fault::Dns, never, "5.4.6");
        check(&forbidden("mx.x.pe"), Scope::Session, Fault::Policy, never, "5.4.4");
        check(&no_common_family("mx.x.pe"), Scope::Path, Fault::Local, Retry::Later(None), "4.4.4");
        check(&no_source("p"), Scope::Path, Fault::Local, Retry::Later(None), "4.3.5");
        check(&not_begun(), Scope::Session, Fault::Peer, Retry::NextHost, "4.4.2");
        let odd = unexpected(Final, &reply("354 what"));
        check(&odd, Scope::Message, Fault::Peer, later, "4.4.2");
        check(&spool("gone".to_owned()), Scope::Message, Fault::Local, later, "4.3.0");
        check(&unsigned("bad".to_owned()), Scope::Message, Fault::Local, later, "4.7.5");
    }

    #[test]
    fn gateways() {
        use GatewayError::{Connect, Credentials, LogIn, NoCommonFamily, Unreachable};
        use SocksError::{Lost, NoMethod, NotSocks, Refused, Unspeakable, WrongPassword};

        let host = Gateway {
            address: "10.0.0.5:1080".parse().unwrap(),
            protocol: relay_config::config::GatewayProtocol::Socks5 { credentials: None },
        };
        let silence = || io::Error::from(io::ErrorKind::TimedOut);
        let path = |error: GatewayError, enhanced: &str| {
            let failure = gateway(&host, &error);
            check(&failure, Scope::Path, Fault::Local, Retry::Later(None), enhanced);
            assert!(!failure.reply.text.contains("10.0.0.5"), "{failure:?}");
            failure.cause
        };
        let cause = path(Unreachable(io::ErrorKind::ConnectionRefused.into()), "4.4.1");
        assert_eq!(
            cause,
            "the gateway socks5://10.0.0.5:1080 cannot be reached: connection refused"
        );
        path(LogIn(Lost(silence())), "4.4.1");
        path(Connect(Lost(io::ErrorKind::UnexpectedEof.into())), "4.4.1");
        path(Credentials("no file".to_owned()), "4.3.5");
        for error in [NotSocks, NoMethod, WrongPassword, Unspeakable] {
            path(LogIn(error), "4.3.5");
        }
        path(NoCommonFamily, "4.4.4");
        for code in [1, 2, 7, 8, 9, 255] {
            path(Connect(Refused(code)), "4.3.5");
        }
        let site = |error: SocksError, cause: &str| {
            let failure = gateway(&host, &Connect(error));
            check(&failure, Scope::Session, Fault::Peer, Retry::NextHost, "4.4.1");
            assert_eq!(failure.cause, format!("no connection: {cause}"));
        };
        site(Refused(3), "unreachable");
        site(Refused(4), "unreachable");
        site(Refused(5), "connection refused");
        site(Refused(6), "no answer in time");
        site(Lost(silence()), "no answer in time");
    }

    #[test]
    fn a_peer_that_says_when() {
        let check = |text: &str, seconds: Option<u64>| {
            assert_eq!(hint(&reply(text)), seconds.map(Duration::from_secs), "{text}");
        };
        check("450 4.2.0 Greylisted, try again in 5 minutes", Some(300));
        check("451 4.7.1 Please try again in 300 seconds", Some(300));
        check("450 greylisted for 600s", Some(600));
        check("421 4.7.0 Try again later (1 hour)", Some(3600));
        check("450 4.2.0 try again later", None);
        check("450 4.3.2 queue 4 is full, 20 minutes of work", None);
        check("550 5.7.1 do not try again in 5 minutes", None);
        check("450 4.2.0 wait 0 seconds", None);
    }
}
