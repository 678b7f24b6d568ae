//! Reads replies as dispatch does: by the classifier.
//!
//! Millions of replies differ only in addresses and numbers, so a verdict is kept for each form and
//! moment. Once in so many it is made anew from the whole line and compared.

use std::collections::HashMap;
use std::sync::Arc;

use mta::message::{EnhancedCode, Failure, Fault, Reply as SmtpReply, Retry, Scope};
use relay_config::responses::{Classifier, Phase, Spoken, Verdict};

use crate::providers::{Moment, Reply};

/// A verdict that is kept is checked once in so many times.
const CHECKED_EVERY: u32 = 500;

/// A form of words by its place in memory, the moment it was said at, and the provider who did.
type Heard = (usize, Moment, Option<&'static str>);

/// The classifier with what it has said.
#[derive(Debug)]
pub struct Reader {
    classifier: Arc<Classifier>,
    /// By the place of the form in memory: hashing its text would cost more than all else.
    kept: HashMap<Heard, (Arc<Verdict>, u32)>,
}

impl Reader {
    /// With the rules of the configuration.
    pub fn new(classifier: Arc<Classifier>) -> Self {
        Self { classifier, kept: HashMap::new() }
    }

    /// What a reply of a provider, or of who is none, means.
    pub fn read(
        &mut self,
        reply: &Reply,
        moment: Moment,
        provider: Option<&'static str>,
    ) -> Arc<Verdict> {
        let made = || Arc::new(verdict(&self.classifier, reply, moment, provider));
        let key = (reply.form.as_ptr().addr(), moment, provider);
        let (kept, asked) = self.kept.entry(key).or_insert_with(|| (made(), 0));
        *asked += 1;
        if asked.is_multiple_of(CHECKED_EVERY) {
            assert_eq!(*kept, made(), "two replies of one form mean the same: {}", reply.line());
        }
        Arc::clone(kept)
    }
}

fn verdict(
    classifier: &Classifier,
    reply: &Reply,
    moment: Moment,
    provider: Option<&str>,
) -> Verdict {
    let spoken = Spoken::parse(&reply.line()).expect("a model refuses with a reply");
    classifier.classify(&spoken.said(Some(phase(moment)), provider))
}

/// The moment in the relay's words.
pub fn phase(moment: Moment) -> Phase {
    match moment {
        Moment::Banner => Phase::Greeting,
        Moment::Mail => Phase::Mail,
        Moment::Rcpt => Phase::Rcpt,
        Moment::Data => Phase::Final,
    }
}

/// A connection that did not come up, as `smtp_out` tells it: with the words that refused it, or
/// without any.
pub fn not_up(reply: Option<&Reply>) -> Failure {
    let Some(reply) = reply else {
        let said = SmtpReply::new(451, EnhancedCode::new(4, 4, 1), "no connection");
        let cause = "no connection".to_owned();
        let (scope, fault, retry) = (Scope::Session, Fault::Peer, Retry::NextHost);
        return Failure { scope, fault, retry, reply: said, phase: None, cause };
    };
    let spoken = Spoken::parse(&reply.line()).expect("a model refuses with a reply");
    let enhanced =
        spoken.enhanced.map(|(class, subject, detail)| EnhancedCode { class, subject, detail });
    Failure {
        scope: Scope::Session,
        fault: Fault::Peer,
        retry: Retry::NextHost,
        reply: SmtpReply { code: spoken.code, enhanced, text: spoken.text },
        phase: Some(Phase::Greeting),
        cause: "the server answered the connection".to_owned(),
    }
}
