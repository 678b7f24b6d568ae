//! Webhooks for those who watch and steer them.

use crate::admin::{ControlError, ReplayOrder, Replayed, WebhookRow};
use crate::message::Timestamp;
use crate::outcome::webhook::Report;

use super::RelayControl;
use super::events::{cursor, parse_time};
use super::flow::just_before;

impl RelayControl {
    /// Each webhook.
    pub(super) fn webhook_rows(&self) -> Vec<WebhookRow> {
        self.webhooks.reports().iter().map(row).collect()
    }

    /// Has one start again from a place on.
    pub(super) async fn replay_from(
        &self,
        name: &str,
        order: &ReplayOrder,
    ) -> Result<Replayed, ControlError> {
        let place = match (&order.from, &order.since) {
            (Some(from), None) => cursor(from)?,
            (None, Some(since)) => just_before(parse_time("since", since, self.queue.now())?),
            _ => {
                let why = "say from where: `from` (the id of an event) or `since` (a time)";
                return Err(ControlError::Question(why.to_owned()));
            }
        };
        match self.webhooks.replay(name, place).await {
            None => Err(ControlError::NotFound(format!("there is no webhook \"{name}\""))),
            Some(Err(why)) => Err(ControlError::Spool(why)),
            Some(Ok(())) => Ok(Replayed { webhook: name.to_owned(), place: place.to_string() }),
        }
    }
}

fn row(report: &Report) -> WebhookRow {
    WebhookRow {
        name: report.webhook.name.to_string(),
        url: report.webhook.url.to_string(),
        state: if report.failures > 0 { "failing" } else { "well" }.to_owned(),
        place: report.place.map(|id| id.to_string()),
        behind_seconds: report.behind.as_secs(),
        taken: report.taken,
        passed_over: report.passed_over,
        failures: report.failures,
        last_error: report.last_error.clone(),
        last_taken: report.last_taken.map(Timestamp::to_rfc3339),
        next_attempt: report.next_attempt.map(Timestamp::to_rfc3339),
    }
}
