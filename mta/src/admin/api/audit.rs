//! The book of what was changed.

use axum::extract::{Json, State};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::routes;

use crate::access::AuditEntry;

use super::{Answer, Asked, Front, Page, Problem, Routes};

/// Entries of a page when nobody says.
const PAGE: usize = 100;
/// Entries of a page at most.
const PAGE_MAX: usize = 1_000;

pub(super) fn administering() -> Routes {
    Routes::new().routes(routes!(list))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct AuditQuery {
    /// Entries at most: 100 when not given.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// `next` of the page before.
    from: Option<String>,
}

/// Who changed what, newest first. `tambo audit verify` reads the book through.
#[utoipa::path(
    get, path = "/api/v1/audit", tag = "access",
    params(AuditQuery),
    responses((status = 200, body = Page<AuditEntry>)),
)]
async fn list(
    State(front): State<Front>,
    Asked(query): Asked<AuditQuery>,
) -> Answer<Page<AuditEntry>> {
    let limit = query.limit.unwrap_or(PAGE);
    if !(1..=PAGE_MAX).contains(&limit) {
        return Err(Problem::question(format!("limit is a number from 1 to {PAGE_MAX}")));
    }
    let wrong = |_| Problem::question("from is not the `next` of a page before");
    let before: Option<u64> = query.from.map(|from| from.parse()).transpose().map_err(wrong)?;
    let access = front.access.clone();
    let read = tokio::task::spawn_blocking(move || access.audit(before, limit)).await;
    let rows = read.map_err(|error| Problem::unavailable(error.to_string()))?;
    let rows = rows.map_err(Problem::unavailable)?;
    let next = rows.last().filter(|last| rows.len() == limit && last.number > 1);
    let next = next.map(|last| last.number.to_string());
    Ok(Json(Page { rows, next }))
}
