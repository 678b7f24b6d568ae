//! Templates (Jinja, by the crate minijinja): what they may say, and how the message of one recipient is made.
//!
//! A template is written by whoever may send, not by a friend: it must not cost the relay its memory or its time.
//! So there is no way to make long text out of short (no `*`, `~`, `+`, no `set`, no macros, no includes, filters
//! that shorten or keep length), instructions are counted, and what is written is bounded. A variable that nobody
//! gave renders empty, and so does what hangs on it.

use std::collections::BTreeSet;
use std::io::{self, Write};

use minijinja::value::{Serde, Value};
use minijinja::{
    AutoEscape, Environment, ErrorKind, UndefinedBehavior, escape_formatter, filters, tests,
};
use serde_json::Map;

use crate::message::{Address, Personal};

use super::parts::{Mailbox, Parts};

/// Instructions of one template for one recipient: a table of a thousand rows takes a tenth of it.
const FUEL: u64 = 100_000;
/// Octets without a blank in a rendered header field: a line has room for 998 (RFC 5322 section 2.1.1).
const WORD_MAX: usize = 900;
/// Octets of a rendered header field.
const FIELD_MAX: u64 = 8 * 1024;
/// What statements may be.
const STATEMENTS: [&str; 6] = ["if", "elif", "else", "endif", "for", "endfor"];

/// Why a message cannot be made of its template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unrendered(pub String);

/// Where values are put into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// A header field: one line.
    Field,
    /// Plain text.
    Text,
    /// HTML: values are escaped.
    Html,
}

impl Parts {
    /// The parts of one recipient's message, of at most so many octets each.
    pub fn rendered(
        &self,
        to: &Address,
        personal: &Personal,
        octets_max: u64,
    ) -> Result<Self, Unrendered> {
        let known: Map<String, serde_json::Value> = serde_json::from_str(&personal.substitutions)
            .map_err(|error| {
            Unrendered(format!("the substitutions cannot be read: {error}"))
        })?;
        let values = values(known, to, personal.name.as_deref());
        let make = |what: &str, source: &str, target: Target, octets_max: u64| {
            render(source, target, &values, octets_max)
                .map_err(|why| Unrendered(format!("{what} cannot be made of its template: {why}")))
        };
        let part = |what: &str, source: &Option<String>, target: Target, most: u64| {
            source.as_ref().map(|source| make(what, source, target, most)).transpose()
        };
        let mut headers = Vec::with_capacity(self.headers.len());
        for (name, source) in &self.headers {
            headers.push((name.clone(), make(name, source, Target::Field, FIELD_MAX)?));
        }
        Ok(Self {
            to: vec![Mailbox { address: to.clone(), name: personal.name.clone() }],
            subject: part("the subject", &self.subject, Target::Field, FIELD_MAX)?,
            text: part("the text", &self.text, Target::Text, octets_max)?,
            html: part("the html", &self.html, Target::Html, octets_max)?,
            headers,
            ..self.clone()
        })
    }
}

/// What a template asks for, or what it may not say.
pub(super) fn variables(source: &str, target: Target) -> Result<BTreeSet<String>, String> {
    allowed(source)?;
    let environment = environment(target);
    let template = environment.template_from_str(source).map_err(|error| words(&error))?;
    Ok(template.undeclared_variables(false).into_iter().collect())
}

/// What is known of each recipient, whatever its substitutions.
pub(super) fn always_known(has_name: bool) -> BTreeSet<String> {
    let name = has_name.then_some("name");
    std::iter::once("address").chain(name).map(ToOwned::to_owned).collect()
}

fn values(mut known: Map<String, serde_json::Value>, to: &Address, name: Option<&str>) -> Value {
    known.entry("address").or_insert_with(|| to.to_string().into());
    if let Some(name) = name {
        known.entry("name").or_insert_with(|| name.into());
    }
    Value::from(Serde(known))
}

