//! What events add up to.

use axum::extract::State;
use utoipa_axum::routes;

use crate::admin::{NumbersQuery, NumbersRow};

use super::{Answer, Asked, Front, Routes, answer};

pub(super) fn reading() -> Routes {
    Routes::new().routes(routes!(numbers))
}

/// What happened, added up by time and name, about two seconds behind. Steps in which nothing happened have no row; of
/// more than 10,000 rows there is no answer. Recipients that are accepted are delivered, bounced, expired or suppressed
/// later, maybe on another day.
#[utoipa::path(
    get, path = "/api/v1/numbers", tag = "numbers",
    params(NumbersQuery),
    responses((status = 200, body = Vec<NumbersRow>)),
)]
async fn numbers(
    State(front): State<Front>,
    Asked(query): Asked<NumbersQuery>,
) -> Answer<Vec<NumbersRow>> {
    answer(front.control.numbers(query).await)
}
