//! The addresses that mail is sent from, what is halted where, and how warm they are.

use axum::extract::{Extension, Json, State};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::routes;

use crate::access::Caller;
use crate::admin::{
    AmissRow, Explanation, ForecastAnswer, ForecastQuestion, HaltRow, NamesRow, ReleaseOrder,
    Released, SourceAnswer, SourceDone, SourceOrder, SourceRow, SwapAnswer, SwapOrder, WarmUpRow,
};

use super::{
    Answer, Asked, Front, ListQuery, Named, Ordered, Page, Problem, Routes, answer, audited,
    signed, told,
};

pub(super) fn reading() -> Routes {
    Routes::new()
        .routes(routes!(sources))
        .routes(routes!(source))
        .routes(routes!(amiss))
        .routes(routes!(halts))
        .routes(routes!(warm_up))
        .routes(routes!(forecast))
        .routes(routes!(explain))
}

pub(super) fn operating() -> Routes {
    Routes::new()
        .routes(routes!(act))
        .routes(routes!(look_at_names))
        .routes(routes!(swap))
        .routes(routes!(release))
}

/// The sources.
#[utoipa::path(
    get, path = "/api/v1/sources", tag = "sources",
    params(ListQuery),
    responses((status = 200, body = Page<SourceRow>)),
)]
async fn sources(
    State(front): State<Front>,
    Asked(query): Asked<ListQuery>,
) -> Answer<Page<SourceRow>> {
    query.page(front.control.sources().await?, &["name"]).map(Json)
}

/// A source and its paths.
#[utoipa::path(
    get, path = "/api/v1/sources/{name}", tag = "sources",
    params(("name" = String, Path, description = "The source.")),
    responses((status = 200, body = SourceAnswer)),
)]
async fn source(State(front): State<Front>, Named(name): Named<String>) -> Answer<SourceAnswer> {
    answer(front.control.source(name).await)
}

/// Each source at each site where something is amiss, or where a server has taught us to send less: a thousand at most.
#[utoipa::path(
    get, path = "/api/v1/paths/amiss", tag = "sources",
    params(ListQuery),
    responses((status = 200, body = Page<AmissRow>)),
)]
async fn amiss(
    State(front): State<Front>,
    Asked(query): Asked<ListQuery>,
) -> Answer<Page<AmissRow>> {
    query.page(front.control.paths_amiss(), &["source", "site", "pool"]).map(Json)
}

/// Looks now at the names of a source: whether the name of its address leads back to it, and is the one in EHLO. Nothing
/// is changed.
#[utoipa::path(
    post, path = "/api/v1/sources/{name}/names", tag = "sources",
    params(("name" = String, Path, description = "The source.")),
    responses((status = 200, body = NamesRow)),
)]
async fn look_at_names(State(front): State<Front>, Named(name): Named<String>) -> Answer<NamesRow> {
    answer(front.control.look_at_names(name).await)
}

/// Suspends, resumes or drains a source, everywhere or at one site.
#[utoipa::path(
    post, path = "/api/v1/sources/{name}/actions", tag = "sources",
    params(("name" = String, Path, description = "The source.")),
    request_body = SourceOrder,
    responses((status = 200, body = SourceDone)),
)]
async fn act(
    State(front): State<Front>,
    Extension(caller): Extension<Caller>,
    Named(name): Named<String>,
    Ordered(order): Ordered<SourceOrder>,
) -> Answer<SourceDone> {
    of_source(&front, caller, name, order).await.map(Json)
}

/// Suspends, resumes or drains a source.
pub async fn of_source(
    front: &Front,
    caller: Caller,
    name: String,
    mut order: SourceOrder,
) -> Result<SourceDone, Problem> {
    let (said, what) = (told(&order), format!("POST /api/v1/sources/{name}/actions"));
    order.why = signed(&caller, &order.why)?;
    let control = front.control.clone();
    let act = async move { Ok(control.act_on_source(name, order).await?) };
    audited(front, caller, what, said, act).await
}

