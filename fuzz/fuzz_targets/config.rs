//! The configuration: any text gives a configuration, or mistakes that name a place in it.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match relay_config::load(text, "fuzz.toml") {
        Ok(loaded) => drop(loaded),
        Err(mistakes) => {
            assert!(!mistakes.is_empty(), "refused without a reason");
            let lines = text.lines().count().max(1) + 1;
            for mistake in mistakes {
                assert!(mistake.line >= 1 && mistake.line <= lines, "{mistake:?}");
                assert!(!mistake.problem.message.is_empty());
            }
        }
    }
});
