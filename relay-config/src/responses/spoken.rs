//! A reply as a person has it: pasted from a log or a notice, on one line or several.

use super::classifier::Said;
use super::words::Phase;

/// Octets of text that are looked at; the relay keeps no more of a reply either.
const TEXT_OCTETS_MAX: usize = 1024;

/// A reply taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spoken {
    /// 400 to 599.
    pub code: u16,
    /// Class, subject and detail.
    pub enhanced: Option<(u8, u16, u16)>,
    /// The rest, its lines joined.
    pub text: String,
}

impl Spoken {
    /// Takes apart `550 5.1.1 …`, also with the codes of continued lines in between
    /// (`550-5.1.1 … 550 5.1.1 …`), or after `smtp;` as in a notice (RFC 3464 section 2.3.6).
    pub fn parse(written: &str) -> Result<Self, String> {
        let written = written.trim();
        let written = match written.split_at_checked(5) {
            Some((kind, rest)) if kind.eq_ignore_ascii_case("smtp;") => rest.trim_start(),
            _ => written,
        };
        let (code, rest) = written.split_at_checked(3).ok_or("a reply begins with its code")?;
        let ends = rest.chars().next().is_none_or(|c| !c.is_alphanumeric());
        let code: u16 = code
            .parse()
            .ok()
            .filter(|code| ends && (200..600).contains(code))
            .ok_or("a reply begins with its code, as in \"550 5.1.1 No such user\"")?;
        if code < 400 {
            return Err(format!("{code} is no refusal: there is nothing to classify"));
        }
        let (enhanced, text) = joined(code, rest);
        Ok(Self { code, enhanced, text })
    }

    /// What a classifier takes.
    pub fn said<'a>(&'a self, phase: Option<Phase>, provider: Option<&'a str>) -> Said<'a> {
        Said { code: self.code, enhanced: self.enhanced, text: &self.text, phase, provider }
    }
}

/// The enhanced code, and the words without the codes that begin further lines: on lines of their
/// own, or in the middle where the lines were joined.
fn joined(code: u16, rest: &str) -> (Option<(u8, u16, u16)>, String) {
    let prefix = format!("{code}-");
    let further = |line: &str| -> Option<String> {
        let after = line.trim_start().strip_prefix(&prefix[..3])?;
        let after = after.strip_prefix([' ', '-'])?;
        Some(format!("{prefix}{after}"))
    };
    let mut lines = rest.lines();
    let mut rest = lines.next().unwrap_or("").trim_start_matches([' ', '-', ';', ':']).to_owned();
    for line in lines {
        rest.push(' ');
        rest.push_str(&further(line).unwrap_or_else(|| line.to_owned()));
    }
    let mut words = rest.split_whitespace().peekable();
    let mut enhanced = None;
    let mut text = String::new();
    let mut begins_line = true;
    while let Some(word) = words.next() {
        let begins = begins_line || word.starts_with(&prefix);
        begins_line = false;
        let word = word.strip_prefix(&prefix).unwrap_or(word);
        let found = triple(word, code);
        if begins && found.is_some() && (enhanced.is_none() || enhanced == found) {
            enhanced = found;
            continue;
        }
        // The last line has a space after its code.
        let next = words.peek().and_then(|next| triple(next, code));
        if enhanced.is_some() && next == enhanced && word.parse() == Ok(code) {
            words.next();
            continue;
        }
        if text.len() + word.len() >= TEXT_OCTETS_MAX {
            break;
        }
        if !text.is_empty() && !word.is_empty() {
            text.push(' ');
        }
        text.push_str(word);
    }
    (enhanced, text)
}

/// `5.1.1`, of the same class as the code.
fn triple(word: &str, code: u16) -> Option<(u8, u16, u16)> {
    let mut parts = word.split('.');
    let mut number = |digits: usize| -> Option<u16> {
        let part = parts.next()?;
        let fits = (1..=digits).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        fits.then(|| part.parse().ok()).flatten()
    };
    let (class, subject, detail) = (number(1)?, number(3)?, number(3)?);
    let whole = parts.next().is_none() && class == code / 100;
    whole.then_some((u8::try_from(class).ok()?, subject, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_as_people_have_them() {
        let check = |written: &str, expected: &str| {
            let told = match Spoken::parse(written) {
                Ok(spoken) => spoken.said(None, None).normalised(),
                Err(why) => why,
            };
            assert_eq!(told, expected, "{written}");
        };
        check("550 5.1.1 no such user", "550 5.1.1 no such user");
        check("550-5.7.26 one 550-5.7.26 two 550 5.7.26 three", "550 5.7.26 one two three");
        check("550-5.1.1 one\r\n550 5.1.1 two", "550 5.1.1 one two");
        check("550-one\n550-two\n550 three", "550 one two three");
        check("550-one\n550 \n550 two 550 things", "550 one two 550 things");
        check("550; 5.7.515 Access denied", "550 5.7.515 Access denied");
        check("smtp; 550 5.1.1 no", "550 5.1.1 no");
        check("421 5.7.32 other class", "421 5.7.32 other class");
        check("554", "554");
        check("521 521 DNSBL", "521 521 DNSBL");
        check("250 ok", "250 is no refusal: there is nothing to classify");
        let wanted = "a reply begins with its code, as in \"550 5.1.1 No such user\"";
        check("no such user", wanted);
        check("5501 no", wanted);
        check("ñ", "a reply begins with its code");
        assert!(Spoken::parse(&format!("550 {}", "x ".repeat(9000))).unwrap().text.len() <= 1024);
    }
}
