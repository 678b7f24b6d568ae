//! The stylesheet, the script and the picture of the tab, compiled in. Their addresses hold a hash of what they say, so that browsers keep
//! them for a year and take the next version at once.

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use axum::Router;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::Web;

const STYLE: &str = include_str!("templates/style.css");
const SCRIPT: &str = include_str!("templates/live.js");
const ICON: &str = include_str!("templates/icon.svg");

static STYLE_PATH: LazyLock<String> = LazyLock::new(|| format!("/assets/{}.css", tag(STYLE)));
static SCRIPT_PATH: LazyLock<String> = LazyLock::new(|| format!("/assets/{}.js", tag(SCRIPT)));

/// Where the stylesheet is.
pub(super) fn style() -> &'static str {
    &STYLE_PATH
}

/// Where the script is.
pub(super) fn script() -> &'static str {
    &SCRIPT_PATH
}

/// They are for everybody.
pub(super) fn router() -> Router<Web> {
    let file = |text: &'static str, kind: &'static str| {
        get(move |headers: HeaderMap| async move { given(&headers, text, kind) })
    };
    Router::new()
        .route(style(), file(STYLE, "text/css; charset=utf-8"))
        .route(script(), file(SCRIPT, "text/javascript; charset=utf-8"))
        .route("/favicon.svg", file(ICON, "image/svg+xml"))
}

fn given(headers: &HeaderMap, text: &'static str, kind: &'static str) -> Response {
    let tag = format!("\"{}\"", tag(text));
    let keep = "public, max-age=31536000, immutable";
    let about = [(header::ETAG, tag.clone()), (header::CACHE_CONTROL, keep.to_owned())];
    if headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
        return (StatusCode::NOT_MODIFIED, about).into_response();
    }
    (about, [(header::CONTENT_TYPE, kind)], text).into_response()
}

fn tag(text: &str) -> String {
    let hash = digest(&SHA256, text.as_bytes());
    URL_SAFE_NO_PAD.encode(hash.as_ref().get(..12).unwrap_or_default())
}