fn render(source: &str, target: Target, values: &Value, octets_max: u64) -> Result<String, String> {
    if !source.contains("{{") && !source.contains("{%") && !source.contains("{#") {
        return Ok(source.to_owned());
    }
    allowed(source)?;
    let environment = environment(target);
    let template = environment.template_from_str(source).map_err(|error| words(&error))?;
    let mut written = Bounded { octets: Vec::new(), max: octets_max };
    template.render_captured_to(values.clone(), &mut written).map_err(|error| words(&error))?;
    let text = String::from_utf8(written.octets).map_err(|error| error.to_string())?;
    if target != Target::Field {
        return Ok(text);
    }
    // No value ends the field and begins another.
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.split(' ').any(|word| word.len() > WORD_MAX) {
        return Err(format!("a word of more than {WORD_MAX} octets does not fit into a header"));
    }
    Ok(line)
}

fn environment<'a>(target: Target) -> Environment<'a> {
    let mut it = Environment::empty();
    it.set_undefined_behavior(UndefinedBehavior::Chainable);
    it.set_fuel(Some(FUEL));
    it.set_auto_escape_callback(move |_| match target {
        Target::Html => AutoEscape::Html,
        Target::Field | Target::Text => AutoEscape::None,
    });
    it.set_formatter(|out, state, value| {
        escape_formatter(out, state, if value.is_none() { &Value::UNDEFINED } else { value })
    });
    it.add_filter("default", filters::default);
    it.add_filter("upper", filters::upper);
    it.add_filter("lower", filters::lower);
    it.add_filter("title", filters::title);
    it.add_filter("capitalize", filters::capitalize);
    it.add_filter("trim", filters::trim);
    it.add_filter("length", filters::length);
    it.add_filter("first", filters::first);
    it.add_filter("last", filters::last);
    it.add_filter("escape", filters::escape);
    it.add_filter("safe", filters::safe);
    it.add_filter("int", filters::int);
    it.add_filter("round", filters::round);
    it.add_filter("urlencode", filters::urlencode);
    it.add_test("defined", tests::is_defined);
    it.add_test("undefined", tests::is_undefined);
    it.add_test("none", tests::is_none);
    it
}

/// What went wrong, without the name of a template that has none.
fn words(error: &minijinja::Error) -> String {
    let written =
        std::error::Error::source(error).filter(|_| error.kind() == ErrorKind::WriteFailure);
    let what = match written {
        Some(bound) => bound.to_string(),
        None => error.detail().map_or_else(|| error.kind().to_string(), ToOwned::to_owned),
    };
    match error.line() {
        Some(line) => format!("line {line}: {what}"),
        None => what,
    }
}

/// Whether a template keeps to what it may say.
fn allowed(source: &str) -> Result<(), String> {
    let mut rest = source;
    loop {
        let Some(start) = rest.find('{') else { return Ok(()) };
        rest = &rest[start + 1..];
        let (end, statement) = match rest.as_bytes().first() {
            Some(b'{') => ("}}", false),
            Some(b'%') => ("%}", true),
            Some(b'#') => {
                rest = rest.split_once("#}").map_or("", |(_, after)| after);
                continue;
            }
            _ => continue,
        };
        let (inside, after) = code(&rest[1..], end)?;
        let inside = inside.trim_start_matches(['-', '+']).trim_end_matches(['-', '+']);
        if let Some(sign) = inside.chars().find(|sign| "*~+{}".contains(*sign)) {
            return Err(format!("templates have no `{sign}`: write values one after the other"));
        }
        let word = inside.split_whitespace().next().unwrap_or("");
        if statement && !STATEMENTS.contains(&word) {
            return Err(format!("templates know {}, and no `{word}`", STATEMENTS.join(", ")));
        }
        rest = after;
    }
}

/// The code up to its end, without what stands in quotes; and what follows.
fn code<'a>(text: &'a str, end: &str) -> Result<(String, &'a str), String> {
    let (mut inside, mut quote, mut escaped) = (String::new(), None, false);
    for (place, sign) in text.char_indices() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if sign == '\\' => escaped = true,
            Some(open) if sign == open => quote = None,
            Some(_) => {}
            None if text[place..].starts_with(end) => return Ok((inside, &text[place + 2..])),
            None if sign == '"' || sign == '\'' => quote = Some(sign),
            None => inside.push(sign),
        }
    }
    Err(format!("what a template says ends with `{end}`, and this does not end"))
}

/// So much is written and no more.
struct Bounded {
    octets: Vec<u8>,
    max: u64,
}