/// Takes a source out of its pools and a standby in, or tells what would come of it.
#[utoipa::path(
    post, path = "/api/v1/sources/{name}/swap", tag = "sources",
    params(("name" = String, Path, description = "The source that leaves.")),
    request_body = SwapOrder,
    responses((status = 200, body = SwapAnswer)),
)]
async fn swap(
    State(front): State<Front>,
    Extension(caller): Extension<Caller>,
    Named(name): Named<String>,
    Ordered(order): Ordered<SwapOrder>,
) -> Answer<SwapAnswer> {
    of_swap(&front, caller, name, order).await.map(Json)
}

/// Swaps a source, or tells what would come of it.
pub async fn of_swap(
    front: &Front,
    caller: Caller,
    name: String,
    mut order: SwapOrder,
) -> Result<SwapAnswer, Problem> {
    let (said, what) = (told(&order), format!("POST /api/v1/sources/{name}/swap"));
    order.why = signed(&caller, &order.why)?;
    if order.dry_run {
        return Ok(front.control.swap(name, order).await?);
    }
    let control = front.control.clone();
    let act = async move { Ok(control.swap(name, order).await?) };
    audited(front, caller, what, said, act).await
}

/// Sending domains and campaigns that wait at a site because it will have nothing of them.
#[utoipa::path(
    get, path = "/api/v1/halts", tag = "sources",
    params(ListQuery),
    responses((status = 200, body = Page<HaltRow>)),
)]
async fn halts(
    State(front): State<Front>,
    Asked(query): Asked<ListQuery>,
) -> Answer<Page<HaltRow>> {
    query.page(front.control.halts().await?, &["site", "kind", "name"]).map(Json)
}

/// Has something that is halted at a site go on.
#[utoipa::path(
    post, path = "/api/v1/halts/release", tag = "sources",
    request_body = ReleaseOrder,
    responses((status = 200, body = Released)),
)]
async fn release(
    State(front): State<Front>,
    Extension(caller): Extension<Caller>,
    Ordered(order): Ordered<ReleaseOrder>,
) -> Answer<Released> {
    of_release(&front, caller, order).await.map(Json)
}

/// Has something that is halted go on.
pub async fn of_release(
    front: &Front,
    caller: Caller,
    mut order: ReleaseOrder,
) -> Result<Released, Problem> {
    let (said, what) = (told(&order), "POST /api/v1/halts/release".to_owned());
    order.why = signed(&caller, &order.why)?;
    let control = front.control.clone();
    let act = async move { Ok(control.release(order).await?) };
    audited(front, caller, what, said, act).await
}

/// Each source at each site that is not warm yet.
#[utoipa::path(
    get, path = "/api/v1/warm-up", tag = "sources",
    params(ListQuery),
    responses((status = 200, body = Page<WarmUpRow>)),
)]
async fn warm_up(
    State(front): State<Front>,
    Asked(mut query): Asked<ListQuery>,
) -> Answer<Page<WarmUpRow>> {
    let rows = front.control.warm_up(query.filters.remove("pool")).await?;
    query.page(rows, &["source", "site", "pool"]).map(Json)
}

/// How many days a mailing takes from a pool as it is now.
#[utoipa::path(
    get, path = "/api/v1/forecast", tag = "sources",
    params(ForecastQuestion),
    responses((status = 200, body = ForecastAnswer)),
)]
async fn forecast(
    State(front): State<Front>,
    Asked(question): Asked<ForecastQuestion>,
) -> Answer<ForecastAnswer> {
    answer(front.control.forecast(question).await)
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ExplainQuery {
    /// Whom mail would go to.
    recipient: String,
    /// From which pool; the default one when not given.
    pool: Option<String>,
}

/// Where mail to somebody would go now, and what stands in its way.
#[utoipa::path(
    get, path = "/api/v1/explain", tag = "sources",
    params(ExplainQuery),
    responses((status = 200, body = Explanation)),
)]
async fn explain(
    State(front): State<Front>,
    Asked(query): Asked<ExplainQuery>,
) -> Answer<Explanation> {
    answer(front.control.explain(query.recipient, query.pool).await)
}
