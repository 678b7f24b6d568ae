//! Mail handed in by programs.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use axum::body::to_bytes;
use axum::extract::{Extension, Json, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use tokio::sync::{Semaphore, SemaphorePermit};
use utoipa_axum::routes;

use crate::access::Caller;
use crate::admin::{SendOrder, Sent};
use crate::compose::Letter;
use crate::metrics::limit_hit;

use super::{Front, Problem, Routes};

/// Octets of a request: a message of the largest size, in base64, with its recipients.
const REQUEST_MAX: u32 = 48 * 1024 * 1024;
/// KiB of requests that are read and checked at a time: each is in memory about four times over.
const ROOM_KIB: u32 = 96 * 1024;
/// A request may wait this long for room before it is told to come back.
const ROOM_TIMEOUT: Duration = Duration::from_secs(30);
/// Time for a request to arrive.
const ARRIVAL_TIMEOUT: Duration = Duration::from_mins(5);
/// Octets of a request's own name.
const KEY_MAX: usize = 200;
/// Where that may stand.
const KEY_HEADER: &str = "idempotency-key";

static ROOM: Semaphore = Semaphore::const_new(ROOM_KIB as usize);

pub(super) fn sending() -> Routes {
    Routes::new().routes(routes!(send))
}

/// Sends a message, or one to each recipient: all of it is on disk when this answers, or nothing is.
#[utoipa::path(
    post, path = "/api/v1/messages", tag = "messages",
    params(("Idempotency-Key" = Option<String>, Header, description =
        "A name for this request, as `idempotency_key`: sent again within 24 hours it is answered as the first time.")),
    request_body = Letter,
    responses((status = 202, body = Sent)),
)]
async fn send(
    State(front): State<Front>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<(StatusCode, Json<Sent>), Problem> {
    let headers = request.headers().clone();
    is_json(&headers)?;
    let _room = room(&headers).await?;
    let body = to_bytes(request.into_body(), REQUEST_MAX as usize);
    let body = tokio::time::timeout(ARRIVAL_TIMEOUT, body).await;
    let body = body.map_err(|_| Problem::question("the request took too long to arrive"))?;
    let body = body.map_err(|error| too_large(&error.to_string()))?;
    let Json(letter) = Json::<Letter>::from_bytes(&body)?;
    let key = key(&headers, letter.idempotency_key.as_deref())?;
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, &body).as_ref());
    drop(body);
    let client = caller.from.parse().ok();
    let order = SendOrder { letter, account: caller.account, client, key, digest: hash };
    let sent = front.control.send(order).await?;
    Ok((StatusCode::ACCEPTED, Json(sent)))
}

fn is_json(headers: &HeaderMap) -> Result<(), Problem> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or("").trim();
    if kind.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(Problem::media_type("send `Content-Type: application/json`"))
}

/// Room for the request, which is given back when dropped.
async fn room(headers: &HeaderMap) -> Result<SemaphorePermit<'static>, Problem> {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let length = length.and_then(|text| text.parse::<u64>().ok());
    if length.is_some_and(|length| length > u64::from(REQUEST_MAX)) {
        return Err(too_large("it says so itself"));
    }
    let octets = length.and_then(|it| u32::try_from(it).ok()).unwrap_or(REQUEST_MAX);
    let wanted = ROOM.acquire_many(octets.div_ceil(1024).max(1));
    if let Ok(Ok(permit)) = tokio::time::timeout(ROOM_TIMEOUT, wanted).await {
        return Ok(permit);
    }
    limit_hit("requests_in_flight");
    Err(Problem::unavailable("too many requests are arriving at once: try again later"))
}

fn too_large(why: &str) -> Problem {
    limit_hit("request_size");
    Problem::too_large(format!("a request has at most {REQUEST_MAX} octets ({why})"))
}

/// The request's own name, from where it stands.
fn key(headers: &HeaderMap, field: Option<&str>) -> Result<Option<String>, Problem> {
    let header = headers.get(KEY_HEADER).map(|value| value.to_str().unwrap_or(""));
    let key = match (header, field) {
        (Some(header), Some(field)) if header != field => {
            let why = "the header Idempotency-Key and the field `idempotency_key` differ: give one of them";
            return Err(Problem::question(why));
        }
        (header, field) => header.or(field),
    };
    match key {
        Some(key) if !(1..=KEY_MAX).contains(&key.len()) || key.chars().any(char::is_control) => {
            let why = format!(
                "an idempotency key has 1 to {KEY_MAX} characters, none of them a control character"
            );
            Err(Problem::question(why))
        }
        key => Ok(key.map(ToOwned::to_owned)),
    }
}
