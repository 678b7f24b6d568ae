//! The words of a rule: categories, what is blamed, moments of a conversation, what is done.
//!
//! Each word stands here once, with its meaning: the same table reads the files, names things in
//! events and writes the reference. Words are added, never renamed (events are a contract).

use std::fmt;
use std::time::Duration;

/// An enum whose variants are words of the configuration, each with its meaning.
macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($variant:ident $word:literal $meaning:literal)+ }) => {
        $(#[$about])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
        )]
        pub enum $name {
            $(#[doc = $meaning] #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            /// Every word with what it stands for.
            pub const WORDS: &'static [(&'static str, Self)] = &[$(($word, Self::$variant),)+];

            /// As it is written in files and events.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            /// What it means, for people.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.word())
            }
        }
    };
}

words! {
    /// What a reply is about; `category` in events.
    Category {
        BadDomain "bad-domain" "the recipient's domain does not exist or takes no mail"
        BadMailbox "bad-mailbox" "there is no such mailbox"
        BadSender "bad-sender" "the sender's address is refused"
        Connection "connection" "the network or the connection"
        Content "content" "the form of the content: media, conversion"
        ContentAttachment "content-attachment" "an attachment"
        ContentMalware "content-malware" "malware or phishing"
        ContentSpam "content-spam" "held for spam"
        Dns "dns" "names of the receiver that cannot be looked up"
        DomainListed "domain-listed" "a list of domains names the sending domain or a link"
        DomainReputation "domain-reputation" "the reputation of the sending domain or of a link"
        Expired "expired" "it took too long"
        FalseListing "false-listing" "a blocklist that is asked wrongly"
        Greylist "greylist" "strangers are told to come back"
        InactiveMailbox "inactive-mailbox" "the mailbox is disabled"
        IpBlock "ip-block" "the address is blocked"
        IpReputation "ip-reputation" "the reputation of the address"
        ListQuality "list-quality" "too many addresses that do not exist"
        Loop "loop" "mail goes round in circles"
        Mailbox "mailbox" "something else about the mailbox"
        MailboxFull "mailbox-full" "the mailbox is full"
        MailboxRateLimit "mailbox-rate-limit" "the mailbox gets more than it may"
        Policy "policy" "a rule of the receiver that is not named"
        PolicyAuth "policy-auth" "SPF, DKIM or DMARC"
        Protocol "protocol" "the shape of commands, of a transaction or of the header section"
        RateLimit "rate-limit" "more messages or connections than the receiver wants"
        RecipientPolicy "recipient-policy" "a rule of the recipient or of its organisation"
        Refused "refused" "refused, without saying why"
        RelayDenied "relay-denied" "the server does not serve the recipient's domain"
        ReverseDns "reverse-dns" "the PTR record of the address"
        SenderBanned "sender-banned" "the sender is banned"
        SenderDns "sender-dns" "the domain of the sender cannot be looked up"
        SenderVerification "sender-verification" "the receiver asked back whether the sender exists"
        System "system" "the receiver's own state"
        Temporary "temporary" "not now, without saying why"
        Tls "tls" "encryption of the connection"
        TooBig "too-big" "the message is too big"
    }
}

words! {
    /// What a reply blames; decides what is spared and what is held.
    Blame {
        Recipient "recipient" "the recipient"
        RecipientDomain "recipient-domain" "the recipient's domain"
        Source "source" "the source, at this destination"
        Netblock "netblock" "the network that the source stands in, at this destination"
        SendingDomain "sending-domain" "the sending domain, from whatever source"
        Content "content" "the content of the campaign"
        Link "link" "a link in the message"
        List "list" "the list of recipients"
        Message "message" "this message"
        Triplet "triplet" "nobody: source, sender and recipient are not known together yet"
        Connection "connection" "this connection or transaction"
        Route "route" "the way there: its TLS, its MX records, the form of its transactions"
        Configuration "configuration" "our own configuration"
        Receiver "receiver" "the receiver"
        Unclear "unclear" "nobody that it names"
    }
}

