//! The web of the administrator: pages made on the server, a face of what the API does and nothing more.
//!
//! Each page stands in a group by the scope that it needs, as the routes of the API do; people come in with a session
//! (`access/people.rs`) in place of a token. Orders go through `admin::orders`, so that the audit log tells of them in
//! the same words. Nothing here needs scripts: where they run, [`live`] moves the figures. What the pages say stands
//! in one catalogue (`texts/`), in Spanish and English.

mod ask;
mod assets;
mod chart;
mod deliveries;
mod door;
mod forecast;
mod forms;
mod frame;
mod gate;
mod holds;
mod levers;
mod list;
mod live;
mod messages;
mod now;
mod orders;
mod people;
mod pulse;
mod queue;
mod queue_levers;
mod reports;
mod settings;
mod sources;
mod suppression;
mod table;
mod texts;
mod tokens;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::handler::Handler;
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::Response;
use axum::routing::{get, post};

use crate::access::Scope;
use crate::admin::Front;

use pulse::Pulse;

/// Octets of a form: a name, a reason, some hundred addresses.
const FORM_MAX: usize = 256 * 1024;

/// Which relay this is.
#[derive(Debug, Clone)]
pub struct Place {
    /// Its name, as pages and applications for codes show it.
    pub name: String,
    /// It is reached over TLS: cookies say that they want it.
    pub tls: bool,
}

/// What stands behind the pages.
#[derive(Clone)]
struct Web {
    front: Front,
    place: Arc<Place>,
    pulse: Arc<Pulse>,
}

/// All pages, and what must run for their figures to move.
pub fn web(front: &Front, place: Place) -> (Router, impl Future<Output = ()> + Send + 'static) {
    let pulse = Arc::new(Pulse::new(front.control.clone()));
    let web = Web { front: front.clone(), place: Arc::new(place), pulse: Arc::clone(&pulse) };
    (pages(&web).0, pulse.run())
}

/// The same, with the method, path and need of each page.
fn pages(web: &Web) -> (Router, Vec<(&'static str, &'static str, Scope)>) {
    let mut known = Vec::new();
    let mut router = Router::new();
    for (scope, group) in
        [(Scope::Read, reading()), (Scope::Operate, operating()), (Scope::Admin, administering())]
    {
        known.extend(group.known.iter().map(|(method, path)| (*method, *path, scope)));
        let need = (web.clone(), scope);
        router = router.merge(group.router.route_layer(from_fn_with_state(need, gate::admit)));
    }
    let router = router
        .merge(door::open().route_layer(from_fn_with_state(web.clone(), gate::greet)))
        .merge(assets::router())
        .layer(DefaultBodyLimit::max(FORM_MAX))
        .layer(map_response(gate::guarded))
        .with_state(web.clone());
    (router, known)
}

fn reading() -> Group {
    Group::default()
        .get("/", now::page)
        .get("/live", live::stream)
        .get("/sources", sources::page)
        .get("/sources/{name}", sources::one)
        .get("/forecast", forecast::page)
        .get("/queue", queue::page)
        .get("/queue/deliveries", deliveries::page)
        .get("/messages", messages::page)
        .get("/messages/{id}", messages::story)
        .get("/explain", messages::explain)
        .get("/bounces", reports::bounces)
        .get("/suppression", suppression::page)
        .get("/providers", settings::providers)
        .get("/reports", reports::page)
        .get("/reports/file", reports::file)
        .get("/settings", settings::in_force)
        .get("/settings/accounts", settings::accounts)
        .get("/account", door::account)
        .post("/account/password", door::change_password)
        .post("/account/second-factor", door::begin_second_factor)
        .post("/account/second-factor/confirm", door::confirm_second_factor)
        .post("/account/second-factor/remove", door::remove_second_factor)
        .post("/account/sessions/end", door::end_session)
        .post("/logout", door::log_out)
}

fn operating() -> Group {
    Group::default()
        .get("/sources/{name}/act", levers::ask)
        .post("/sources/{name}/act", levers::act)
        .post("/sources/{name}/names", sources::look_at_names)
        .get("/sources/{name}/swap", levers::ask_swap)
        .post("/sources/{name}/swap", levers::swap)
        .get("/halts/release", levers::ask_release)
        .post("/halts/release", levers::release)
        .get("/queue/act", queue_levers::ask)
        .post("/queue/act", queue_levers::act)
        .get("/queue/holds/release", holds::ask)
        .post("/queue/holds/release", holds::release)
        .post("/suppression/add", suppression::add)
        .post("/suppression/remove", suppression::remove)
        .post("/settings/reload", settings::reload)
}

fn administering() -> Group {
    Group::default()
        .get("/settings/users", people::users)
        .post("/settings/users/add", people::add_user)
        .post("/settings/users/change", people::change_user)
        .get("/settings/sessions/end", people::ask_session)
        .post("/settings/sessions/end", people::end_session)
        .get("/settings/tokens", tokens::page)
        .post("/settings/tokens/add", tokens::add)
        .get("/settings/tokens/revoke", tokens::ask)
        .post("/settings/tokens/revoke", tokens::revoke)
        .get("/settings/audit", settings::audit)
}

/// Pages that need the same.
#[derive(Default)]
struct Group {
    router: Router<Web>,
    known: Vec<(&'static str, &'static str)>,
}

impl Group {
    fn get<T: 'static, H: Handler<T, Web>>(mut self, path: &'static str, handler: H) -> Self {
        self.known.push(("GET", path));
        self.router = self.router.route(path, get(handler));
        self
    }

    fn post<T: 'static, H: Handler<T, Web>>(mut self, path: &'static str, handler: H) -> Self {
        self.known.push(("POST", path));
        self.router = self.router.route(path, post(handler));
        self
    }
}

/// A page, or what was wrong.
type Answer = Result<Response, gate::Trouble>;

#[cfg(test)]
mod tests;
