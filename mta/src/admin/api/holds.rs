//! Standing holds.

use axum::extract::{Extension, Json, State};
use utoipa_axum::routes;

use crate::access::Caller;
use crate::admin::{Acted, HoldMade, HoldOrder, HoldRow, MailKind};

use super::{
    Answer, Asked, Front, ListQuery, Named, Ordered, Page, Problem, Routes, audited, reason, told,
};

pub(super) fn reading() -> Routes {
    Routes::new().routes(routes!(holds))
}

pub(super) fn operating() -> Routes {
    Routes::new().routes(routes!(hold)).routes(routes!(release))
}

/// Standing holds, oldest first.
#[utoipa::path(
    get, path = "/api/v1/holds", tag = "queue",
    params(ListQuery),
    responses((status = 200, body = Page<HoldRow>)),
)]
async fn holds(
    State(front): State<Front>,
    Asked(query): Asked<ListQuery>,
) -> Answer<Page<HoldRow>> {
    query.page(front.control.standing_holds(), &["id"]).map(Json)
}

/// Holds mail of a kind: what waits, and what comes.
#[utoipa::path(
    post, path = "/api/v1/holds", tag = "queue",
    request_body = HoldOrder,
    responses((status = 200, body = HoldMade)),
)]
async fn hold(
    State(front): State<Front>,
    Extension(caller): Extension<Caller>,
    Ordered(order): Ordered<HoldOrder>,
) -> Answer<HoldMade> {
    of_hold(&front, caller, order).await.map(Json)
}

/// Ends a standing hold, and releases what it holds.
#[utoipa::path(
    delete, path = "/api/v1/holds/{id}", tag = "queue",
    params(("id" = String, Path, description = "Its name.")),
    responses((status = 200, body = Acted)),
)]
async fn release(
    State(front): State<Front>,
    Extension(caller): Extension<Caller>,
    Named(id): Named<String>,
) -> Answer<Acted> {
    hold_ended(&front, caller, id).await.map(Json)
}

/// Holds mail of a kind, as the audit log tells; or tells how much that waits it would be.
pub async fn of_hold(
    front: &Front,
    caller: Caller,
    mut order: HoldOrder,
) -> Result<HoldMade, Problem> {
    let said = told(&order);
    if order.kind == MailKind::default() && !order.all {
        let why =
            "the kind names nothing, which would mean all mail: say which, or `\"all\": true`";
        return Err(Problem::question(why));
    }
    if order.dry_run {
        return Ok(front.control.stand(order).await?);
    }
    reason(&order.why)?;
    order.who.clone_from(&caller.name);
    let control = front.control.clone();
    let act = async move { Ok(control.stand(order).await?) };
    audited(front, caller, "POST /api/v1/holds".to_owned(), said, act).await
}

/// Ends a standing hold, as the audit log tells.
pub async fn hold_ended(front: &Front, caller: Caller, id: String) -> Result<Acted, Problem> {
    let what = format!("DELETE /api/v1/holds/{id}");
    let control = front.control.clone();
    let act = async move { Ok(control.end_standing(id).await?) };
    audited(front, caller, what, serde_json::Value::Null, act).await
}
