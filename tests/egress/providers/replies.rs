//! What providers say when they do not take a message: texts as they are known of them, several
//! for most reasons. A reply is put together only when somebody reads it.

use std::net::Ipv4Addr;

use super::SENDING_DOMAINS;
use super::rules::Kind;

/// Why something was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// Connections at a time, of the address or of everybody.
    Connections,
    /// Transactions in one connection.
    EnoughForConnection,
    /// Recipients of the address in a minute or an hour.
    TooFast,
    /// More than the address is known for.
    TooMuch,
    /// Recipients of its network in an hour.
    Netblock,
    /// The address is blocked for hours.
    BlockedForNow,
    /// The address is blocked for days.
    Blocked,
    /// The address is listed.
    Listed,
    /// More than the sending domain is known for.
    DomainTooMuch,
    /// The sending domain is blocked.
    DomainBlocked,
    /// Come again.
    Greylisted,
    /// There is no such recipient.
    Unknown,
    /// The mailbox is full.
    Full,
    /// The provider's own trouble.
    Trouble,
}

impl Why {
    /// Whether it is about what the address does: who is told so is expected to wait.
    pub fn is_about_address(self) -> bool {
        matches!(
            self,
            Self::TooFast
                | Self::TooMuch
                | Self::Netblock
                | Self::BlockedForNow
                | Self::Blocked
                | Self::Listed
        )
    }
}

/// A reply that refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply {
    /// For what reason: for the checks, the relay does not see it.
    pub why: Why,
    /// Its text with places for what differs; two replies with the same form differ in nothing else.
    pub form: &'static str,
    /// The address that was spoken to.
    pub address: Ipv4Addr,
    /// The sending domain.
    pub domain: usize,
    /// The recipient.
    pub recipient: u64,
    /// What makes each reply another one.
    pub token: u32,
}

impl Reply {
    /// The first three digits.
    pub fn code(&self) -> u16 {
        self.form.get(..3).and_then(|code| code.parse().ok()).expect("a form begins with a code")
    }

    /// The reply as one line.
    pub fn line(&self) -> String {
        let [a, b, c, _] = self.address.octets();
        let domain = SENDING_DOMAINS.get(self.domain).copied().unwrap_or("unknown.example");
        self.form
            .replace("{ip}", &self.address.to_string())
            .replace("{net}", &format!("{a}.{b}.{c}.0"))
            .replace("{domain}", domain)
            .replace("{rcpt}", &format!("u{}@there.example", self.recipient))
            .replace("{token}", &format!("{:08x}", self.token))
    }
}

/// What a provider of this kind may say for this reason; never empty.
pub fn forms(kind: Kind, why: Why) -> &'static [&'static str] {
    let own = match kind {
        Kind::Google => google(why),
        Kind::MicrosoftConsumer => microsoft_consumer(why),
        Kind::Office365 => office365(why),
        Kind::Yahoo => yahoo(why),
        Kind::Small => small(why),
    };
    if own.is_empty() { anybody(why) } else { own }
}

fn google(why: Why) -> &'static [&'static str] {
    match why {
        Why::Connections => &[
            "421 4.7.0 Too many concurrent SMTP connections from this IP address; please try again later. {token} - gsmtp",
        ],
        Why::TooFast | Why::TooMuch => &[
            "421 4.7.28 Gmail has detected an unusual rate of email originating from your IP address {ip}. To protect our users from spam, email sent from your IP address has been temporarily rate limited. {token} - gsmtp",
            "421-4.7.28 [{ip} 15] Our system has detected an unusual rate of 421-4.7.28 unsolicited mail originating from your IP address. To protect our 421-4.7.28 users from spam, mail sent from your IP address has been temporarily 421 4.7.28 rate limited. {token} - gsmtp",
        ],
        Why::Netblock => &[
            "421 4.7.28 Gmail has detected an unusual rate of unsolicited email originating from your IP Netblock {net}. To protect our users from spam, email sent from your IP Netblock has been temporarily rate limited. {token} - gsmtp",
        ],
        Why::BlockedForNow => &[
            "421 4.7.0 [{ip}] This message is suspicious due to the very low reputation of the sending IP address. To protect our users from spam, email sent from your IP address has been temporarily rate limited. {token} - gsmtp",
        ],
        Why::Blocked | Why::Listed => &[
            "550 5.7.28 There is an unusual rate of unsolicited email originating from your IP address. To protect our users from spam, email sent from your IP address has been blocked. {token} - gsmtp",
            "550 5.7.1 [{ip}] Our system has detected that this message is likely suspicious due to the very low reputation of the sending IP address. To best protect our users from spam, the message has been blocked. {token} - gsmtp",
        ],
        Why::DomainTooMuch => &[
            "421 4.7.28 Gmail has detected an unusual rate of unsolicited email originating from your DKIM domain {domain}. To protect our users from spam, email sent from your domain has been temporarily rate limited. {token} - gsmtp",
            "421 4.7.28 Gmail has detected an unusual rate of unsolicited email originating from your SPF domain {domain}. To protect our users from spam, email sent from your domain has been temporarily rate limited. {token} - gsmtp",
        ],
        Why::DomainBlocked => &[
            "550 5.7.1 [{ip}] Our system has detected that this message is likely suspicious due to the very low reputation of the sending domain. To best protect our users from spam, the message has been blocked. {token} - gsmtp",
            "421 4.7.0 This message is suspicious due to the very low reputation of the sending domain. To best protect our users from spam, the message has been blocked. {token} - gsmtp",
        ],
        Why::Unknown => &[
            "550-5.1.1 The email account that you tried to reach does not exist. Please try 550-5.1.1 double-checking the recipient's email address for typos or 550-5.1.1 unnecessary spaces. Learn more at 550 5.1.1 https://support.google.com/mail/?p=NoSuchUser {token} - gsmtp",
        ],
        Why::Full => &[
            "452 4.2.2 The recipient's inbox is out of storage space. Please direct the recipient to Manage files in your Google Drive storage. {token} - gsmtp",
        ],
        Why::Trouble => &[
            "421 4.7.0 Try again later, closing connection. {token} - gsmtp",
            "421 4.3.0 Temporary System Problem. Try again later (10). {token} - gsmtp",
        ],
        Why::EnoughForConnection | Why::Greylisted => &[],
    }
}

