//! What replies mean: any text has a verdict, at the same time each time, and a sentence.
#![no_main]

use std::sync::LazyLock;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use relay_config::responses::{Classifier, Mail, Phase, Said, Spoken};

static CLASSIFIER: LazyLock<&'static Classifier> =
    LazyLock::new(|| Box::leak(Box::new(Classifier::builtin().clone())));

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    code: u16,
    enhanced: Option<(u8, u16, u16)>,
    before: bool,
    text: &'a str,
}

fuzz_target!(|input: Input<'_>| {
    let phase = if input.before { Phase::Greeting } else { Phase::Rcpt };
    let code = 400 + input.code % 200;
    let said = Said {
        code,
        enhanced: input.enhanced,
        text: input.text,
        phase: Some(phase),
        provider: None,
    };
    let verdict = CLASSIFIER.classify(&said);
    assert!(!verdict.sentences().is_empty());
    if input.before {
        assert_ne!(
            verdict.mail,
            Mail::Fail,
            "no mail was offered, so none was refused: {}",
            verdict.rule
        );
    }
    if let Ok(spoken) = Spoken::parse(input.text) {
        let _ = CLASSIFIER.classify(&spoken.said(None, None));
    }
});
