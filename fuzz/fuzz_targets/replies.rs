//! See `src/replies.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tambo_fuzz::replies::replies(input));
