//! What a failure is about and whom it blames: a reply of a peer by the rules for replies, one of
//! our own by its code alone, because rules know what others write.

use relay_config::responses::{Classifier, Phase, Said, Verdict, unknown};

use crate::message::{Attempt, Failure, Outcome, Reply};

/// A verdict for each outcome, in their order; `None` where mail was taken. `provider` is the
/// one that the peer belongs to, if known.
pub fn verdicts<'a>(
    classifier: &Classifier,
    outcomes: impl IntoIterator<Item = &'a Outcome>,
    provider: Option<&str>,
) -> Vec<Option<Verdict>> {
    let verdict = |outcome: &Outcome| match outcome {
        Outcome::Delivered(_) => None,
        Outcome::Failed(failure) => Some(verdict(classifier, failure, provider)),
    };
    outcomes.into_iter().map(verdict).collect()
}

/// What a reply is about by its code alone: enough for the advice in a notice.
pub(super) fn category(reply: &Reply) -> &'static str {
    unknown(&said(reply)).category.word()
}

/// What the reply to an attempt means that is over: in which phase it came is not kept, and most come after RCPT TO.
pub fn verdict_of_attempt(classifier: &Classifier, attempt: &Attempt) -> Verdict {
    let said = said(&attempt.reply);
    // Without a source nobody was spoken to: the words are ours.
    if attempt.source.is_none() {
        return unknown(&said);
    }
    classifier.classify(&Said { phase: Some(Phase::Rcpt), ..said })
}

/// What one failure means.
pub fn verdict(classifier: &Classifier, failure: &Failure, provider: Option<&str>) -> Verdict {
    let said = Said { phase: failure.phase, provider, ..said(&failure.reply) };
    if failure.phase.is_some() { classifier.classify(&said) } else { unknown(&said) }
}

fn said(reply: &Reply) -> Said<'_> {
    Said {
        code: reply.code,
        enhanced: reply.enhanced.map(|code| (code.class, code.subject, code.detail)),
        text: &reply.text,
        phase: None,
        provider: None,
    }
}

#[cfg(test)]
mod tests {
    use relay_config::responses::Mail;

    use super::*;
    use crate::message::{Fault, Reply, Retry, Scope};

    fn check(text: &str, phase: Option<Phase>, expected: (&str, &str, Mail)) {
        let (code, rest) = text.split_once(' ').unwrap();
        let reply = Reply::from_lines(code.parse().unwrap(), rest.split('\n'));
        let (scope, fault, retry) = (Scope::Recipient, Fault::Peer, Retry::Never);
        let failure = Failure { scope, fault, retry, reply, phase, cause: String::new() };
        let found = verdict(&Classifier::builtin(), &failure, None);
        let (rule, category, mail) = expected;
        assert_eq!(
            (&*found.rule, found.category.word(), found.mail),
            (rule, category, mail),
            "{text}"
        );
    }

    #[test]
    fn what_a_peer_says_is_classified_by_rules() {
        let rcpt = Some(Phase::Rcpt);
        check("550 5.1.1 no such user", rcpt, ("U01", "bad-mailbox", Mail::Fail));
        check("550 5.7.26 This mail has\nbeen blocked", rcpt, ("G12", "policy-auth", Mail::Wait));
        check("450 later", rcpt, ("class:4", "temporary", Mail::Retry(None)));
        check("550 no", rcpt, ("class:5", "refused", Mail::Fail));
        check("550 no", Some(Phase::Greeting), ("class:5", "refused", Mail::Wait));
    }

    #[test]
    fn what_we_say_ourselves_is_classified_by_its_code() {
        check("550 5.1.1 no such user", None, ("enhanced:5.1.1", "bad-mailbox", Mail::Fail));
        check("550 5.1.2 no such domain", None, ("enhanced:5.1.2", "bad-domain", Mail::Fail));
        check("452 4.2.2 over quota", None, ("enhanced:4.2.2", "mailbox-full", Mail::Retry(None)));
        check("450 4.2.0 greylisted", None, ("enhanced:4.2.0", "mailbox", Mail::Retry(None)));
        check("451 4.4.1 refused", None, ("enhanced:4.4.1", "connection", Mail::Retry(None)));
        check("451 4.4.3 dns", None, ("enhanced:4.4.3", "dns", Mail::Retry(None)));
        check("550 5.7.1 blocked", None, ("enhanced:5.7.1", "policy", Mail::Fail));
        check("552 5.3.4 too big", None, ("enhanced:5.3.4", "too-big", Mail::Fail));
        check("550 5.4.7 time is over", None, ("enhanced:5.4.7", "expired", Mail::Fail));
        check("451 4.7.5 no TLS", None, ("enhanced:4.7.5", "tls", Mail::Retry(None)));
    }
}
