//! The configuration as it holds, key by key, with where each value was decided.
//!
//! For people and programs that ask; nothing decides by it. Secrets are not in it.

use crate::fields::{ReadKey, ReadValue};
use crate::origin::{Origin, Places};

/// Keys whose values nobody is shown: who reads a hash may guess at it at leisure.
const SECRET: [&str; 1] = ["password_hash"];

/// A key and what holds for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InForce {
    /// `[server]`, `[[listener]]` …
    pub section: String,
    /// Which of several tables of one name, from 1.
    pub number: usize,
    /// The key.
    pub key: &'static str,
    /// As TOML; `None`: it is not written, and that means something (docs/reference/config.md says what).
    pub value: Option<String>,
    /// Where that was decided.
    pub origin: Origin,
}

/// What was read of a file, with its values.
pub(crate) fn in_force(read: Vec<ReadKey>, text: &str, places: &Places) -> Vec<InForce> {
    read.into_iter()
        .map(|it| {
            let (value, origin) = match it.value {
                ReadValue::Written(span) => {
                    let origin = places.origin(&span);
                    let written = text.get(span).unwrap_or_default().to_owned();
                    let secret = SECRET.contains(&it.key);
                    (Some(if secret { "(not shown)".to_owned() } else { written }), origin)
                }
                ReadValue::Default(default) => (Some(default.to_owned()), Origin::Default),
                ReadValue::Nothing => (None, Origin::Default),
            };
            InForce { section: it.section, number: it.number, key: it.key, value, origin }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    const TEXT: &str = "[server]\nhostname = \"r.x.pe\"\n\
        [[listener]]\nname = \"a\"\nbind = [\"127.0.0.1:25\"]\ntls = \"off\"\nrelay_from = [\"10.0.0.0/8\"]\n\
        [[account]]\nname = \"one\"\nnetworks = [\"10.0.0.0/8\"]\n\
        [[account]]\nname = \"two\"\npassword_hash = \"HASH\"\nsenders = [\"*@x.pe\"]\n\
        [delivery]\nroutes_of_mine = 1\n";

    fn load(text: &str) -> crate::Config {
        crate::load(text, "tambo.toml").unwrap().config
    }

    #[test]
    fn each_key_says_what_holds_and_who_decided_it() {
        let hash = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$\
            aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g";
        let text = TEXT.replace("HASH", hash).replace("routes_of_mine = 1\n", "port = 2525\n");
        let config = load(&text);
        let find = |section: &str, number, key: &str| {
            let mut all = config.in_force.iter();
            let found =
                all.find(|it| it.section == section && it.number == number && it.key == key);
            let found = found.unwrap_or_else(|| panic!("{section} {number} {key}"));
            (found.value.as_deref(), found.origin.to_string())
        };
        assert_eq!(
            find("[server]", 1, "hostname"),
            (Some("\"r.x.pe\""), "tambo.toml:2".to_owned())
        );
        assert_eq!(find("[delivery]", 1, "port"), (Some("2525"), "tambo.toml:16".to_owned()));
        let (retry, origin) = find("[delivery]", 1, "retry");
        assert!(retry.unwrap().starts_with("[\"5m\"") && origin == "default", "{retry:?} {origin}");
        assert_eq!(find("[[account]]", 2, "name").0, Some("\"two\""));
        assert_eq!(find("[[account]]", 2, "password_hash").0, Some("(not shown)"));
        assert_eq!(find("[[account]]", 1, "password_hash"), (None, "default".to_owned()));
    }
}
