//! A delivery that waits in egress, with what egress must know of it.

use relay_config::responses::{Action, Classifier};

use crate::egress::Item;
use crate::message::Message;
use crate::outcome;
use crate::queue::Ready;

/// A delivery that waits for a connection.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) ready: Ready,
    /// It must go again from the source of its last attempt: a greylisting server knows it from there.
    same_source: bool,
    /// It must not go from there again: the server has said that it takes nothing from it for good.
    other_source: bool,
}

impl Waiting {
    /// What its last attempt was told decides from where it goes again.
    pub(super) fn new(ready: Ready, classifier: &Classifier) -> Self {
        let last = ready.delivery.last.as_ref().filter(|last| last.source.is_some());
        let actions = last.map(|last| outcome::verdict_of_attempt(classifier, last).actions);
        let wants = |action| actions.as_ref().is_some_and(|actions| actions.contains(&action));
        let same_source = wants(Action::SameSource);
        let other_source = wants(Action::OtherSource);
        Self { ready, same_source, other_source }
    }

    fn last_source(&self) -> Option<&str> {
        self.ready.delivery.last.as_ref()?.source.as_deref()
    }
}

impl Item for Waiting {
    fn recipients(&self) -> u32 {
        u32::try_from(self.ready.recipients().len()).unwrap_or(u32::MAX)
    }

    fn sending_domain(&self) -> Option<&str> {
        sending_domain(&self.ready.message)
    }

    fn campaign(&self) -> &str {
        campaign(&self.ready.message)
    }

    fn same_source(&self) -> Option<&str> {
        self.last_source().filter(|_| self.same_source)
    }

    fn refused_source(&self) -> Option<&str> {
        self.last_source()
    }

    fn other_source(&self) -> bool {
        self.other_source
    }
}

/// The domain whose reputation a message uses: that of From, or else of MAIL FROM.
pub(super) fn sending_domain(message: &Message) -> Option<&str> {
    let sender = message.sender.0.as_ref().map(|sender| sender.domain().as_str());
    message.from_domain.as_deref().or(sender)
}

/// What a message is part of: its first tag, or else its account.
pub(super) fn campaign(message: &Message) -> &str {
    message.tags.first().map_or(message.account.as_str(), String::as_str)
}
