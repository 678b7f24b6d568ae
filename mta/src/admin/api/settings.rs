//! The configuration in force, and reading it again.

use axum::extract::{Extension, Json, State};
use utoipa_axum::routes;

use crate::access::Caller;
use crate::admin::{AccountRow, BlocklistRow, PoolRow, ProviderRow, Reloaded, SettingRow};

use super::{Answer, Asked, Front, ListQuery, Page, Problem, Routes, audited};

pub(super) fn reading() -> Routes {
    Routes::new()
        .routes(routes!(settings))
        .routes(routes!(accounts))
        .routes(routes!(pools))
        .routes(routes!(providers))
        .routes(routes!(blocklists))
}

pub(super) fn operating() -> Routes {
    Routes::new().routes(routes!(reload))
}

/// Each key of the configuration that is in force, with where its value was decided.
#[utoipa::path(
    get, path = "/api/v1/settings", tag = "settings",
    params(ListQuery),
    responses((status = 200, body = Page<SettingRow>)),
)]
async fn settings(
    State(front): State<Front>,
    Asked(query): Asked<ListQuery>,
) -> Answer<Page<SettingRow>> {
    query.page(front.control.settings(), &["section", "number", "key"]).map(Json)
}

/// Those who submit mail.
#[utoipa::path(
    get, path = "/api/v1/accounts", tag = "settings",
    params(ListQuery),
    responses((status = 200, body = Page<AccountRow>)),
)]
async fn accounts(
    State(front): State<Front>,
    Asked(query): Asked<ListQuery>,
) -> Answer<Page<AccountRow>> {
    let mut rows = front.control.accounts();
    for (token, _) in front.access.tokens() {
        let account = rows.iter_mut().find(|row| Some(&row.name) == token.account.as_ref());
        if let Some(account) = account {
            account.tokens.push(token.name);
        }
    }
    query.page(rows, &["name"]).map(Json)
}

/// The pools of sources, as they are configured.
#[utoipa::path(
    get, path = "/api/v1/pools", tag = "sources",
    params(ListQuery),
    responses((status = 200, body = Page<PoolRow>)),
)]
async fn pools(
    State(front): State<Front>,
    Asked(query): Asked<ListQuery>,
) -> Answer<Page<PoolRow>> {
    query.page(front.control.pools(), &["name"]).map(Json)
}

/// Everyone (`other`) and each provider, with the limits that are configured for them.
#[utoipa::path(
    get, path = "/api/v1/providers", tag = "sources",
    params(ListQuery),
    responses((status = 200, body = Page<ProviderRow>)),
)]
async fn providers(
    State(front): State<Front>,
    Asked(query): Asked<ListQuery>,
) -> Answer<Page<ProviderRow>> {
    query.page(front.control.providers(), &["name"]).map(Json)
}

/// The blocklists that are asked about our addresses and domains, and what they say.
#[utoipa::path(
    get, path = "/api/v1/blocklists", tag = "sources",
    params(ListQuery),
    responses((status = 200, body = Page<BlocklistRow>)),
)]
async fn blocklists(
    State(front): State<Front>,
    Asked(query): Asked<ListQuery>,
) -> Answer<Page<BlocklistRow>> {
    query.page(front.control.blocklists(), &["name"]).map(Json)
}

/// Reads the configuration file again, as SIGHUP does. A bad one changes nothing and is told.
#[utoipa::path(
    post, path = "/api/v1/settings/reload", tag = "settings",
    responses((status = 200, body = Reloaded)),
)]
async fn reload(
    State(front): State<Front>,
    Extension(caller): Extension<Caller>,
) -> Answer<Reloaded> {
    of_reload(&front, caller).await.map(Json)
}

/// Reads the configuration file again.
pub async fn of_reload(front: &Front, caller: Caller) -> Result<Reloaded, Problem> {
    let control = front.control.clone();
    let act = async move { Ok(control.reload().await?) };
    let what = "POST /api/v1/settings/reload".to_owned();
    audited(front, caller, what, serde_json::Value::Null, act).await
}
