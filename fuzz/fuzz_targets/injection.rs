//! See `src/injection.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tambo_fuzz::injection::injection(input));
