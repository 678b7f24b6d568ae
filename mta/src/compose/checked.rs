//! What was handed in, checked: all mistakes at once, each with its place.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::message::{Address, Id, Personal, Priority, Timestamp};
use crate::metrics::limit_hit;
use crate::smtp::{DataReceiver, Flaw};

use super::fields;
use super::letter::{Letter, Mistake, Party, To};
use super::parts::{Mailbox, Parts};
use super::templates::{self, Target};

/// Mistakes that are told; who made more makes them in each line.
const MISTAKES_MAX: usize = 100;
/// Header fields of a request: no honest message has more of its own.
const HEADERS_MAX: usize = 50;
/// Files of a request.
const ATTACHMENTS_MAX: usize = 50;
/// Octets of all substitutions of one recipient: they are kept with it until it is delivered.
const SUBSTITUTIONS_MAX: usize = 16 * 1024;
/// Lists and objects within one another in substitutions.
const NESTING_MAX: usize = 8;
/// Tags of a message, and octets of one: those of `X-Tambo-Tag`.
const TAGS_MAX: usize = 8;
const TAG_OCTETS_MAX: usize = 64;
/// Octets of a name beside an address.
const NAME_MAX: usize = 250;
/// Octets of one part's template, as of a text without any.
const SUBJECT_MAX: usize = 2_000;
/// Octets of a line of `raw` (RFC 5322 section 2.1.1).
const LINE_MAX: usize = 998;
/// A time to send that is further away is a mistake in the year.
const SEND_AT_MAX: Duration = Duration::from_hours(24 * 366);

/// What the relay allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Recipients of a request.
    pub recipients_max: usize,
    /// Octets of a message.
    pub message_max: u64,
}

/// A request that can be sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    /// MAIL FROM, and From of parts.
    pub from: Address,
    /// Each once.
    pub to: Vec<Addressee>,
    /// What they get.
    pub content: Content,
    /// Each gets a message of its own, made of `content`.
    pub personal: bool,
    /// For events.
    pub tags: Vec<String>,
    /// Pool that was asked for.
    pub pool: Option<String>,
    /// Turn that was asked for.
    pub priority: Priority,
    /// Not before; to the second.
    pub send_at: Option<Timestamp>,
    /// Variables that were not given to everybody.
    pub undefined: Vec<Undefined>,
    /// Addresses that stood there more than once.
    pub duplicates: usize,
    /// What is allowed and looks like a mistake, in sentences.
    pub warnings: Vec<String>,
}

/// A recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addressee {
    /// Where to.
    pub address: Address,
    /// What its message is made with, of a template.
    pub personal: Personal,
}

/// What is sent.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// As it is: lines end in CRLF, the last one too.
    Raw {
        /// All of it.
        octets: Bytes,
        /// Some line starts with a dot.
        leading_dots: bool,
        /// Some octet is above 127.
        eight_bit: bool,
    },
    /// To be written, or the template of what is written.
    Parts(Box<Parts>),
}

/// A variable that some recipients have no value for: it renders empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undefined {
    /// Its name.
    pub variable: String,
    /// How many have none.
    pub recipients: usize,
    /// The first of them.
    pub first: String,
}

/// Reads a request; an error is all that is wrong with it.
pub fn check(letter: &Letter, limits: Limits, now: Timestamp) -> Result<Checked, Vec<Mistake>> {
    let mut look = Look { limits, now, mistakes: Vec::new(), warnings: Vec::new(), unspoken: 0 };
    let checked = look.letter(letter);
    if look.unspoken > 0 {
        let detail = format!("and {} more mistakes", look.unspoken);
        look.mistakes.push(Mistake { pointer: String::new(), detail });
    }
    match checked {
        Some(checked) if look.mistakes.is_empty() => {
            Ok(Checked { warnings: look.warnings, ..checked })
        }
        _ => Err(look.mistakes),
    }
}

struct Look {
    limits: Limits,
    now: Timestamp,
    mistakes: Vec<Mistake>,
    warnings: Vec<String>,
    /// Mistakes beyond those that are told.
    unspoken: usize,
}

