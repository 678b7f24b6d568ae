//! What a caller may do. Four words, so that an administrator can say without a manual what a token is for.

use serde::{Deserialize, Serialize};

/// What may be done.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Look at everything but secrets; change nothing.
    Read,
    /// Send mail as the account of the token.
    Send,
    /// Act upon queue, sources, halts and suppressions; look at everything.
    Operate,
    /// Tokens, the audit log, reload, and all that operators may; sending is asked for by itself.
    Admin,
}

impl Scope {
    /// All of them, as they are told to people.
    pub const ALL: [Self; 4] = [Self::Read, Self::Send, Self::Operate, Self::Admin];

    /// Whether who has this one may do what needs that one.
    pub fn includes(self, needed: Self) -> bool {
        match needed {
            Self::Read => self != Self::Send,
            Self::Operate => matches!(self, Self::Operate | Self::Admin),
            Self::Send | Self::Admin => self == needed,
        }
    }

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Send => "send",
            Self::Operate => "operate",
            Self::Admin => "admin",
        }
    }
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.word())
    }
}

impl std::str::FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|scope| scope.word() == text);
        known.ok_or_else(|| format!("{text} is no scope: read, send, operate or admin"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_includes_what() {
        let table = [
            (Scope::Read, "read"),
            (Scope::Send, "send"),
            (Scope::Operate, "read operate"),
            (Scope::Admin, "read operate admin"),
        ];
        for (scope, expected) in table {
            let may = Scope::ALL.iter().filter(|needed| scope.includes(**needed));
            let may: Vec<&str> = may.map(|needed| needed.word()).collect();
            assert_eq!(may.join(" "), expected, "{scope}");
        }
        assert_eq!("send".parse(), Ok(Scope::Send));
        assert!("root".parse::<Scope>().is_err());
    }
}