words! {
    /// The moment of a conversation at which a server said it.
    Phase {
        Greeting "greeting" "the first words of the server"
        Hello "hello" "EHLO or HELO"
        StartTls "starttls" "STARTTLS"
        Auth "auth" "AUTH"
        Mail "mail" "MAIL"
        Rcpt "rcpt" "RCPT"
        Data "data" "DATA, or while the message was sent"
        Final "final" "the reply to the message"
    }
}

words! {
    /// When other sources take the mail of one that is suspended.
    Move {
        AtOnce "at-once" "other warm sources take its mail"
        IfRepeated "if-repeated" "other warm sources take its mail if this comes again"
        IfListed "if-listed" "other warm sources take its mail if a blocklist names it"
        IfAnotherIsHeard "if-another-is-heard" "other warm sources take its mail if one of them is heard"
    }
}

words! {
    /// What is done, as written: the other keys of a rule say how long and on what condition.
    ActionWord {
        Suppress "suppress" "the recipient (or its domain, where that is blamed) gets no more mail; after `hits` such replies"
        SoftSuppress "soft-suppress" "counted: no more mail after three such replies in seven days or more"
        Fail "fail" "this message ends, on a 4xx only with `transient`; nobody is suppressed"
        Retry "retry" "tried again, after `retry_after` or as `delivery.retry` says"
        SameSource "same-source" "the next attempt goes from the same source"
        OtherSource "other-source" "the next attempt never goes from the same source"
        Split "split" "the other recipients go in another transaction at once"
        Reconnect "reconnect" "goes on over a new connection at once; fewer messages a connection from now on"
        Slow "slow" "one connection and about one message a minute `for` a time"
        FewerConnections "fewer-connections" "half as many connections `for` a time"
        Suspend "suspend" "nothing is sent from there `for` a time, or until released; its mail waits"
        FreezeWarmUp "freeze-warm-up" "this day does not count for the warm-up"
        StepBack "step-back" "the warm-up goes back three days"
        CheckListing "check-listing" "the blocklists are asked about the source at once"
        HaltDomain "halt-domain" "nothing of the sending domain goes there from any source, `for` a time or until released; once `domains` recipient domains have said so"
        SlowRamp "slow-ramp" "afterwards it begins slowly"
        HaltCampaign "halt-campaign" "the rest of the campaign waits until released; once `above` this share of it is answered so"
        ResolveAgain "resolve-again" "the MX records are looked up afresh"
        RequireTls "require-tls" "TLS is required there from now on"
    }
}

/// A share of recent replies, from 1 to 50 percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Percent(pub u8);

/// One thing that a rule has done, with its measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// No more mail to the recipient (or its domain) after so many such replies.
    Suppress {
        /// From 1.
        hits: u32,
    },
    /// Counted; no more mail after [`SOFT_HITS`] in at least [`SOFT_SPAN`].
    SoftSuppress,
    /// This message ends.
    Fail {
        /// Also on a 4xx: the server says so although it will never take it.
        transient: bool,
    },
    /// Tried again.
    Retry {
        /// Not before; `None`: as the schedule says.
        after: Option<Duration>,
    },
    /// From the source that was used.
    SameSource,
    /// From any but the source that was used.
    OtherSource,
    /// The rest goes in another transaction, at once.
    Split,
    /// The rest goes over another connection, at once.
    Reconnect,
    /// One connection and about one message a minute.
    Slow {
        /// How long.
        lasts: Duration,
        /// Only once this share of attempts is answered so.
        above: Option<Percent>,
    },
    /// Half as many connections.
    FewerConnections {
        /// How long.
        lasts: Duration,
    },
    /// Nothing is sent from there; the mail waits.
    Suspend {
        /// How long; `None`: until an operator releases it.
        lasts: Option<Duration>,
    },
    /// Other warm sources take the mail of what is suspended.
    Move(Move),
    /// The day does not count for the warm-up.
    FreezeWarmUp,
    /// The warm-up of the path goes back three days; a block of the source, or a word against its reputation,
    /// does so by itself.
    StepBack,
    /// The blocklists are asked about the source at once.
    CheckListing,
    /// Nothing of the sending domain goes there, from any source.
    HaltDomain {
        /// How long; `None`: until an operator releases it.
        lasts: Option<Duration>,
        /// Recipient domains that must have said so first, from 1.
        domains: u32,
    },
    /// Afterwards it begins slowly.
    SlowRamp,
    /// The rest of the campaign waits until an operator releases it.
    HaltCampaign {
        /// Only once this share of it is answered so.
        above: Option<Percent>,
    },
    /// The MX records are looked up afresh.
    ResolveAgain,
    /// TLS is required there from now on.
    RequireTls,
}

