//! Who is asking: a token over the network, or the relay's own user at the control socket.

use std::net::IpAddr;

use axum::extract::{Extension, Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::access::{Caller, Denied, Scope};

use super::{Front, Problem};

/// Header in which the command line says who runs it; believed at the control socket alone.
pub const WHO: &str = "tambo-who";
/// Octets of that name which are kept.
const WHO_MAX: usize = 64;

/// Where a connection came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The control socket.
    Socket,
    /// `admin.bind`.
    Network(IpAddr),
}

/// What a group of routes needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Any token that is known.
    Known,
    /// A token with this scope, or one that includes it.
    Scope(Scope),
}

/// Lets a request pass whose caller may do what the routes behind need; the caller goes along.
pub async fn admit(
    State((front, need)): State<(Front, Need)>,
    Extension(origin): Extension<Origin>,
    mut request: Request,
    next: Next,
) -> Response {
    match allowed(&front, need, origin, request.headers()) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

/// Who it is, if the need is met.
pub fn allowed(
    front: &Front,
    need: Need,
    origin: Origin,
    headers: &HeaderMap,
) -> Result<Caller, Problem> {
    let caller = caller(front, origin, headers)?;
    match need {
        Need::Scope(scope) if !caller.may(scope) => {
            let has: Vec<&str> = caller.scopes.iter().map(|scope| scope.word()).collect();
            Err(Problem::forbidden(format!(
                "this needs the scope `{scope}`, and the token \"{}\" has {}; `tambo token create` makes one that has it",
                caller.name,
                has.join(", ")
            )))
        }
        _ => Ok(caller),
    }
}

fn caller(front: &Front, origin: Origin, headers: &HeaderMap) -> Result<Caller, Denied> {
    let from = match origin {
        Origin::Socket => return Ok(Caller::local(who(headers))),
        Origin::Network(from) => from,
    };
    let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = shown.and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    // Something that is no token was shown: it counts as a wrong one.
    let token = token.or_else(|| headers.contains_key(header::AUTHORIZATION).then_some(""));
    front.access.caller(token, from)
}

/// The name that the command line gives, bounded and on one line.
fn who(headers: &HeaderMap) -> String {
    let name = headers.get(WHO).map_or("local".into(), |it| String::from_utf8_lossy(it.as_bytes()));
    name.chars().filter(|it| !it.is_control()).take(WHO_MAX).collect()
}
