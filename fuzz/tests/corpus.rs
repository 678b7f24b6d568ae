//! Plays the seeds of every target, and a few thousand mutations of them, without a fuzzer: what a change breaks in
//! the targets themselves is seen in seconds.

#![expect(clippy::unwrap_used, reason = "a corpus that cannot be read has failed")]

use std::path::Path;

/// Mutations of each seed; `TAMBO_FUZZ_MUTATIONS` says how many.
const MUTATIONS: u64 = 200;

/// Octets that mean something somewhere.
const TELLING: &[u8] = b"\r\n.\0 <>:@\"\\-+=,;%\x7f\xc3\xf5\xf8\xf9\xfa\xff";

fn play(target: &str, function: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let mutations = std::env::var("TAMBO_FUZZ_MUTATIONS").ok().and_then(|it| it.parse().ok());
    let mut seeds: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    seeds.sort();
    assert!(seeds.len() > 2);
    for seed in seeds {
        let octets = std::fs::read(&seed).unwrap();
        function(&octets);
        for number in 0..mutations.unwrap_or(MUTATIONS) {
            let mutated = mutated(&octets, number);
            let shown = mutated.escape_ascii().to_string();
            let done = std::panic::catch_unwind(|| function(&mutated));
            assert!(done.is_ok(), "mutation {number} of {}: {shown}", seed.display());
        }
    }
}

/// Changed at a few places, the same ones for the same number.
fn mutated(octets: &[u8], number: u64) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ octets.len() as u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(state >> 33).unwrap() % below.max(1)
    };
    let mut out = octets.to_vec();
    for _ in 0..=random(6) {
        let at = random(out.len());
        match random(6) {
            0 => out[at] = u8::try_from(random(256)).unwrap(),
            1 => out[at] = TELLING[random(TELLING.len())],
            2 => out.insert(at, TELLING[random(TELLING.len())]),
            3 if out.len() > 8 => drop(out.drain(at..(at + random(9)).min(out.len()))),
            4 => {
                let piece = out[at..(at + random(40)).min(out.len())].to_vec();
                let to = random(out.len());
                out.splice(to..to, piece);
            }
            _ => out[at] = out[at].wrapping_add(1),
        }
    }
    out
}

#[test]
fn addresses() {
    play("addresses", tambo_fuzz::addresses::addresses);
}

#[test]
fn injection() {
    play("injection", tambo_fuzz::injection::injection);
}

#[test]
fn notice() {
    play("notice", tambo_fuzz::notice::notice);
}

#[test]
fn receivers() {
    play("receivers", tambo_fuzz::receivers::receivers);
}

#[test]
fn replies() {
    play("replies", tambo_fuzz::replies::replies);
}

#[test]
fn session() {
    play("session", tambo_fuzz::session::session);
}