impl Look {
    fn letter(&mut self, letter: &Letter) -> Option<Checked> {
        let from = self.party("/from", &letter.from);
        let personal = letter.to.iter().any(|to| to.substitutions().is_some());
        let (to, duplicates) = self.recipients(letter, personal);
        self.tags(&letter.tags);
        let priority = letter.priority.unwrap_or_default();
        if !(-9..=9).contains(&priority) {
            self.wrong("/priority", "it is a number from -9 to 9");
        }
        let send_at = letter.send_at.as_deref().and_then(|text| self.send_at(text));
        let content = match &letter.raw {
            Some(raw) => Some(self.raw(letter, raw, personal)),
            None => self.parts(letter, from.as_ref(), personal, send_at),
        };
        self.braces(letter, personal);
        let mut undefined = Vec::new();
        if let Some(Content::Parts(parts)) = content.as_ref().filter(|_| personal) {
            undefined = self.undefined(parts, &to);
            self.try_first(parts, &to);
        }
        Some(Checked {
            from: from?.address,
            to,
            content: content?,
            personal,
            tags: letter.tags.clone(),
            pool: letter.pool.clone(),
            priority: Priority::new(priority),
            send_at,
            undefined,
            duplicates,
            warnings: Vec::new(),
        })
    }

    fn party(&mut self, pointer: &str, party: &Party) -> Option<Mailbox> {
        let (address, name) = party.split();
        self.mailbox(pointer, address, name, matches!(party, Party::Apart(_)))
    }

    fn mailbox(
        &mut self,
        pointer: &str,
        address: &str,
        name: Option<&str>,
        apart: bool,
    ) -> Option<Mailbox> {
        let place = |field: &str| {
            if apart { format!("{pointer}/{field}") } else { pointer.to_owned() }
        };
        if name.is_some_and(|name| name.len() > NAME_MAX || name.chars().any(char::is_control)) {
            let detail = format!("a name has at most {NAME_MAX} octets and no control characters");
            self.wrong(place("name"), detail);
        }
        match Address::parse(address) {
            Ok(address) => Some(Mailbox { address, name: name.map(ToOwned::to_owned) }),
            Err(error) => {
                self.wrong(place("address"), error.to_string());
                None
            }
        }
    }

    /// Each recipient once, and how many stood there again.
    fn recipients(&mut self, letter: &Letter, personal: bool) -> (Vec<Addressee>, usize) {
        let all = letter.to.len() + letter.cc.len();
        if letter.to.is_empty() {
            self.wrong("/to", "nobody gets it: there must be one recipient at least");
        }
        if all > self.limits.recipients_max {
            limit_hit("recipients_per_request");
            let most = self.limits.recipients_max;
            self.wrong("/to", format!("{all} recipients: one request takes {most}"));
            return (Vec::new(), 0);
        }
        if personal && !letter.cc.is_empty() {
            self.wrong("/cc", "with substitutions each recipient gets a message of its own: write all of them in `to`");
        }
        let (mut found, mut seen) = (Vec::with_capacity(all), HashSet::with_capacity(all));
        for (place, to) in letter.to.iter().enumerate() {
            let pointer = format!("/to/{place}");
            let (address, name) = to.split();
            let mailbox = self.mailbox(&pointer, address, name, matches!(to, To::Known(_)));
            let substitutions = self.substitutions(&pointer, to);
            if let Some(mailbox) = mailbox.filter(|it| seen.insert(it.address.clone())) {
                let personal = Personal { name: mailbox.name, substitutions };
                found.push(Addressee { address: mailbox.address, personal });
            }
        }
        for (place, cc) in letter.cc.iter().enumerate() {
            let mailbox = self.party(&format!("/cc/{place}"), cc);
            if let Some(mailbox) = mailbox.filter(|it| seen.insert(it.address.clone())) {
                let personal = Personal { name: mailbox.name, ..Personal::default() };
                found.push(Addressee { address: mailbox.address, personal });
            }
        }
        let duplicates = all - found.len();
        (found, duplicates)
    }

