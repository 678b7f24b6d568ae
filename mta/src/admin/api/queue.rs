//! What waits, and what may be done to it.

use axum::extract::{Extension, Json, State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::access::Caller;
use crate::admin::{Acted, GroupBy, GroupRow, Order, QueueQuery, QueueSummary, Row};

use super::{
    Answer, Asked, Front, ListQuery, Ordered, Page, Problem, Routes, answer, audited, reason, told,
};

pub(super) fn reading() -> Routes {
    Routes::new().routes(routes!(queue)).routes(routes!(summary))
}

pub(super) fn operating() -> Routes {
    Routes::new().routes(routes!(act))
}

/// Deliveries that have not ended, in order of acceptance.
#[utoipa::path(
    get, path = "/api/v1/queue", tag = "queue",
    params(QueueQuery),
    responses((status = 200, body = Page<Row>)),
)]
async fn queue(State(front): State<Front>, Asked(query): Asked<QueueQuery>) -> Answer<Page<Row>> {
    answer(front.control.queue(query).await)
}

/// A page of groups that wait.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct SummaryPage {
    /// When it was counted (RFC 3339): a moment ago, the longer the more waits.
    pub counted_at: String,
    /// Everything.
    pub all: GroupRow,
    /// The groups.
    pub rows: Vec<GroupRow>,
    /// Where the next page begins (`from`); nothing: this is the last.
    pub next: Option<String>,
}

/// Who waits: counts, the oldest, the next attempt and the last reply of each site, domain, account, tag or pool.
#[utoipa::path(
    get, path = "/api/v1/queue/summary", tag = "queue",
    params(("by" = Option<GroupBy>, Query, description = "`site` when not given."), ListQuery),
    responses((status = 200, body = SummaryPage)),
)]
async fn summary(
    State(front): State<Front>,
    Asked(mut query): Asked<ListQuery>,
) -> Answer<SummaryPage> {
    let by = match query.filters.remove("by") {
        None => GroupBy::default(),
        Some(word) => serde_json::from_value(word.into())
            .map_err(|_| Problem::question("by is one of site, domain, account, tag, pool"))?,
    };
    let QueueSummary { counted_at, all, groups } = front.control.summary(by).await?;
    let Page { rows, next } = query.page(groups, &["group"])?;
    Ok(Json(SummaryPage { counted_at, all, rows, next }))
}

/// Holds, releases, retries, bounces or reroutes deliveries.
#[utoipa::path(
    post, path = "/api/v1/queue/actions", tag = "queue",
    request_body = Order,
    responses((status = 200, body = Acted)),
)]
async fn act(
    State(front): State<Front>,
    Extension(caller): Extension<Caller>,
    Ordered(order): Ordered<Order>,
) -> Answer<Acted> {
    of_queue(&front, caller, order).await.map(Json)
}

/// Does something to deliveries that wait, or tells to how many it would be done.
pub async fn of_queue(front: &Front, caller: Caller, mut order: Order) -> Result<Acted, Problem> {
    let said = told(&order);
    if order.dry_run {
        return Ok(front.control.act(order).await?);
    }
    reason(&order.why)?;
    if order.query.means_everything() && !order.all {
        let why =
            "the query names nothing, which would mean everything: say which, or `\"all\": true`";
        return Err(Problem::question(why));
    }
    order.who.clone_from(&caller.name);
    let control = front.control.clone();
    let act = async move { Ok(control.act(order).await?) };
    let what = "POST /api/v1/queue/actions".to_owned();
    audited(front, caller, what, said, act).await
}
