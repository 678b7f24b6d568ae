//! What peers said goes to egress, and what egress decides becomes events, metrics and lines of the log.

use std::sync::{Arc, LazyLock};

use prometheus::IntCounter;
use relay_config::responses::{Action, Verdict};

use crate::egress::{Decision, DecisionKind, Heard, Said, Saving};
use crate::message::{Event, EventKind, Outcome, Reply};
use crate::metrics::{self, Label, Labelled, Topic};
use crate::queue::Ready;
use crate::smtp_out::Route;
use crate::spool::{Family, Operation};

use super::Dispatch;
use super::item::{campaign, sending_domain};

static DECISIONS: LazyLock<Labelled<IntCounter>> = LazyLock::new(|| {
    let help = "Decisions about sources, sites, sending domains and campaigns";
    let kinds: Vec<_> = DecisionKind::WORDS.iter().map(|row| (row.0, row.1)).collect();
    let kind = Label::known("decision", &kinds);
    metrics::counters(Topic::Delivery, "tambo_decisions_total", help, vec![kind])
});

/// Makes the metrics of this file known.
pub(super) fn declare_metrics() {
    metrics::declare(&[&DECISIONS]);
}

/// Through what a delivery went.
pub(super) struct Way<'a> {
    pub(super) route: &'a Route,
    pub(super) source: &'a Arc<str>,
    pub(super) pool: &'a Arc<str>,
    /// Transactions that the connection has carried.
    pub(super) transactions: u32,
}

impl Dispatch {
    /// What came of the recipients of a delivery is heard, once.
    pub(super) fn hear(
        &self,
        ready: &Ready,
        way: &Way<'_>,
        outcomes: &[Outcome],
        verdicts: &[Option<Verdict>],
    ) {
        let accepted = outcomes.iter().filter(|it| matches!(it, Outcome::Delivered(_))).count();
        let mut said: Vec<Said<'_>> = Vec::new();
        for (outcome, verdict) in outcomes.iter().zip(verdicts) {
            let (Outcome::Failed(failure), Some(verdict)) = (outcome, verdict) else { continue };
            if failure.phase.is_none() {
                continue;
            }
            self.refused(way, verdict, &failure.reply);
            match said.iter_mut().find(|said| said.verdict.rule == verdict.rule) {
                Some(known) => known.recipients += 1,
                None => said.push(Said { verdict, recipients: 1, reply: &failure.reply.text }),
            }
        }
        let resolve = said.iter().any(|it| it.verdict.actions.contains(&Action::ResolveAgain));
        let heard = Heard {
            site: &way.route.site,
            source: way.source,
            pool: way.pool,
            sending_domain: sending_domain(&ready.message),
            campaign: campaign(&ready.message),
            recipient_domain: &ready.delivery.domain,
            accepted: u32::try_from(accepted).unwrap_or(u32::MAX),
            said,
            transactions: way.transactions,
        };
        let mut state = self.state();
        state.egress.heard(&heard, self.queue.now());
        if resolve {
            state.routes.remove(ready.delivery.domain.as_str());
        }
        let decisions = state.egress.take_decisions();
        let halted = decisions.iter().any(|it| it.kind == DecisionKind::Halted);
        let stopped = if halted {
            let site = &way.route.site;
            state.egress.take_halted(site, self.queue.now())
        } else {
            Vec::new()
        };
        drop(state);
        self.tell(decisions);
        for (waiting, waits) in stopped {
            self.postpone(waiting.ready, &waits, Some(way.route));
        }
    }

    /// A connection was refused before any delivery: the words of the greeting are heard.
    pub(super) fn hear_greeting(&self, way: &Way<'_>, verdict: &Verdict, reply: &Reply) {
        self.refused(way, verdict, reply);
        let heard = Heard {
            site: &way.route.site,
            source: way.source,
            pool: way.pool,
            sending_domain: None,
            campaign: "",
            recipient_domain: "",
            accepted: 0,
            said: vec![Said { verdict, recipients: 1, reply: &reply.text }],
            transactions: way.transactions,
        };
        self.state().egress.heard(&heard, self.queue.now());
        self.tell_decisions();
    }

    /// What was decided since the last time is told.
    pub(super) fn tell_decisions(&self) {
        let decisions = self.state().egress.take_decisions();
        self.tell(decisions);
    }

    pub(super) fn tell(&self, decisions: Vec<Decision>) {
        if decisions.is_empty() {
            return;
        }
        let events: Vec<Event> = decisions.iter().map(|it| self.event_of(it)).collect();
        for decision in &decisions {
            DECISIONS.count(&[decision.kind.word()]);
            let (kind, text) = (decision.kind.word(), decision.text.as_str());
            let (source, site) = (decision.source.as_deref(), decision.site.as_deref());
            let reply = decision.reply.as_deref();
            if decision.kind.is_alarming() {
                tracing::warn!(decision = kind, source, site, reply, "{text}");
            } else {
                tracing::info!(decision = kind, source, site, reply, "{text}");
            }
        }
        if let Err(error) = self.queue.record(&events) {
            tracing::error!(%error, "what was decided about sources could not be written down");
        }
    }

    fn event_of(&self, decision: &Decision) -> Event {
        let mut event = Event::new(self.queue.next_id(), EventKind::Source);
        event.decision = Some(decision.kind.word().to_owned());
        event.source = decision.source.as_ref().map(ToString::to_string);
        event.site = decision.site.as_ref().map(ToString::to_string);
        event.pool = decision.pool.as_ref().map(ToString::to_string);
        event.rule.clone_from(&decision.rule);
        event.reply.clone_from(&decision.reply);
        event.detail = Some(decision.text.clone());
        event
    }

    /// What egress must not forget is on disk when this returns. `false`: it is not.
    pub(super) async fn save_egress(&self) -> bool {
        let savings = self.state().egress.to_save(self.queue.now());
        if savings.is_empty() {
            return true;
        }
        match self.queue.commit_state(operations(&savings)).await {
            Ok(()) => {
                self.state().egress.saved(&savings);
                true
            }
            Err(error) => {
                tracing::error!(%error, "what sources may send could not be written down; they wait");
                self.state().egress.not_saved(savings);
                false
            }
        }
    }

    /// The same, to ride with something else.
    pub(super) fn egress_changes(&self) -> Vec<Operation> {
        let mut state = self.state();
        if !state.egress.has_unsaved() {
            return Vec::new();
        }
        operations(&state.egress.to_save(self.queue.now()))
    }
}

pub(super) fn operations(savings: &[Saving]) -> Vec<Operation> {
    let operation = |saving: &Saving| match &saving.value {
        Some(value) => Operation::Put(Family::State, saving.key.clone(), value.clone()),
        None => Operation::Delete(Family::State, saving.key.clone()),
    };
    savings.iter().map(operation).collect()
}
