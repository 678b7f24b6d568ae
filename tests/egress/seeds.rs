//! Which seeds are for what. Nobody tunes a policy on the seeds of the table, so that the table tells
//! how it does in worlds that it was not made for.

use std::ops::Range;

/// For whoever works on the policy.
pub const TUNING: Range<u64> = 1..1_000;
/// For the table in the documentation, and for the tests.
pub const TABLE: Range<u64> = 900_000..901_000;
/// Days that the table tells of.
pub const TABLE_DAYS: u64 = 45;
/// Days that the tests tell of, unless somebody asks for the table.
const DAYS: u64 = 12;

/// Seeds and days. `TAMBO_SIM_DAYS` says how many days; `TAMBO_SIM_COUNT` asks for the table of so many seeds, `TAMBO_SIM_SEED` for that of
/// one seed, which may be one for tuning.
pub fn chosen() -> (Range<u64>, u64) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let days = number("TAMBO_SIM_DAYS");
    let table_days = days.unwrap_or(TABLE_DAYS);
    match (number("TAMBO_SIM_SEED"), number("TAMBO_SIM_COUNT")) {
        (Some(seed), _) => (seed..seed + 1, table_days),
        (None, Some(count)) => (TABLE.start..(TABLE.start + count).min(TABLE.end), table_days),
        (None, None) => (TABLE.start..TABLE.start + 1, days.unwrap_or(DAYS)),
    }
}

/// Whether a policy is tried: all are, unless `TAMBO_SIM_POLICY` names one.
pub fn wants(policy: &str) -> bool {
    std::env::var("TAMBO_SIM_POLICY").ok().filter(|it| !it.is_empty()).is_none_or(|it| it == policy)
}
