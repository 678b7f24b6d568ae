//! Conversations with clients and servers, as they are held.

use axum::extract::{Extension, State};
use axum::http::HeaderMap;
use axum::response::Response;
use utoipa_axum::routes;

use crate::admin::{WireLine, WireQuery};

use super::events::streamed;
use super::{Asked, Front, Origin, Problem, Routes};

pub(super) fn reading() -> Routes {
    Routes::new().routes(routes!(wire))
}

/// What is said on connections with clients and servers, line by line, as server-sent events: `data` is a line as JSON.
/// Connections that are open already are seen from their next message on. Mail never waits: what comes faster than it is
/// read, or than 500 lines in a second, is left out and counted. Passwords and mail are never shown. The stream ends
/// when its time is over, with a line that says so.
#[utoipa::path(
    get, path = "/api/v1/wire", tag = "events",
    params(WireQuery),
    responses((status = 200, content_type = "text/event-stream", body = WireLine)),
)]
async fn wire(
    State(front): State<Front>,
    Extension(origin): Extension<Origin>,
    headers: HeaderMap,
    Asked(query): Asked<WireQuery>,
) -> Result<Response, Problem> {
    let flow = front.control.wire(query)?;
    Ok(streamed(flow, front, origin, headers))
}
