//! Dialogs as text: what a client sends and what the relay must answer.
//!
//! `@ toml line` goes into the listener of the test, `@from address` is where the client comes from,
//! `@early` lets it speak before it is greeted, `@whole` says that the script is about what arrives
//! together. `C: text` is sent with CRLF, `c: text` as it
//! is with `\r`, `\n`, `\0`, `\t`, `\xHH` and `{word*count}` understood; `S: pattern` is a line that must come, with `*` for
//! anything; `R: code` is a whole reply of that code, whatever its lines say; `TLS` does the handshake;
//! `END` says that the relay closes. `#` starts a comment.

/// A script.
#[derive(Debug, Clone, Default)]
pub struct Dialog {
    /// Its name.
    pub name: String,
    /// Lines for `[[listener]]`.
    pub listener: Vec<String>,
    /// The client's address.
    pub from: Option<String>,
    /// The client speaks first.
    pub early: bool,
    /// What the client sends must not arrive in pieces.
    pub whole: bool,
    /// What is said.
    pub turns: Vec<(usize, Turn)>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// The client sends these octets.
    Client(Vec<u8>),
    /// The relay says a line like this.
    Server(String),
    /// The relay says a reply of this code, in one line or several.
    Reply(String),
    /// The handshake.
    Tls,
    /// The relay closes.
    End,
}

impl Dialog {
    /// Reads a script.
    pub fn parse(name: &str, text: &str) -> Self {
        let mut dialog = Self { name: name.to_owned(), ..Self::default() };
        for (number, line) in (1..).zip(text.lines()) {
            let turn = if let Some(rest) = line.strip_prefix("C: ") {
                Turn::Client(format!("{rest}\r\n").into_bytes())
            } else if line == "C:" {
                Turn::Client(b"\r\n".to_vec())
            } else if let Some(rest) = line.strip_prefix("c: ") {
                Turn::Client(unescape(rest))
            } else if let Some(rest) = line.strip_prefix("S: ") {
                Turn::Server(rest.to_owned())
            } else if let Some(rest) = line.strip_prefix("R: ") {
                Turn::Reply(rest.to_owned())
            } else if line == "TLS" {
                Turn::Tls
            } else if line == "END" {
                Turn::End
            } else {
                dialog.setting(number, line);
                continue;
            };
            dialog.turns.push((number, turn));
        }
        dialog
    }

    fn setting(&mut self, number: usize, line: &str) {
        if let Some(address) = line.strip_prefix("@from ") {
            self.from = Some(address.to_owned());
        } else if line == "@early" {
            self.early = true;
        } else if line == "@whole" {
            self.whole = true;
        } else if let Some(rest) = line.strip_prefix("@ ") {
            self.listener.push(rest.to_owned());
        } else {
            let nothing = line.is_empty() || line.starts_with('#');
            assert!(nothing, "{}:{number}: what is `{line}`?", self.name);
        }
    }
}

/// Whether a line is like a pattern with `*`.
pub fn is_like(pattern: &str, line: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or("");
    let Some(mut rest) = line.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.find(part) {
            Some(place) => rest = &rest[place + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

fn unescape(text: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        rest = &rest[character.len_utf8()..];
        if character == '{'
            && let Some((inside, after)) = rest.split_once('}')
            && let Some((word, count)) = inside.rsplit_once('*')
            && let Ok(count) = count.parse::<usize>()
        {
            octets.extend(unescape(word).repeat(count));
            rest = after;
            continue;
        }
        if character != '\\' {
            let mut buffer = [0; 4];
            octets.extend_from_slice(character.encode_utf8(&mut buffer).as_bytes());
            continue;
        }
        let kind = rest.chars().next().unwrap();
        rest = &rest[kind.len_utf8()..];
        match kind {
            'r' => octets.push(b'\r'),
            'n' => octets.push(b'\n'),
            't' => octets.push(b'\t'),
            '0' => octets.push(0),
            'x' => {
                octets.push(u8::from_str_radix(&rest[..2], 16).unwrap());
                rest = &rest[2..];
            }
            other => octets.push(u8::try_from(other).unwrap()),
        }
    }
    octets
}
