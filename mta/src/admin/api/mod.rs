//! `/api/v1`: what a program or a person may ask and order, as JSON over HTTP. The same routes answer at the
//! control socket, for the command line, and at `admin.bind`, for whoever has a token.
//!
//! Routes stand in groups by the scope that they need, and the description of them (OpenAPI 3.1) is made of the
//! same groups: neither can say what the other does not do.

#![allow(unused_qualifications, reason = "what the macro writes for each route is qualified")]

mod audit;
mod caller;
mod document;
mod events;
mod holds;
mod numbers;
mod paging;
mod probes;
mod problem;
mod queue;
mod reports;
mod sending;
mod settings;
mod sources;
mod stories;
mod suppressions;
mod tokens;
mod users;
mod webhooks;
mod wire;

pub use caller::{Need, Origin, WHO, allowed};
pub use paging::{ListQuery, Page};
pub use problem::Problem;
pub use queue::SummaryPage;
pub use tokens::{NewToken, TokenOrder, TokenRow};
pub use users::{UserChange, UserOrder, UserRow};

/// What may be ordered, by whoever may: each is written into the audit log with what came of it.
pub mod orders {
    pub use super::holds::{hold_ended, of_hold};
    pub use super::queue::of_queue;
    pub use super::settings::of_reload;
    pub use super::sources::{of_release, of_source, of_swap};
    pub use super::suppressions::{of_suppression, of_unsuppression};
    pub use super::tokens::{token_made, token_revoked};
    pub use super::users::{added, changed, removed, row, session_ended, sessions_ended};
}

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Json, Path, Query};
use axum::http::{HeaderValue, Method, Uri, header};
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::Response;
use serde::Serialize;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use crate::access::{Access, Caller, Scope};

use super::{Control, ControlError};

/// Octets of a request's body; orders are small.
const BODY_MAX: usize = 256 * 1024;

/// What stands behind the routes.
#[derive(Clone)]
pub struct Front {
    /// The relay.
    pub control: Arc<dyn Control>,
    /// Who may ask and act.
    pub access: Arc<Access>,
}

/// All routes with their description.
pub fn api(front: &Front) -> Router {
    described(front).0
}

/// The same, with what is told of it.
fn described(front: &Front) -> (Router, OpenApi) {
    let groups = [
        (Scope::Read, reading()),
        (Scope::Send, sending::sending()),
        (Scope::Operate, operating()),
        (Scope::Admin, administering()),
    ];
    let mut document = document::begun();
    let mut router = Router::new();
    for (scope, group) in groups {
        let (group, mut described) = group.split_for_parts();
        document::secure(&mut described, scope);
        document.merge(described);
        let need = (front.clone(), Need::Scope(scope));
        router = router.merge(group.route_layer(from_fn_with_state(need, caller::admit)));
    }
    document::finish(&mut document);
    let pages = document::pages(&document)
        .route_layer(from_fn_with_state((front.clone(), Need::Known), caller::admit));
    let router = router
        .merge(pages)
        .fallback(nothing_here)
        .method_not_allowed_fallback(not_so)
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(map_response(unsniffed))
        .with_state(front.clone());
    (router, document)
}

fn reading() -> Routes {
    queue::reading()
        .merge(holds::reading())
        .merge(sources::reading())
        .merge(stories::reading())
        .merge(events::reading())
        .merge(wire::reading())
        .merge(numbers::reading())
        .merge(reports::reading())
        .merge(webhooks::reading())
        .merge(suppressions::reading())
        .merge(settings::reading())
}

fn operating() -> Routes {
    queue::operating()
        .merge(holds::operating())
        .merge(sources::operating())
        .merge(probes::operating())
        .merge(webhooks::operating())
        .merge(suppressions::operating())
        .merge(settings::operating())
}

fn administering() -> Routes {
    tokens::administering().merge(users::administering()).merge(audit::administering())
}

async fn nothing_here(uri: Uri) -> Problem {
    Problem::not_found(format!("there is no {}; /api/v1 tells what there is", uri.path()))
}

async fn not_so(method: Method, uri: Uri) -> Problem {
    Problem::method(format!("{} does not take {method}; /api/v1 tells what it takes", uri.path()))
}

type Routes = OpenApiRouter<Front>;

/// An answer, or what was wrong.
type Answer<T> = Result<Json<T>, Problem>;

/// Parameters of a query; what cannot be read is a [`Problem`].
#[derive(Debug, FromRequestParts)]
#[from_request(via(Query), rejection(Problem))]
struct Asked<T>(T);

/// The part of a path that stands for a name; what cannot be read is a [`Problem`].
#[derive(Debug, FromRequestParts)]
#[from_request(via(Path), rejection(Problem))]
struct Named<T>(T);

/// The body of a request; what cannot be read is a [`Problem`].
#[derive(Debug, FromRequest)]
#[from_request(via(Json), rejection(Problem))]
struct Ordered<T>(T);

/// Does what changes something: written into the audit log before, what came of it after. It is done to its
/// end also when whoever asked goes away.
async fn audited<T: Serialize + Send + 'static>(
    front: &Front,
    caller: Caller,
    what: String,
    order: serde_json::Value,
    act: impl Future<Output = Result<T, Problem>> + Send + 'static,
) -> Result<T, Problem> {
    let access = Arc::clone(&front.access);
    let done = tokio::spawn(async move {
        let number = access.note(&caller, &what, order).await.map_err(Problem::unavailable)?;
        let done = act.await;
        let outcome = match &done {
            Ok(value) => serde_json::to_value(value).unwrap_or_default(),
            Err(problem) => serde_json::json!({ "error": problem.detail }),
        };
        if let Err(error) = access.note_outcome(&caller, number, outcome).await {
            tracing::error!(number, %error, "what came of an order is not in the audit log");
        }
        done
    });
    done.await.map_err(|error| Problem::unavailable(error.to_string()))?
}

/// An order as it stands in the audit log.
fn told(order: &impl Serialize) -> serde_json::Value {
    serde_json::to_value(order).unwrap_or_default()
}

/// Whether a reason is given.
fn reason(why: &str) -> Result<(), Problem> {
    if why.trim().is_empty() {
        let why = "`why` is empty: it stands in the events, for those who ask later";
        return Err(Problem::question(why));
    }
    Ok(())
}

/// `ana: the provider asked for it`
fn signed(caller: &Caller, why: &str) -> Result<String, Problem> {
    reason(why)?;
    Ok(format!("{}: {why}", caller.name))
}

fn answer<T>(result: Result<T, ControlError>) -> Answer<T> {
    result.map(Json).map_err(Problem::from)
}

/// Answers hold what strangers wrote: no browser may take them for something else than they are.
async fn unsniffed(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
pub mod tests;
