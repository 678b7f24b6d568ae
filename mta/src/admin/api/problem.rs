//! What went wrong with a request, for programs and for people (RFC 9457).

use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::access::{Denied, TokenError, UserError};

use crate::admin::ControlError;
use crate::compose::Mistake;

/// An answer that is no success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Names the kind of problem; never changes: `urn:tambo:problem:not-found`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in a few words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What was wrong this time, and the mend.
    pub detail: String,
    /// Each mistake in what was handed in, with its place.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub errors: Vec<Mistake>,
    /// Seconds after which it may be tried again.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub retry_after: Option<u64>,
}

impl Problem {
    fn new(status: StatusCode, kind: &str, title: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:tambo:problem:{kind}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            errors: Vec::new(),
            retry_after: None,
        }
    }

    /// What was asked makes no sense.
    pub fn question(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "question", "The request makes no sense", detail)
    }

    /// There is no such thing.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "There is no such thing", detail)
    }

    /// It cannot be done as things are.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", "It cannot be done as things are", detail)
    }

    /// The token does not allow it.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "The token does not allow this", detail)
    }

    /// The disk or the spool does not answer.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "The relay cannot do it now",
            detail,
        )
    }

    /// The route takes other methods.
    pub fn method(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method",
            "The route does not take this method",
            detail,
        )
    }

    /// The body is something else than what is taken.
    pub fn media_type(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media-type", "The body is no JSON", detail)
    }

    /// The body is larger than what is taken.
    pub fn too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The request is too large", detail)
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.detail)
    }
}

impl From<ControlError> for Problem {
    fn from(error: ControlError) -> Self {
        match error {
            ControlError::Question(why) => Self::question(why),
            ControlError::NotFound(why) => Self::not_found(why),
            ControlError::Mistakes(errors) => {
                let detail = ControlError::Mistakes(errors.clone()).to_string();
                Self { errors, ..Self::question(detail) }
            }
            ControlError::Forbidden(why) => Self::forbidden(why),
            ControlError::TooMuch(why) => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, "too-much", "A limit is reached", why)
            }
            ControlError::Refused(why) => Self::conflict(why),
            ControlError::Spool(why) => Self::unavailable(why),
        }
    }
}

impl From<TokenError> for Problem {
    fn from(error: TokenError) -> Self {
        let detail = error.to_string();
        match error {
            TokenError::NoSuchToken => Self::not_found(detail),
            TokenError::Exists | TokenError::TooMany => Self::conflict(detail),
            TokenError::NotWritten(_) => Self::unavailable(detail),
            _ => Self::question(detail),
        }
    }
}

impl From<UserError> for Problem {
    fn from(error: UserError) -> Self {
        let detail = error.to_string();
        match error {
            UserError::NoSuchUser => Self::not_found(detail),
            UserError::Exists | UserError::TooMany => Self::conflict(detail),
            UserError::Busy | UserError::NotWritten(_) => Self::unavailable(detail),
            _ => Self::question(detail),
        }
    }
}

impl From<Denied> for Problem {
    fn from(error: Denied) -> Self {
        let detail = error.to_string();
        match error {
            Denied::Unknown => Self::new(
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "Who are you?",
                format!(
                    "{detail}: send `Authorization: Bearer TOKEN`; `tambo token create` on the relay makes one"
                ),
            ),
            Denied::TooOften(often) => Self {
                retry_after: Some(often.seconds()),
                ..Self::new(StatusCode::TOO_MANY_REQUESTS, "too-often", "Too many requests", detail)
            },
        }
    }
}

impl From<QueryRejection> for Problem {
    fn from(error: QueryRejection) -> Self {
        Self::question(error.body_text())
    }
}

impl From<PathRejection> for Problem {
    fn from(error: PathRejection) -> Self {
        Self::question(error.body_text())
    }
}

impl From<JsonRejection> for Problem {
    fn from(error: JsonRejection) -> Self {
        let text = error.body_text();
        match error.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Self::too_large(text),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                Self::media_type(format!("{text}: send `Content-Type: application/json`"))
            }
            _ => Self::question(text),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        let kind = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, kind);
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
