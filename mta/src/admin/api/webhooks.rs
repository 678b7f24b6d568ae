//! Webhooks: how they are, and from where on they send again.

use axum::extract::{Extension, Json, State};
use utoipa_axum::routes;

use crate::access::Caller;
use crate::admin::{ReplayOrder, Replayed, WebhookRow};

use super::{Answer, Asked, Front, ListQuery, Named, Ordered, Page, Routes, audited, reason, told};

pub(super) fn reading() -> Routes {
    Routes::new().routes(routes!(webhooks))
}

pub(super) fn operating() -> Routes {
    Routes::new().routes(routes!(replay))
}

/// The webhooks.
#[utoipa::path(
    get, path = "/api/v1/webhooks", tag = "events",
    params(ListQuery),
    responses((status = 200, body = Page<WebhookRow>)),
)]
async fn webhooks(
    State(front): State<Front>,
    Asked(query): Asked<ListQuery>,
) -> Answer<Page<WebhookRow>> {
    query.page(front.control.webhooks()?, &["name"]).map(Json)
}

/// Has a webhook send again what happened since, whatever its age, in order with what follows.
#[utoipa::path(
    post, path = "/api/v1/webhooks/{name}/replay", tag = "events",
    params(("name" = String, Path, description = "The webhook.")),
    request_body = ReplayOrder,
    responses((status = 200, body = Replayed)),
)]
async fn replay(
    State(front): State<Front>,
    Extension(caller): Extension<Caller>,
    Named(name): Named<String>,
    Ordered(order): Ordered<ReplayOrder>,
) -> Answer<Replayed> {
    let (said, what) = (told(&order), format!("POST /api/v1/webhooks/{name}/replay"));
    reason(&order.why)?;
    let control = front.control.clone();
    let act = async move { Ok(control.replay(name, order).await?) };
    audited(&front, caller, what, said, act).await.map(Json)
}