/// Replies that a soft suppression takes.
pub const SOFT_HITS: u32 = 3;
/// Between the first and the last of them: a mailbox that is full for a weekend is not given up.
pub const SOFT_SPAN: Duration = Duration::from_hours(24 * 7);

impl Blame {
    /// Whether it is the one the mail is for: before RCPT nothing can be said about that.
    pub const fn is_recipient(self) -> bool {
        matches!(self, Self::Recipient | Self::RecipientDomain)
    }
}

impl Action {
    /// Whether it ends mail to somebody for good.
    pub const fn suppresses(self) -> bool {
        matches!(self, Self::Suppress { .. } | Self::SoftSuppress)
    }

    /// A sentence for people; `scope` is what the rule blames.
    pub fn sentence(self, scope: &[Blame]) -> String {
        let whom =
            if scope.contains(&Blame::Recipient) { "recipient" } else { "recipient's domain" };
        let held = held(scope);
        match self {
            Self::Suppress { hits: 1 } => format!("the {whom} gets no more mail"),
            Self::Suppress { hits } => {
                format!("the {whom} gets no more mail once {hits} such replies have come")
            }
            Self::SoftSuppress => format!(
                "it is counted: the {whom} gets no more mail after {SOFT_HITS} such replies in {} or more",
                span(SOFT_SPAN)
            ),
            Self::Fail { .. } => "this message ends and is reported".to_owned(),
            Self::Retry { after: None } => "it is tried again on schedule".to_owned(),
            Self::Retry { after: Some(after) } => {
                format!("it is tried again after {}, not before", span(after))
            }
            Self::SameSource => "the next attempt goes from the same source".to_owned(),
            Self::OtherSource => "the next attempt goes from another source".to_owned(),
            Self::Split => "the other recipients go in another transaction at once".to_owned(),
            Self::Reconnect => {
                "it goes on over a new connection at once, with fewer messages in each from now on"
                    .to_owned()
            }
            Self::Slow { lasts, above } => format!(
                "{held} gets one connection and about one message a minute for {}{}",
                span(lasts),
                share(above, "attempts")
            ),
            Self::FewerConnections { lasts } => {
                format!("{held} gets half as many connections for {}", span(lasts))
            }
            Self::Suspend { lasts } => {
                format!("{held} is suspended {}; its mail waits", until(lasts))
            }
            Self::Move(when) => when.meaning().to_owned(),
            Self::FreezeWarmUp => "this day does not count for the warm-up".to_owned(),
            Self::StepBack => "the warm-up of the source there goes back three days".to_owned(),
            Self::CheckListing => "the blocklists are asked about the source at once".to_owned(),
            Self::HaltDomain { lasts, domains } => {
                let condition = match domains {
                    1 => String::new(),
                    _ => format!(", once {domains} recipient domains have said so"),
                };
                format!(
                    "nothing of the sending domain goes to this destination, from any source, {}{condition}",
                    until(lasts)
                )
            }
            Self::SlowRamp => "afterwards it begins slowly".to_owned(),
            Self::HaltCampaign { above } => format!(
                "the rest of the campaign waits until an operator releases it{}",
                share(above, "its replies")
            ),
            Self::ResolveAgain => "the MX records of the domain are looked up afresh".to_owned(),
            Self::RequireTls => "TLS is required at this destination from now on".to_owned(),
        }
    }
}

