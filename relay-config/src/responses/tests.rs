//! That every rule fires where it stands, and what the rules must never say.

use super::builtin;
use super::*;

fn verdict(written: &str, phase: Option<Phase>) -> Verdict {
    let spoken = Spoken::parse(written).unwrap_or_else(|why| panic!("{written}: {why}"));
    Classifier::builtin().classify(&spoken.said(phase, None))
}

#[test]
fn the_builtin_rules_can_be_read() {
    assert_eq!(builtin::read(builtin::FILE).err(), None);
}

#[test]
fn the_sample_maps() {
    let sample = include_str!("../../testdata/responses/sample.tsv");
    for line in sample.lines().skip(1) {
        let (reply, rule) = line.split_once('\t').unwrap();
        assert_eq!(&*verdict(reply, None).rule, rule, "{reply}");
    }
}

/// `cargo test --workspace -p relay-config --lib --release speed -- --ignored --nocapture`
#[test]
#[ignore = "says how long a classification takes; run it alone"]
#[expect(clippy::print_stdout, clippy::disallowed_methods, reason = "the number is what it is for")]
fn speed() {
    let classifier = Classifier::builtin();
    let sample = include_str!("../../testdata/responses/sample.tsv");
    let plain: Vec<Spoken> = sample
        .lines()
        .skip(1)
        .map(|line| Spoken::parse(line.split('\t').next().unwrap()).unwrap())
        .collect();
    let accents: Vec<Spoken> = plain
        .iter()
        .map(|said| Spoken { text: format!("el buzón {}", said.text), ..said.clone() })
        .collect();
    let long: Vec<Spoken> = plain
        .iter()
        .map(|said| Spoken {
            text: format!("{} {}", "words of nothing ".repeat(50), said.text),
            ..said.clone()
        })
        .collect();
    for (name, replies) in [("sample", plain), ("with accents", accents), ("of 1 KiB", long)] {
        const ROUNDS: u32 = 500;
        let mut normalising = std::time::Duration::ZERO;
        let mut total = std::time::Duration::ZERO;
        for round in 0..ROUNDS {
            let begin = std::time::Instant::now();
            for reply in &replies {
                std::hint::black_box(classifier.classify(&reply.said(Some(Phase::Rcpt), None)));
            }
            let middle = std::time::Instant::now();
            for reply in &replies {
                std::hint::black_box(reply.said(None, None).normalised());
            }
            if round > 0 {
                total += middle - begin;
                normalising += middle.elapsed();
            }
        }
        let count = (ROUNDS - 1) * u32::try_from(replies.len()).unwrap();
        println!(
            "{name}: {:?} a reply, of it {:?} normalising",
            total / count,
            normalising / count
        );
    }
}
