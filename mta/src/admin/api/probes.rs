//! Destinations are asked how they answer.

use axum::Json;
use axum::extract::{Extension, State};
use utoipa_axum::routes;

use crate::access::Caller;
use crate::admin::{ProbeAnswer, ProbeOrder};

use super::{Answer, Front, Ordered, Routes, audited, told};

pub(super) fn operating() -> Routes {
    Routes::new().routes(routes!(probe))
}

/// Connects to a destination as for mail, from each active source or from one, and tells every step: names, connection,
/// TLS, greeting, what is offered, and, for an address, whether it would be taken. No mail is sent; one at a time.
#[utoipa::path(
    post, path = "/api/v1/probes", tag = "sources",
    request_body = ProbeOrder,
    responses((status = 200, body = ProbeAnswer)),
)]
async fn probe(
    State(front): State<Front>,
    Extension(caller): Extension<Caller>,
    Ordered(order): Ordered<ProbeOrder>,
) -> Answer<ProbeAnswer> {
    let said = told(&order);
    let control = front.control.clone();
    let act = async move { Ok(control.probe(order).await?) };
    audited(&front, caller, "POST /api/v1/probes".to_owned(), said, act).await.map(Json)
}
