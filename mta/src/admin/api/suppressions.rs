//! Whom nothing is sent to.

use axum::extract::{Extension, Json, State};
use utoipa_axum::routes;

use crate::access::Caller;
use crate::admin::{
    SuppressionOrder, SuppressionQuery, SuppressionRemoval, SuppressionRow, SuppressionsAdded,
};

use super::{
    Answer, Asked, Front, Named, Ordered, Page, Problem, Routes, answer, audited, reason, told,
};

pub(super) fn reading() -> Routes {
    Routes::new().routes(routes!(list)).routes(routes!(of))
}

pub(super) fn operating() -> Routes {
    Routes::new().routes(routes!(add)).routes(routes!(remove))
}

/// The suppression list, by address.
#[utoipa::path(
    get, path = "/api/v1/suppressions", tag = "suppressions",
    params(SuppressionQuery),
    responses((status = 200, body = Page<SuppressionRow>)),
)]
async fn list(
    State(front): State<Front>,
    Asked(query): Asked<SuppressionQuery>,
) -> Answer<Page<SuppressionRow>> {
    answer(front.control.suppressions(query).await)
}

/// The entries of an address (or of `@example.pe`): of all accounts, and of each.
#[utoipa::path(
    get, path = "/api/v1/suppressions/{name}", tag = "suppressions",
    params(("name" = String, Path, description = "The address, or `@example.pe`.")),
    responses((status = 200, body = Vec<SuppressionRow>)),
)]
async fn of(State(front): State<Front>, Named(name): Named<String>) -> Answer<Vec<SuppressionRow>> {
    answer(front.control.suppressions_of(name).await)
}

/// Puts addresses on the list, all or none. What is in the queue for them is not sent either.
#[utoipa::path(
    post, path = "/api/v1/suppressions", tag = "suppressions",
    request_body = SuppressionOrder,
    responses((status = 200, body = SuppressionsAdded)),
)]
async fn add(
    State(front): State<Front>,
    Extension(caller): Extension<Caller>,
    Ordered(order): Ordered<SuppressionOrder>,
) -> Answer<SuppressionsAdded> {
    of_suppression(&front, caller, order).await.map(Json)
}

/// Puts addresses on the list.
pub async fn of_suppression(
    front: &Front,
    caller: Caller,
    mut order: SuppressionOrder,
) -> Result<SuppressionsAdded, Problem> {
    let said = told(&order);
    reason(&order.why)?;
    order.who.clone_from(&caller.name);
    let control = front.control.clone();
    let act = async move { Ok(control.suppress(order).await?) };
    audited(front, caller, "POST /api/v1/suppressions".to_owned(), said, act).await
}

/// Takes an address off the list, and forgets what servers said of it. Answers with what was removed.
#[utoipa::path(
    delete, path = "/api/v1/suppressions/{name}", tag = "suppressions",
    params(
        ("name" = String, Path, description = "The address, or `@example.pe`."),
        SuppressionRemoval,
    ),
    responses((status = 200, body = Vec<SuppressionRow>)),
)]
async fn remove(
    State(front): State<Front>,
    Extension(caller): Extension<Caller>,
    Named(name): Named<String>,
    Asked(removal): Asked<SuppressionRemoval>,
) -> Answer<Vec<SuppressionRow>> {
    of_unsuppression(&front, caller, name, removal).await.map(Json)
}

/// Takes an address off the list.
pub async fn of_unsuppression(
    front: &Front,
    caller: Caller,
    name: String,
    removal: SuppressionRemoval,
) -> Result<Vec<SuppressionRow>, Problem> {
    let (what, said) = (format!("DELETE /api/v1/suppressions/{name}"), told(&removal));
    let (control, who) = (front.control.clone(), caller.name.clone());
    let act = async move { Ok(control.unsuppress(name, removal, who).await?) };
    audited(front, caller, what, said, act).await
}