fn microsoft_consumer(why: Why) -> &'static [&'static str] {
    match why {
        Why::Connections => &[
            "421 RP-003 The mail server IP connecting to Outlook.com server has exceeded the connection limit allowed. [{token}]",
        ],
        Why::TooFast => &[
            "421 RP-001 The mail server IP connecting to Outlook.com server has exceeded the rate limit allowed. [{token}]",
        ],
        Why::TooMuch | Why::Netblock => &[
            "451 4.7.650 The mail server [{ip}] has been temporarily rate limited due to IP reputation. For e-mail delivery information, see https://postmaster.live.com (S3113) [{token}]",
            "451 4.7.651 The mail server [{ip}] has been temporarily rate limited due to IP reputation. For e-mail delivery information, see https://postmaster.live.com (S3114) [{token}]",
        ],
        Why::BlockedForNow => &[
            "451 4.7.650 The mail server [{ip}] has been temporarily rate limited due to IP reputation. For e-mail delivery information, see https://postmaster.live.com (S775) [{token}]",
        ],
        Why::Blocked => &[
            "550 5.7.1 Unfortunately, messages from [{ip}] weren't sent. Please contact your Internet service provider since part of their network is on our block list (S3140). You can also refer your provider to http://mail.live.com/mail/troubleshooting.aspx#errors. [{token}]",
            "550 5.7.1 Unfortunately, messages from [{ip}] weren't sent. Please contact your Internet service provider since part of their network is on our block list (S3150). You can also refer your provider to http://mail.live.com/mail/troubleshooting.aspx#errors. [{token}]",
        ],
        Why::Listed => &[
            "550 OU-001 Mail rejected by Outlook.com for policy reasons. Your IP is listed by Spamhaus. [{token}]",
        ],
        Why::DomainTooMuch | Why::DomainBlocked => &[
            "550 5.7.515 Access denied, sending domain {domain} doesn't meet the required authentication level. [{token}]",
        ],
        Why::Unknown => &[
            "550 5.5.0 Requested action not taken: mailbox unavailable. [{token}.prod.protection.outlook.com]",
            "550 5.5.0 Requested action not taken: mailbox unavailable (S2017062302). [{token}]",
        ],
        Why::Trouble => &["451 4.7.700 PFA agent busy, please try again. [{token}]"],
        Why::EnoughForConnection | Why::Greylisted | Why::Full => &[],
    }
}

fn office365(why: Why) -> &'static [&'static str] {
    match why {
        Why::Connections => &[
            "421 4.3.2 The maximum number of concurrent connections per resource forest has exceeded a limit, closing transmission channel. [{token}]",
        ],
        Why::TooFast | Why::TooMuch | Why::Netblock => &[
            "451 4.7.500 Server busy. Please try again later from [{ip}]. (AS761) [{token}]",
            "451 4.7.500 Server busy. Please try again later from [{ip}]. (S77719) [{token}]",
        ],
        Why::BlockedForNow => {
            &["451 4.7.500 Server busy. Please try again later from [{ip}]. (AS77714) [{token}]"]
        }
        Why::Blocked => &[
            "550 5.7.606 Access denied, banned sending IP [{ip}]. To request removal from this list please visit https://sender.office.com/ and follow the directions. (AS16012609) [{token}]",
        ],
        Why::Listed => &[
            "550 5.7.1 Service unavailable, Client host [{ip}] blocked using Spamhaus. To request removal from this list see https://www.spamhaus.org/query/ip/{ip} [{token}]",
        ],
        Why::DomainTooMuch | Why::DomainBlocked => &[
            "550 5.7.509 Access denied, sending domain [{domain}] does not pass DMARC verification and has a DMARC policy of reject. [{token}]",
        ],
        Why::Unknown => &[
            "550 5.4.1 [{rcpt}]: Recipient address rejected: Access denied. AS(201806281) [{token}]",
            "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient {rcpt} not found by SMTP address lookup [{token}]",
        ],
        Why::Trouble => &["451 4.7.700 PFA agent busy, please try again. [{token}]"],
        Why::EnoughForConnection | Why::Greylisted | Why::Full => &[],
    }
}

