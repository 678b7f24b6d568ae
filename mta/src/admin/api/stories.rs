//! What became of messages, and how the relay is.

use axum::extract::{Json, State};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::routes;

use crate::admin::{Status, Story};
use crate::message::Event;

use super::{Answer, Asked, Front, Named, Routes, answer};

pub(super) fn reading() -> Routes {
    Routes::new().routes(routes!(story)).routes(routes!(trace)).routes(routes!(status))
}

/// The whole story of a message: what became of each recipient, what it waits for, what happened in order.
#[utoipa::path(
    get, path = "/api/v1/messages/{id}", tag = "messages",
    params(("id" = String, Path, description = "Tambo's id, or the Message-ID.")),
    responses((status = 200, body = Story)),
)]
async fn story(State(front): State<Front>, Named(id): Named<String>) -> Answer<Story> {
    answer(front.control.story(id).await)
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct TraceQuery {
    /// Tambo's id, `<Message-ID>`, an address, or `tag:TAG`.
    of: String,
}

/// The events of a message, a recipient, a sender or a tag, oldest first; of more than a thousand, the newest.
#[utoipa::path(
    get, path = "/api/v1/trace", tag = "messages",
    params(TraceQuery),
    responses((status = 200, body = Vec<Event>)),
)]
async fn trace(State(front): State<Front>, Asked(query): Asked<TraceQuery>) -> Answer<Vec<Event>> {
    answer(front.control.trace(query.of).await)
}

/// How the relay is.
#[utoipa::path(
    get, path = "/api/v1/status", tag = "relay",
    responses((status = 200, body = Status)),
)]
async fn status(State(front): State<Front>) -> Json<Status> {
    Json(front.control.status())
}
