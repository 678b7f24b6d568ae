//! Messages that are accepted together or not at all: one request, one batch, one sync.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::message::{Id, Submission};
use crate::spool::{CommitError, Operation};

use super::accept::{self, Accepted};
use super::shared::SharedBody;
use super::{Body, Claim, Queue, Refusal, figures, scheduled};

/// What is accepted together.
#[derive(Debug, Default)]
pub struct Batch {
    /// At least one. Their ids come from [`Queue::next_ids`], and they begin at the same time.
    pub submissions: Vec<Submission>,
    /// What those of them share whose body is a template.
    pub shared: Option<SharedBody>,
    /// What is on disk with them, or not at all.
    pub along: Vec<Operation>,
    /// How long they may wait for others to share a sync with.
    pub patience: Duration,
}

impl Queue {
    /// So many ids in a row; the first of them.
    pub fn next_ids(&self, count: u64) -> Id {
        self.ids.next_run(self.clock.now(), count)
    }

    /// Takes responsibility for messages: all of them are durable when this returns `Ok`, and none of them
    /// otherwise.
    pub async fn accept_all(&self, batch: Batch) -> Result<(), Refusal> {
        let begun = Instant::now();
        self.is_accepting()?;
        let now = self.clock.now();
        let routes = self.options().routes.clone();
        let mut operations = batch.along;
        operations.extend(batch.shared.iter().flat_map(SharedBody::operations));
        operations.extend(to_be_sent_later(&batch.submissions));
        let mut all: Vec<Accepted> = Vec::with_capacity(batch.submissions.len());
        for submission in batch.submissions {
            let mut accepted = accept::accept(submission, &routes, now, || self.ids.next(now));
            operations.append(&mut accepted.operations);
            all.push(accepted);
        }
        let claims: Vec<Claim<'_>> =
            all.iter().map(|accepted| Claim::new(self, accepted.entries().collect())).collect();
        match self.committer.commit_patiently(operations, batch.patience).await {
            Ok(()) => {
                figures::durable(begun.elapsed());
                let shared = batch.shared.and_then(|it| self.bodies.hold(vec![it.octets]));
                for (claim, accepted) in claims.into_iter().zip(all) {
                    if accepted.message.template.is_some() {
                        figures::accepted(&accepted.message, &accepted.deliveries);
                        let body = shared.as_ref().map(Arc::clone);
                        claim.place(accepted.message, accepted.deliveries, body, Body::OnDisk);
                    } else {
                        claim.offer(accepted, Body::OnDisk);
                    }
                }
                Ok(())
            }
            Err(CommitError::Stopping) => Err(Refusal::Stopping),
            Err(CommitError::Spool(_)) => Err(Refusal::Unavailable),
        }
    }
}

fn to_be_sent_later(submissions: &[Submission]) -> Option<Operation> {
    let (first, last) = (submissions.first()?, submissions.last()?);
    Some(scheduled::put(first.send_at?, first.id, last.id))
}