fn yahoo(why: Why) -> &'static [&'static str] {
    match why {
        Why::TooFast | Why::TooMuch | Why::Netblock => &[
            "421 4.7.0 [TSS04] Messages from {ip} temporarily deferred due to unexpected volume or user complaints - 4.16.55.1; see https://postmaster.yahooinc.com/error-codes",
        ],
        Why::BlockedForNow => &[
            "421 4.7.0 [TSS05] Messages from {ip} temporarily deferred due to unexpected volume or user complaints - 4.16.55.1; see https://postmaster.yahooinc.com/error-codes",
        ],
        Why::Blocked => &[
            "553 5.7.2 [TSS09] All messages from {ip} will be permanently deferred; Retrying will NOT succeed. See https://postmaster.yahooinc.com/error-codes",
        ],
        Why::Listed => &[
            "553 5.7.1 [BL21] Connections will not be accepted from {ip}, because the ip is in Spamhaus's list; see https://help.yahoo.com/kb/postmaster/SLN5070.html",
        ],
        Why::EnoughForConnection => {
            &["421 Max message per connection reached, closing transmission channel"]
        }
        Why::DomainTooMuch | Why::DomainBlocked => &[
            "550 5.7.9 This mail has been blocked because the sender is unauthenticated. Yahoo requires all senders to authenticate with either SPF or DKIM ({domain})",
        ],
        Why::Unknown => &[
            "554 delivery error: dd This user doesn't have a yahoo.com account ({rcpt}) [0] - mta{token}.mail.bf1.yahoo.com",
        ],
        Why::Trouble => &["421 4.4.5 Server busy, try again later"],
        Why::Connections | Why::Greylisted | Why::Full => &[],
    }
}

fn small(why: Why) -> &'static [&'static str] {
    match why {
        Why::Connections => &[
            "421 4.7.0 mx.there.example Error: too many connections from {ip}",
            "421 Trop de connexions, veuillez verifier votre configuration",
        ],
        Why::TooFast | Why::TooMuch | Why::Netblock => &[
            "450 4.7.1 Error: too many mails from you, please try again slower",
            "451 4.7.1 <{rcpt}>: rate limit of {ip} exceeded, try again later",
        ],
        Why::BlockedForNow => &["450 4.7.1 Client host [{ip}] blocked for some hours"],
        Why::Blocked => &[
            "554 5.7.1 Client host [{ip}] blocked using our own list",
            "554 5.7.1 <[{ip}]>: Client host rejected: blacklisted",
            "550 5.7.1 La IP {ip} figura en nuestra lista negra",
        ],
        Why::Greylisted => &[
            "450 4.2.0 <{rcpt}>: Recipient address rejected: Greylisted, see http://postgrey.schweikert.ch/help/there.example.html",
            "451 4.7.1 <{rcpt}>: Recipient address rejected: Greylisted for 5 minutes",
        ],
        Why::Unknown => &[
            "550 5.1.1 <{rcpt}>: Recipient address rejected: User unknown in virtual mailbox table",
            "550 no existe dicha persona",
        ],
        Why::Trouble => &[
            "451 4.3.0 Error: queue file write error",
            "421 4.3.2 Service shutting down and closing transmission channel",
        ],
        Why::EnoughForConnection
        | Why::Listed
        | Why::DomainTooMuch
        | Why::DomainBlocked
        | Why::Full => &[],
    }
}

fn anybody(why: Why) -> &'static [&'static str] {
    match why {
        Why::Connections => &["421 4.7.0 Too many concurrent connections from source IP"],
        Why::EnoughForConnection => {
            &["421 4.7.0 maximum number of messages per connection exceeded"]
        }
        Why::Listed => &[
            "554 5.7.1 Service unavailable; Client host [{ip}] blocked using zen.spamhaus.org; https://www.spamhaus.org/query/ip/{ip}",
        ],
        Why::DomainTooMuch | Why::DomainBlocked => &[
            "554 5.7.1 Service unavailable; Sender address [u@{domain}] blocked using dbl.spamhaus.org; https://www.spamhaus.org/query/domain/{domain}",
        ],
        Why::Full => &["452 4.2.2 <{rcpt}>: the mailbox is full", "552 5.2.2 Mailbox over quota"],
        Why::Greylisted => &["451 4.7.1 Greylisting in action, please come back later"],
        Why::Unknown => &["550 5.1.1 <{rcpt}>: no such user"],
        Why::Trouble => &["451 4.3.0 temporary failure"],
        Why::TooFast | Why::TooMuch | Why::Netblock | Why::BlockedForNow => {
            &["421 4.7.1 Message delivery temporarily deferred due to excessive volume"]
        }
        Why::Blocked => &["554 5.7.1 Client host [{ip}] blocked"],
    }
}