    fn substitutions(&mut self, pointer: &str, to: &To) -> String {
        let Some(given) = to.substitutions() else { return "{}".to_owned() };
        let text = serde_json::to_string(given).unwrap_or_default();
        if text.len() > SUBSTITUTIONS_MAX {
            limit_hit("substitutions");
            self.wrong(
                format!("{pointer}/substitutions"),
                format!("they have {} octets: at most {SUBSTITUTIONS_MAX}", text.len()),
            );
        }
        if given.values().any(|value| depth(value) > NESTING_MAX) {
            let detail = format!("they nest deeper than {NESTING_MAX}");
            self.wrong(format!("{pointer}/substitutions"), detail);
        }
        text
    }

    fn tags(&mut self, tags: &[String]) {
        if tags.len() > TAGS_MAX {
            self.wrong("/tags", format!("{} tags: at most {TAGS_MAX}", tags.len()));
        }
        for (place, tag) in tags.iter().enumerate().take(TAGS_MAX) {
            let fits = (1..=TAG_OCTETS_MAX).contains(&tag.len())
                && tag.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
            if !fits {
                let detail = format!("a tag has 1 to {TAG_OCTETS_MAX} of A-Z a-z 0-9 . _ -");
                self.wrong(format!("/tags/{place}"), detail);
            }
        }
    }

    /// `None`: at once.
    fn send_at(&mut self, text: &str) -> Option<Timestamp> {
        let Some(time) = Timestamp::parse_rfc3339(text) else {
            self.wrong("/send_at", "it is a time as in 2026-11-24T13:05:00-05:00 (RFC 3339)");
            return None;
        };
        if time > self.now.after(SEND_AT_MAX) {
            self.wrong("/send_at", "it is more than a year away: is the year right?");
        }
        let second = Timestamp::from_millis(time.as_millis() / 1000 * 1000);
        (second > self.now).then_some(second)
    }

    fn raw(&mut self, letter: &Letter, raw: &str, personal: bool) -> Content {
        let given = [
            ("/subject", letter.subject.is_some()),
            ("/text", letter.text.is_some()),
            ("/html", letter.html.is_some()),
            ("/reply_to", letter.reply_to.is_some()),
            ("/headers", !letter.headers.is_empty()),
            ("/attachments", !letter.attachments.is_empty()),
        ];
        for (pointer, _) in given.into_iter().filter(|(_, given)| *given) {
            self.wrong(pointer, "`raw` is the whole message: it takes no other parts");
        }
        if personal {
            self.wrong("/to", "substitutions need parts: `raw` is sent as it is");
        }
        let mut receiver = DataReceiver::new(true, LINE_MAX, self.limits.message_max);
        receiver.receive_chunk(raw.as_bytes(), true);
        let max = self.limits.message_max;
        match receiver.flaw() {
            None => {}
            Some(Flaw::TooBig) => {
                limit_hit("message_size");
                self.wrong("/raw", format!("the message is larger than {max} octets"));
            }
            Some(Flaw::LongLine) => self.wrong("/raw", format!("a line is longer than {LINE_MAX} octets: encode it as quoted-printable or base64")),
            Some(Flaw::Nul) => self.wrong("/raw", "an octet is 0: encode it as base64"),
            Some(Flaw::BareNewline) => self.wrong("/raw", "a CR stands alone: lines end in CRLF"),
        }
        let (leading_dots, eight_bit) = (receiver.leading_dots(), receiver.eight_bit());
        Content::Raw { octets: receiver.take_body(), leading_dots, eight_bit }
    }