/// In short, as a rule names it with its measures: `suspend 24h`, `halt-campaign above 1%`.
impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = |time: Option<Duration>| {
            time.map_or_else(String::new, |time| format!(" {}", span(time)))
        };
        let share = |above: Option<Percent>| {
            above.map_or_else(String::new, |percent| format!(" above {}%", percent.0))
        };
        let count = |hits: u32| if hits > 1 { format!(" after {hits}") } else { String::new() };
        let (word, measure) = match *self {
            Self::Suppress { hits } => (ActionWord::Suppress, count(hits)),
            Self::SoftSuppress => (ActionWord::SoftSuppress, String::new()),
            Self::Fail { .. } => (ActionWord::Fail, String::new()),
            Self::Retry { after } => (ActionWord::Retry, time(after)),
            Self::SameSource => (ActionWord::SameSource, String::new()),
            Self::OtherSource => (ActionWord::OtherSource, String::new()),
            Self::Split => (ActionWord::Split, String::new()),
            Self::Reconnect => (ActionWord::Reconnect, String::new()),
            Self::Slow { lasts, above } => {
                (ActionWord::Slow, format!("{}{}", time(Some(lasts)), share(above)))
            }
            Self::FewerConnections { lasts } => (ActionWord::FewerConnections, time(Some(lasts))),
            Self::Suspend { lasts } => (ActionWord::Suspend, time(lasts)),
            Self::Move(when) => return write!(f, "move {when}"),
            Self::FreezeWarmUp => (ActionWord::FreezeWarmUp, String::new()),
            Self::StepBack => (ActionWord::StepBack, String::new()),
            Self::CheckListing => (ActionWord::CheckListing, String::new()),
            Self::HaltDomain { lasts, domains } => {
                (ActionWord::HaltDomain, format!("{}{}", time(lasts), count(domains)))
            }
            Self::SlowRamp => (ActionWord::SlowRamp, String::new()),
            Self::HaltCampaign { above } => (ActionWord::HaltCampaign, share(above)),
            Self::ResolveAgain => (ActionWord::ResolveAgain, String::new()),
            Self::RequireTls => (ActionWord::RequireTls, String::new()),
        };
        write!(f, "{word}{measure}")
    }
}

/// `90m`, `24h`, `7d`: as the configuration writes it.
pub fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    let units = [("d", 86_400, 2), ("h", 3600, 1), ("m", 60, 1)];
    let whole = |(_, unit, least): &&(&str, u64, u64)| {
        seconds.is_multiple_of(*unit) && seconds / unit >= *least
    };
    match units.iter().find(whole) {
        Some((name, unit, _)) => format!("{}{name}", seconds / unit),
        None => format!("{seconds}s"),
    }
}

/// Who is slowed or suspended.
fn held(scope: &[Blame]) -> &'static str {
    if scope.contains(&Blame::Source) {
        "this source, at this destination,"
    } else if scope.contains(&Blame::Netblock) {
        "every source in this network, at this destination,"
    } else {
        "this destination"
    }
}

fn until(lasts: Option<Duration>) -> String {
    lasts.map_or_else(
        || "until an operator releases it".to_owned(),
        |lasts| format!("for {}", span(lasts)),
    )
}

fn share(above: Option<Percent>, of: &str) -> String {
    above.map_or_else(String::new, |percent| {
        format!(", once more than {} % of {of} are answered so", percent.0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_they_are_written() {
        let check = |seconds: u64, expected: &str| {
            assert_eq!(span(Duration::from_secs(seconds)), expected);
        };
        check(86_400, "24h");
        check(604_800, "7d");
        check(7200, "2h");
        check(3600, "1h");
        check(5400, "90m");
        check(300, "5m");
        check(90, "90s");
    }
}