impl Write for Bounded {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        if (self.octets.len() + octets.len()) as u64 > self.max {
            let why = format!("it would be larger than {} octets", self.max);
            return Err(io::Error::other(why));
        }
        self.octets.extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod should {
    use super::*;

    fn made(source: &str, target: Target, known: &str) -> Result<String, String> {
        let known = serde_json::from_str(known).unwrap();
        let to = Address::parse("ana@x.pe").unwrap();
        render(source, target, &values(known, &to, Some("Ana")), 1_000)
    }

    #[test]
    fn values_stand_where_they_are_asked_for() {
        let check = |source: &str, known: &str, expected: &str| {
            assert_eq!(made(source, Target::Text, known).as_deref(), Ok(expected), "{source}");
        };
        check("Hola {{ name }} <{{address}}>", "{}", "Hola Ana <ana@x.pe>");
        check("{{ name|upper }}, {{ nada }}{{ nada.mas.aun }}.", "{}", "ANA, .");
        check("{{ nada|default('x') }}{{ vacio }}", r#"{"vacio":null}"#, "x");
        check(
            "{% for n in notas %}{{ n.curso }}: {{ n.nota }}; {% endfor %}",
            r#"{"notas":[{"curso":"Arte","nota":17},{"curso":"Mate","nota":20}]}"#,
            "Arte: 17; Mate: 20; ",
        );
        check("{% if dni is defined %}sí{% else %}no{% endif %}{# nada #}", "{}", "no");
        check("{{ '}}' }} {{ \"*~+\" }}", "{}", "}} *~+");
        check("{ { % x", "{}", "{ { % x");
        check("{{ name }}", r#"{"name":"Otra"}"#, "Otra");
        let html = made("<b>{{ x }}</b>", Target::Html, r#"{"x":"<script>&"}"#).unwrap();
        assert_eq!(html, "<b>&lt;script&gt;&amp;</b>");
        let field =
            made("Para {{ x }}", Target::Field, r#"{"x":"a\r\nBcc: b@y.pe\u0000"}"#).unwrap();
        assert_eq!(field, "Para a  Bcc: b@y.pe ");
    }

    #[test]
    fn a_template_costs_neither_memory_nor_time() {
        let check = |source: &str, known: &str, expected: &str| {
            let why = made(source, Target::Text, known).unwrap_err();
            assert!(why.contains(expected), "{source}: {why}");
        };
        check("{{ 'a' * 1000000000 }}", "{}", "no `*`");
        check("{{ [1]*9 }}", "{}", "no `*`");
        check("{{- name ~ name -}}", "{}", "no `~`");
        check("{{ 1 + 1 }}", "{}", "no `+`");
        check("{{ {'a': 1} }}", "{}", "no `{`");
        check("{% set x = 1 %}", "{}", "no `set`");
        check("{%- macro x() %}{% endmacro %}", "{}", "no `macro`");
        check("{% include 'x' %}", "{}", "no `include`");
        check("{% raw %}", "{}", "no `raw`");
        check("{{ name", "{}", "does not end");
        check("{{ 'a }}", "{}", "does not end");
        check(
            "{% for a in l %}{% for b in l %}{% for c in l %}{% for d in l %}{% endfor %}{% endfor %}{% endfor %}{% endfor %}",
            &format!(r#"{{"l":[{}1]}}"#, "1,".repeat(100)),
            "fuel",
        );
        check(
            "{% for a in l %}0123456789{% endfor %}",
            &format!(r#"{{"l":[{}1]}}"#, "1,".repeat(200)),
            "larger than 1000",
        );
        check("{{ name|nada }}", "{}", "nada");
        let long = format!(r#"{{"x":"{}"}}"#, "a".repeat(950));
        assert!(made("{{ x }}", Target::Field, &long).unwrap_err().contains("does not fit"));
    }

    #[test]
    fn what_a_template_asks_for_is_known_before() {
        let asked = variables(
            "{{ a.b }} {% for c in d %}{{ c }}{{ e|default('') }}{% endfor %}",
            Target::Text,
        );
        let asked: Vec<String> = asked.unwrap().into_iter().collect();
        assert_eq!(asked, ["a", "d", "e"]);
        assert!(variables("{{ a", Target::Text).is_err());
        assert!(variables("{% if a %}", Target::Text).unwrap_err().contains("line 1"));
    }
}