    fn parts(
        &mut self,
        letter: &Letter,
        from: Option<&Mailbox>,
        personal: bool,
        send_at: Option<Timestamp>,
    ) -> Option<Content> {
        if letter.text.is_none() && letter.html.is_none() {
            self.wrong("", "there is nothing to read: give `text`, `html` or both, or `raw`");
        }
        if letter.subject.as_ref().is_some_and(|it| it.chars().any(char::is_control)) {
            self.wrong("/subject", "it is one line, without control characters");
        }
        if letter.subject.as_ref().is_some_and(|subject| subject.len() > SUBJECT_MAX) {
            self.wrong("/subject", format!("it is longer than {SUBJECT_MAX} octets"));
        }
        let reply_to = letter.reply_to.as_ref().map(|it| self.party("/reply_to", it));
        let files = self.files(letter);
        if letter.headers.len() > HEADERS_MAX {
            self.wrong("/headers", format!("at most {HEADERS_MAX} headers"));
        }
        for (name, value) in letter.headers.iter().take(HEADERS_MAX) {
            if let Some(wrong) = fields::header(name, value) {
                self.wrong(format!("/headers/{}", escaped(name)), wrong);
            }
        }
        let seen = |parties: Vec<Option<Mailbox>>| parties.into_iter().flatten().collect();
        let quiet = |party: (&str, Option<&str>)| {
            let name = party.1.map(ToOwned::to_owned);
            Address::parse(party.0).ok().map(|address| Mailbox { address, name })
        };
        let to = if personal {
            Vec::new()
        } else {
            letter.to.iter().map(|it| quiet(it.split())).collect()
        };
        let cc = letter.cc.iter().map(|it| quiet(it.split())).collect();
        let size =
            octets(letter) + files.iter().map(|it| it.content.len() as u64 * 4 / 3).sum::<u64>();
        if size > self.limits.message_max {
            limit_hit("message_size");
            let max = self.limits.message_max;
            self.wrong("", format!("the message is larger than {max} octets"));
        }
        Some(Content::Parts(Box::new(Parts {
            from: from?.clone(),
            to: seen(to),
            cc: seen(cc),
            reply_to: reply_to.flatten(),
            date: send_at.unwrap_or(self.now),
            subject: letter.subject.clone(),
            text: letter.text.clone(),
            html: letter.html.clone(),
            headers: letter.headers.clone().into_iter().collect(),
            files,
        })))
    }

    fn files(&mut self, letter: &Letter) -> Vec<super::File> {
        if letter.attachments.len() > ATTACHMENTS_MAX {
            self.wrong("/attachments", format!("at most {ATTACHMENTS_MAX} files"));
            return Vec::new();
        }
        let mut files = Vec::new();
        for (place, attachment) in letter.attachments.iter().enumerate() {
            match fields::file(attachment) {
                Ok(file) => files.push(file),
                Err((field, wrong)) => self.wrong(format!("/attachments/{place}/{field}"), wrong),
            }
        }
        files
    }

    /// Variables of templates that somebody has no value for; and templates that cannot be read.
    fn undefined(&mut self, parts: &Parts, to: &[Addressee]) -> Vec<Undefined> {
        let mut wanted = BTreeSet::new();
        let mut look = |me: &mut Self, pointer: String, source: &str, into: Target| {
            match templates::variables(source, into) {
                Ok(variables) => wanted.extend(variables),
                Err(why) => me.wrong(pointer, why),
            }
        };
        let shown = [
            ("/subject", &parts.subject, Target::Field),
            ("/text", &parts.text, Target::Text),
            ("/html", &parts.html, Target::Html),
        ];
        for (pointer, source, into) in shown {
            if let Some(source) = source {
                look(self, pointer.to_owned(), source, into);
            }
        }
        for (name, source) in &parts.headers {
            look(self, format!("/headers/{}", escaped(name)), source, Target::Field);
        }
        let mut found: BTreeMap<String, Undefined> = BTreeMap::new();
        for Addressee { address, personal } in to {
            let given: Map<String, Value> =
                serde_json::from_str(&personal.substitutions).unwrap_or_default();
            let known = templates::always_known(personal.name.is_some());
            let missing = |it: &&String| !given.contains_key(*it) && !known.contains(*it);
            for variable in wanted.iter().filter(missing) {
                let entry = found.entry(variable.clone()).or_insert_with(|| Undefined {
                    variable: variable.clone(),
                    recipients: 0,
                    first: address.to_string(),
                });
                entry.recipients += 1;
            }
        }
        found.into_values().collect()
    }

    /// The first message is made, and thrown away: what cannot be made of it will not be made of the others.
    fn try_first(&mut self, parts: &Parts, to: &[Addressee]) {
        let Some(first) = to.first().filter(|_| self.mistakes.is_empty()) else { return };
        let max = self.limits.message_max;
        match parts.rendered(&first.address, &first.personal, max) {
            Ok(rendered) if rendered.write(Id::ZERO).len() as u64 > max => {
                limit_hit("message_size");
                self.wrong("", format!("the message is larger than {max} octets"));
            }
            Ok(_) => {}
            Err(why) => self.wrong("", format!("for {}: {why}", first.address)),
        }
    }

