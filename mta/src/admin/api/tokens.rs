//! Tokens: made, listed, revoked.

use axum::extract::{Extension, Json, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::access::{Caller, Scope, TokenRecord, TokenRequest};
use crate::message::Timestamp;

use super::{
    Answer, Asked, Front, ListQuery, Named, Ordered, Page, Problem, Routes, audited, told,
};

pub(super) fn administering() -> Routes {
    Routes::new().routes(routes!(list, create)).routes(routes!(revoke))
}

/// A token, without its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenRow {
    /// What it is called in lists and in the audit log.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// The account that it sends as.
    pub account: Option<String>,
    /// When it was made (RFC 3339).
    pub created: String,
    /// By whom.
    pub created_by: String,
    /// When it ends (RFC 3339); nothing: when it is revoked.
    pub expires: Option<String>,
    /// When it was last used since the relay was started (RFC 3339).
    pub last_used: Option<String>,
}

/// A token that is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenOrder {
    /// 1 to 64 of a-z, A-Z, 0-9, `.`, `_`, `-`.
    pub name: String,
    /// At least one.
    pub scopes: Vec<Scope>,
    /// The account that it sends as; needed for `send`.
    #[serde(default)]
    pub account: Option<String>,
    /// Ends after so many seconds; nothing: when it is revoked.
    #[serde(default)]
    #[schema(minimum = 1)]
    pub expires_in_seconds: Option<u64>,
}

/// A token that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NewToken {
    /// Its text: shown this once.
    pub token: String,
    /// What is known of it.
    #[serde(flatten)]
    pub row: TokenRow,
}

/// The tokens.
#[utoipa::path(
    get, path = "/api/v1/tokens", tag = "access",
    params(ListQuery),
    responses((status = 200, body = Page<TokenRow>)),
)]
async fn list(
    State(front): State<Front>,
    Asked(query): Asked<ListQuery>,
) -> Answer<Page<TokenRow>> {
    let rows = front.access.tokens();
    let rows = rows.into_iter().map(|(record, used)| row(record, used)).collect();
    query.page(rows, &["name"]).map(Json)
}

/// Makes a token. Its text is in the answer and nowhere else.
#[utoipa::path(
    post, path = "/api/v1/tokens", tag = "access",
    request_body = TokenOrder,
    responses((status = 201, body = NewToken)),
)]
async fn create(
    State(front): State<Front>,
    Extension(caller): Extension<Caller>,
    Ordered(order): Ordered<TokenOrder>,
) -> Result<(StatusCode, Json<NewToken>), Problem> {
    let made = token_made(&front, caller, order).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// Ends a token at once.
#[utoipa::path(
    delete, path = "/api/v1/tokens/{name}", tag = "access",
    params(("name" = String, Path, description = "The token.")),
    responses((status = 200, body = TokenRow)),
)]
async fn revoke(
    State(front): State<Front>,
    Extension(caller): Extension<Caller>,
    Named(name): Named<String>,
) -> Answer<TokenRow> {
    token_revoked(&front, caller, name).await.map(Json)
}

/// Makes a token, as the audit log tells (but its text).
pub async fn token_made(
    front: &Front,
    caller: Caller,
    order: TokenOrder,
) -> Result<NewToken, Problem> {
    if let Some(account) = &order.account
        && !front.control.has_account(account)
    {
        return Err(Problem::question(format!("there is no account \"{account}\"")));
    }
    let said = told(&order);
    let (access, by) = (front.access.clone(), caller.name.clone());
    let act = async move {
        let lasts = order.expires_in_seconds.map(std::time::Duration::from_secs);
        let expires = lasts.map(|lasts| access.now().after(lasts));
        let TokenOrder { name, scopes, account, .. } = order;
        let request = TokenRequest { name, scopes, account, expires };
        let (token, record) = access.create_token(request, &by).await?;
        Ok(Hidden(NewToken { token, row: row(record, None) }))
    };
    let made = audited(front, caller, "POST /api/v1/tokens".to_owned(), said, act).await?;
    Ok(made.0)
}

/// Ends a token, as the audit log tells.
pub async fn token_revoked(
    front: &Front,
    caller: Caller,
    name: String,
) -> Result<TokenRow, Problem> {
    let (access, what) = (front.access.clone(), format!("DELETE /api/v1/tokens/{name}"));
    let act = async move { Ok(row(access.revoke_token(&name).await?, None)) };
    audited(front, caller, what, serde_json::Value::Null, act).await
}

/// What the audit log is told of a new token: everything but its text.
struct Hidden(NewToken);

impl Serialize for Hidden {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.row.serialize(serializer)
    }
}

fn row(record: TokenRecord, used: Option<Timestamp>) -> TokenRow {
    let time = |millis| Timestamp::from_millis(millis).to_rfc3339();
    TokenRow {
        name: record.name,
        scopes: record.scopes,
        account: record.account,
        created: time(record.created),
        created_by: record.created_by,
        expires: record.expires.map(time),
        last_used: used.map(Timestamp::to_rfc3339),
    }
}
