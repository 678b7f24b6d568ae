//! Pages that move: the figures of this moment as server-sent events, each a few small pieces of HTML by name.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use tokio::sync::watch;
use tokio::time::Instant;

use super::Web;
use super::frame::Frame;
use super::gate::{cookie_of, session_cookie};
use super::now;
use super::pulse::Figures;

/// A session that ended looks on for no longer than this; and web servers in between hear that the stream lives.
const CHECKED_EVERY: Duration = Duration::from_secs(15);

/// Figures as they move.
pub(super) async fn stream(
    State(web): State<Web>,
    Extension(frame): Extension<Frame>,
    headers: HeaderMap,
) -> Response {
    let session = cookie_of(&headers, session_cookie(&web.place)).unwrap_or("").to_owned();
    let mut figures = web.pulse.follow();
    figures.mark_changed();
    let looker = Looker { figures, web, frame, session, checked: Instant::now() };
    let body = Body::from_stream(stream::unfold(looker, Looker::next));
    let mut response = body.into_response();
    let kind = HeaderValue::from_static("text/event-stream");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    // nginx would gather what comes.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

struct Looker {
    figures: watch::Receiver<Arc<Figures>>,
    web: Web,
    frame: Frame,
    session: String,
    checked: Instant,
}

impl Looker {
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        let changed = tokio::time::timeout(CHECKED_EVERY, self.figures.changed()).await;
        if self.checked.elapsed() >= CHECKED_EVERY {
            let from = IpAddr::from([0, 0, 0, 0]);
            self.web.front.access.person(&self.session, from, false).await?;
            self.checked = Instant::now();
        }
        let said = match changed {
            Ok(Ok(())) => {
                let figures = Arc::clone(&self.figures.borrow_and_update());
                let pieces = now::pieces(&self.frame, &figures);
                format!("data: {}\n\n", serde_json::to_string(&pieces).unwrap_or_default())
            }
            Ok(Err(_)) => return None,
            Err(_) => ": alive\n\n".to_owned(),
        };
        Some((Ok(said.into()), self))
    }
}
