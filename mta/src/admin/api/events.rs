//! What happened, found by whatever names it, and what happens, as it happens.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use tokio::time::Instant;
use utoipa_axum::routes;

use crate::access::Scope;
use crate::admin::{EventFlow, EventQuery, FollowQuery, Found, MessageQuery, MessageRow, Passed};
use crate::message::Event;

use super::{Answer, Asked, Front, Need, Origin, Problem, Routes, allowed, answer};

/// A stream says that it lives when nothing else is said for so long: web servers in between close what is silent,
/// most of them after a minute.
const HEARTBEAT: Duration = Duration::from_secs(15);

pub(super) fn reading() -> Routes {
    Routes::new().routes(routes!(events)).routes(routes!(follow)).routes(routes!(messages))
}

/// Events that are kept, the newest first.
#[utoipa::path(
    get, path = "/api/v1/events", tag = "events",
    params(EventQuery),
    responses((status = 200, body = Found<Event>)),
)]
async fn events(
    State(front): State<Front>,
    Asked(query): Asked<EventQuery>,
) -> Answer<Found<Event>> {
    answer(front.control.events(query).await)
}

/// Events as they happen, about a second later, as server-sent events: `id` is the event's, `data` its JSON. An `id`
/// without `data` says how far the stream has come. Whoever comes back shows the last `id` and misses nothing.
#[utoipa::path(
    get, path = "/api/v1/events/stream", tag = "events",
    params(
        FollowQuery,
        ("Last-Event-ID" = Option<String>, Header, description = "Like `from`, as browsers send it; it counts before that."),
    ),
    responses((status = 200, content_type = "text/event-stream", body = String)),
)]
async fn follow(
    State(front): State<Front>,
    Extension(origin): Extension<Origin>,
    headers: HeaderMap,
    Asked(mut query): Asked<FollowQuery>,
) -> Result<Response, Problem> {
    if let Some(last) = headers.get("last-event-id") {
        let last = last.to_str().unwrap_or("?").trim();
        query.from = (!last.is_empty()).then(|| last.to_owned()).or(query.from);
    }
    let flow = front.control.follow(query)?;
    Ok(streamed(flow, front, origin, headers))
}

/// Messages of which events are kept, the newest first, each with what became of it.
#[utoipa::path(
    get, path = "/api/v1/messages", tag = "messages",
    params(MessageQuery),
    responses((status = 200, body = Found<MessageRow>)),
)]
async fn messages(
    State(front): State<Front>,
    Asked(query): Asked<MessageQuery>,
) -> Answer<Found<MessageRow>> {
    answer(front.control.messages(query).await)
}

/// What flows, as server-sent events, while whoever asked may read.
pub(super) fn streamed(
    flow: Box<dyn EventFlow>,
    front: Front,
    origin: Origin,
    headers: HeaderMap,
) -> Response {
    let reader = Reader { flow, front, origin, headers, checked: None };
    let body = Body::from_stream(stream::unfold(reader, Reader::next));
    let mut response = body.into_response();
    let kind = HeaderValue::from_static("text/event-stream");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    // nginx would gather what comes.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// Who reads a stream. It is asked for more when the connection has room.
struct Reader {
    flow: Box<dyn EventFlow>,
    front: Front,
    origin: Origin,
    headers: HeaderMap,
    /// When it was last seen that it still may.
    checked: Option<Instant>,
}

impl Reader {
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        // The first word comes at once: whoever asked sees that it works.
        let patience = self.checked.map_or(Duration::ZERO, |_| HEARTBEAT);
        let passed = self.flow.next(patience).await.ok()?;
        let checked = *self.checked.get_or_insert_with(Instant::now);
        if checked.elapsed() >= HEARTBEAT {
            // A token that was revoked reads on for no longer than this.
            allowed(&self.front, Need::Scope(Scope::Read), self.origin, &self.headers).ok()?;
            self.checked = Some(Instant::now());
        }
        Some((Ok(told(&passed).into()), self))
    }
}

fn told(passed: &Passed) -> String {
    let mut text = String::new();
    for (id, event) in &passed.events {
        let _ = write!(text, "id: {id}\ndata: {event}\n\n");
    }
    if passed.events.is_empty() {
        let _ = write!(text, "id: {}\n\n", passed.place);
    }
    text
}
