//! The addresses that mail is sent from, what is halted where, and how warm they are.

use axum::extract::{Extension, Json, State};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::routes;

use crate::access::Caller;
use crate::admin::{
    Explanation, ForecastAnswer, ForecastQuestion, HaltRow, ReleaseOrder, Released, SourceAnswer,
    SourceDone, SourceOrder, SourceRow, SwapAnswer, SwapOrder, WarmUpRow,
};

use super::{
    Answer, Asked, Front, ListQuery, Named, Ordered, Page, Routes, answer, audited, signed, told,
};

pub(super) fn reading() -> Routes {
    Routes::new()
        .routes(routes!(sources))
        .routes(routes!(source))
        .routes(routes!(halts))
        .routes(routes!(warm_up))
        .routes(routes!(forecast))
        .routes(routes!(explain))
}

pub(super) fn operating() -> Routes {
    Routes::new().routes(routes!(act)).routes(routes!(swap)).routes(routes!(release))
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
    Ordered(mut order): Ordered<SourceOrder>,
) -> Answer<SourceDone> {
    let (said, what) = (told(&order), format!("POST /api/v1/sources/{name}/actions"));
    order.why = signed(&caller, &order.why)?;
    let control = front.control.clone();
    let act = async move { Ok(control.act_on_source(name, order).await?) };
    audited(&front, caller, what, said, act).await.map(Json)
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
    Ordered(mut order): Ordered<SwapOrder>,
) -> Answer<SwapAnswer> {
    let (said, what) = (told(&order), format!("POST /api/v1/sources/{name}/swap"));
    order.why = signed(&caller, &order.why)?;
    if order.dry_run {
        return answer(front.control.swap(name, order).await);
    }
    let control = front.control.clone();
    let act = async move { Ok(control.swap(name, order).await?) };
    audited(&front, caller, what, said, act).await.map(Json)
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
    Ordered(mut order): Ordered<ReleaseOrder>,
) -> Answer<Released> {
    let (said, what) = (told(&order), "POST /api/v1/halts/release".to_owned());
    order.why = signed(&caller, &order.why)?;
    let control = front.control.clone();
    let act = async move { Ok(control.release(order).await?) };
    audited(&front, caller, what, said, act).await.map(Json)
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