    /// `{{ name }}` that nobody fills in is a mistake that everybody sees.
    fn braces(&mut self, letter: &Letter, personal: bool) {
        let parts = [&letter.subject, &letter.text, &letter.html];
        let has = parts.iter().filter_map(|it| it.as_ref()).any(|it| it.contains("{{"));
        if has && !personal {
            let warning = "there is `{{` and nobody has substitutions: it is sent as it stands; give \
                           `substitutions`, even `{}`, to have it filled in";
            self.warnings.push(warning.to_owned());
        }
    }

    fn wrong(&mut self, pointer: impl Into<String>, detail: impl Into<String>) {
        if self.mistakes.len() < MISTAKES_MAX {
            self.mistakes.push(Mistake { pointer: pointer.into(), detail: detail.into() });
        } else {
            self.unspoken += 1;
        }
    }
}

/// Octets of what people read, before it is encoded.
fn octets(letter: &Letter) -> u64 {
    let text = [&letter.subject, &letter.text, &letter.html];
    let headers: usize = letter.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    let text: usize = text.iter().filter_map(|it| it.as_ref()).map(String::len).sum();
    (text + headers) as u64
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(items) => 1 + items.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// A name within a pointer (RFC 6901 section 3).
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_795_525_500_123);

    fn look(letter: Value) -> Result<Checked, Vec<Mistake>> {
        let limits = Limits { recipients_max: 10, message_max: 100_000 };
        check(&serde_json::from_value(letter).unwrap(), limits, NOW)
    }

    fn pointers(letter: Value) -> Vec<String> {
        look(letter).unwrap_err().into_iter().map(|mistake| mistake.pointer).collect()
    }

    #[test]
    fn all_mistakes_are_told_at_once_with_their_places() {
        let found = pointers(json!({
            "from": "ana", "to": ["b@x.pe", {"address": "c"}, "d@", {"address": "e@x.pe", "name": "a\nb"}],
            "cc": ["f"], "reply_to": {"address": "g"}, "subject": "a\r\nBcc: x@y.pe",
            "headers": {"To": "x@y.pe", "X/~": "a\nb"}, "priority": 10, "tags": ["a", "b c"],
            "attachments": [{"name": "a", "content": "%"}], "send_at": "mañana",
        }));
        let expected = [
            "/from",
            "/to/1/address",
            "/to/2",
            "/to/3/name",
            "/cc/0",
            "/tags/1",
            "/priority",
            "/send_at",
            "",
            "/subject",
            "/reply_to/address",
            "/attachments/0/content",
            "/headers/To",
            "/headers/X~1~0",
        ];
        assert_eq!(found, expected);
        let many: Vec<String> = (0..10).map(|_| "x".to_owned()).collect();
        assert_eq!(pointers(json!({"from": "a@x.pe", "to": many, "text": ""})).len(), 10);
        let crowd: Vec<String> = (0..11).map(|n| format!("{n}@x.pe")).collect();
        assert_eq!(pointers(json!({"from": "a@x.pe", "to": crowd, "text": ""})), ["/to"]);
        assert_eq!(pointers(json!({"from": "a@x.pe", "to": [], "text": ""})), ["/to"]);
        let large = "x".repeat(100_001);
        assert_eq!(pointers(json!({"from": "a@x.pe", "to": ["a@x.pe"], "text": large})), [""]);
    }

    #[test]
    fn a_plain_message_is_one_for_all() {
        let checked = look(json!({
            "from": "Ana <ana@x.pe>", "to": ["b@x.pe", "B <b@x.pe>", "c@y.pe"], "cc": ["d@y.pe"],
            "subject": "{{ hola }}", "text": "x", "send_at": "2026-11-24T13:05:01.999Z", "priority": -3,
        }));
        let checked = checked.unwrap();
        let to: Vec<String> = checked.to.iter().map(|it| it.address.to_string()).collect();
        assert_eq!((to.join(" "), checked.duplicates), ("b@x.pe c@y.pe d@y.pe".to_owned(), 1));
        assert_eq!(checked.send_at, Some(Timestamp::from_millis(1_795_525_501_000)));
        assert!(!checked.personal && checked.undefined.is_empty());
        assert!(checked.warnings[0].contains("sent as it stands"));
        let Content::Parts(parts) = checked.content else { panic!("{:?}", checked.content) };
        assert_eq!((parts.to.len(), parts.cc.len(), parts.date), (3, 1, checked.send_at.unwrap()));
        let soon = |text: &str| {
            let letter = json!({"from": "a@x.pe", "to": ["a@x.pe"], "text": "", "send_at": text});
            look(letter).map(|checked| checked.send_at.is_some())
        };
        assert_eq!(soon("2026-11-24T13:05:00.500Z"), Ok(false), "this second is now");
        assert_eq!(soon("1999-01-01T00:00:00Z"), Ok(false));
        assert!(soon("2126-11-24T13:05:00Z").is_err());
    }

    #[test]
    fn each_gets_its_own_and_what_is_missing_is_told() {
        let checked = look(json!({
            "from": "a@x.pe", "subject": "{{ name }}: {{ nota }}", "html": "{{ curso }}",
            "headers": {"List-Unsubscribe": "<https://x.pe/{{ clave }}>"},
            "to": [
                {"address": "b@x.pe", "name": "Be", "substitutions": {"nota": 17, "curso": "Arte", "clave": "k"}},
                {"address": "c@x.pe", "substitutions": {"nota": 12}}, "d@x.pe",
            ],
        }));
        let checked = checked.unwrap();
        let told: Vec<(&str, usize, &str)> =
            checked.undefined.iter().map(|it| (&*it.variable, it.recipients, &*it.first)).collect();
        let expected = [
            ("clave", 2, "c@x.pe"),
            ("curso", 2, "c@x.pe"),
            ("name", 2, "c@x.pe"),
            ("nota", 1, "d@x.pe"),
        ];
        assert_eq!(told, expected);
        let Content::Parts(parts) = checked.content else { panic!("{:?}", checked.content) };
        let first = &checked.to[0];
        let made = parts.rendered(&first.address, &first.personal, 1_000).unwrap();
        assert_eq!(made.subject.as_deref(), Some("Be: 17"));
        assert_eq!(made.headers[0].1, "<https://x.pe/k>");
        assert_eq!(made.to[0].name.as_deref(), Some("Be"));
        let to = json!([{"address": "b@x.pe", "substitutions": {}}]);
        assert_eq!(
            pointers(
                json!({"from": "a@x.pe", "to": to, "subject": "{{ a", "text": "{{ 'a' * 9 }}"})
            ),
            ["/subject", "/text"]
        );
        assert_eq!(
            pointers(json!({"from": "a@x.pe", "to": to, "cc": ["c@x.pe"], "text": ""})),
            ["/cc"]
        );
        let deep = json!([{"address": "b@x.pe", "substitutions": {"a": [[[[[[[[[1]]]]]]]]]}}]);
        assert_eq!(
            pointers(json!({"from": "a@x.pe", "to": deep, "text": ""})),
            ["/to/0/substitutions"]
        );
        let large = json!([{"address": "b@x.pe", "substitutions": {"a": "x".repeat(20_000)}}]);
        assert_eq!(
            pointers(json!({"from": "a@x.pe", "to": large, "text": ""})),
            ["/to/0/substitutions"]
        );
    }

    #[test]
    fn a_raw_message_goes_as_it_is() {
        let raw = "From: a@x.pe\nSubject: x\n\n.año";
        let checked = look(json!({"from": "a@x.pe", "to": ["b@x.pe"], "raw": raw})).unwrap();
        let Content::Raw { octets, leading_dots, eight_bit } = checked.content else { panic!() };
        assert_eq!(octets, "From: a@x.pe\r\nSubject: x\r\n\r\n.año\r\n".as_bytes());
        assert!(leading_dots && eight_bit);
        let all =
            json!({"from": "a@x.pe", "to": ["b@x.pe"], "raw": "x\0", "text": "y", "subject": "z"});
        assert_eq!(pointers(all), ["/subject", "/text", "/raw"]);
        let line = "x".repeat(999);
        assert_eq!(pointers(json!({"from": "a@x.pe", "to": ["b@x.pe"], "raw": line})), ["/raw"]);
    }
}
