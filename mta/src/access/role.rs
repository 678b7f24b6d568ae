//! What a person may do: three words, each a set of scopes.

use serde::{Deserialize, Serialize};

use super::Scope;

/// What a person is to the relay.
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
pub enum Role {
    /// Looks at everything but secrets; changes nothing.
    Reader,
    /// Acts upon queue, sources, halts and suppressions, too.
    Operator,
    /// Users, tokens, the audit log and reload, too.
    Administrator,
}

impl Role {
    /// All of them, the one that may least first.
    pub const ALL: [Self; 3] = [Self::Reader, Self::Operator, Self::Administrator];

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Operator => "operator",
            Self::Administrator => "administrator",
        }
    }

    /// What it may.
    pub fn scopes(self) -> Vec<Scope> {
        match self {
            Self::Reader => vec![Scope::Read],
            Self::Operator => vec![Scope::Read, Scope::Operate],
            Self::Administrator => vec![Scope::Read, Scope::Operate, Scope::Admin],
        }
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.word())
    }
}

impl std::str::FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|role| role.word() == text);
        known.ok_or_else(|| format!("{text} is no role: reader, operator or administrator"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_sends_with_a_role_and_each_may_what_the_one_before_may() {
        let may = |role: Role, scope| role.scopes().iter().any(|has| has.includes(scope));
        for pair in Role::ALL.windows(2) {
            assert!(Scope::ALL.iter().all(|it| !may(pair[0], *it) || may(pair[1], *it)));
            assert_ne!(pair[0].scopes(), pair[1].scopes());
        }
        assert!(Role::ALL.iter().all(|role| !may(*role, Scope::Send)));
        assert!(Role::ALL.iter().all(|role| role.word().parse() == Ok(*role)));
        assert!("root".parse::<Role>().is_err());
    }
}
