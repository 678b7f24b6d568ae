//! See `src/receivers.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tambo_fuzz::receivers::receivers(input));
