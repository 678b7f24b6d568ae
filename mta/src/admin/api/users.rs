//! People who may open the web: listed, added, given another password or role, removed.

use axum::extract::{Extension, Json, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::access::{Caller, Role, UserRecord, UserRequest};
use crate::message::Timestamp;

use super::{
    Answer, Asked, Front, ListQuery, Named, Ordered, Page, Problem, Routes, audited, told,
};

pub(super) fn administering() -> Routes {
    Routes::new().routes(routes!(list, add)).routes(routes!(change, remove))
}

/// A person who may open the web.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UserRow {
    /// The name.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// A code is asked for beside the password.
    pub second_factor: bool,
    /// When they were added (RFC 3339).
    pub created: String,
    /// By whom.
    pub created_by: String,
    /// When they last came in (RFC 3339).
    pub last_login: Option<String>,
}

/// A person who is to be added.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserOrder {
    /// 1 to 64 of a-z, 0-9, `.`, `_`, `-`, `@`.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// At least twelve characters.
    pub password: String,
}

/// What is to be changed of a person.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UserChange {
    /// Another password; their sessions end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// Another role.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// `false`: no code is asked for any more, as when a telephone is lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub second_factor: Option<bool>,
}

/// The people who may open the web.
#[utoipa::path(
    get, path = "/api/v1/users", tag = "access",
    params(ListQuery),
    responses((status = 200, body = Page<UserRow>)),
)]
async fn list(State(front): State<Front>, Asked(query): Asked<ListQuery>) -> Answer<Page<UserRow>> {
    let rows = front.access.users().into_iter().map(row).collect();
    query.page(rows, &["name"]).map(Json)
}

/// Adds a person.
#[utoipa::path(
    post, path = "/api/v1/users", tag = "access",
    request_body = UserOrder,
    responses((status = 201, body = UserRow)),
)]
async fn add(
    State(front): State<Front>,
    Extension(caller): Extension<Caller>,
    Ordered(order): Ordered<UserOrder>,
) -> Result<(StatusCode, Json<UserRow>), Problem> {
    added(&front, caller, order).await.map(|row| (StatusCode::CREATED, Json(row)))
}

/// Gives a person another password or role, or takes the second factor away.
#[utoipa::path(
    patch, path = "/api/v1/users/{name}", tag = "access",
    params(("name" = String, Path, description = "The person.")),
    request_body = UserChange,
    responses((status = 200, body = UserRow)),
)]
async fn change(
    State(front): State<Front>,
    Extension(caller): Extension<Caller>,
    Named(name): Named<String>,
    Ordered(order): Ordered<UserChange>,
) -> Answer<UserRow> {
    changed(&front, caller, name, order).await.map(Json)
}

/// Removes a person; their sessions end at once.
#[utoipa::path(
    delete, path = "/api/v1/users/{name}", tag = "access",
    params(("name" = String, Path, description = "The person.")),
    responses((status = 200, body = UserRow)),
)]
async fn remove(
    State(front): State<Front>,
    Extension(caller): Extension<Caller>,
    Named(name): Named<String>,
) -> Answer<UserRow> {
    removed(&front, caller, name).await.map(Json)
}

/// Adds a person, as the audit log tells.
pub async fn added(front: &Front, caller: Caller, order: UserOrder) -> Result<UserRow, Problem> {
    // The book holds no secrets.
    let said = serde_json::json!({ "name": order.name, "role": order.role });
    let (access, by) = (front.access.clone(), caller.name.clone());
    let act = async move {
        let UserOrder { name, role, password } = order;
        Ok(row(access.add_user(UserRequest { name, role, password }, &by).await?))
    };
    audited(front, caller, "POST /api/v1/users".to_owned(), said, act).await
}

/// Changes a person, as the audit log tells.
pub async fn changed(
    front: &Front,
    caller: Caller,
    name: String,
    order: UserChange,
) -> Result<UserRow, Problem> {
    if order == UserChange::default() {
        return Err(Problem::question(
            "nothing is to be changed: give password, role or second_factor",
        ));
    }
    if order.second_factor == Some(true) {
        let why = "a second factor is begun by whoever has the telephone, in the web";
        return Err(Problem::question(why));
    }
    let mut said = told(&UserChange { password: None, ..order.clone() });
    if let (Some(said), true) = (said.as_object_mut(), order.password.is_some()) {
        said.insert("password".to_owned(), "another".into());
    }
    let (access, what) = (front.access.clone(), format!("PATCH /api/v1/users/{name}"));
    let act = async move {
        let mut record = None;
        if let Some(role) = order.role {
            record = Some(access.set_role(&name, role).await?);
        }
        if order.second_factor.is_some() {
            record = Some(access.drop_second_factor(&name).await?);
        }
        if let Some(password) = order.password {
            record = Some(access.set_password(&name, password, None).await?);
        }
        record.map(row).ok_or_else(|| Problem::question("nothing is to be changed"))
    };
    audited(front, caller, what, said, act).await
}

/// Removes a person, as the audit log tells.
pub async fn removed(front: &Front, caller: Caller, name: String) -> Result<UserRow, Problem> {
    let (access, what) = (front.access.clone(), format!("DELETE /api/v1/users/{name}"));
    let act = async move { Ok(row(access.remove_user(&name).await?)) };
    audited(front, caller, what, serde_json::Value::Null, act).await
}

/// Ends all sessions of a person, as the audit log tells. Returns how many.
pub async fn sessions_ended(front: &Front, caller: Caller, name: String) -> Result<usize, Problem> {
    let (access, what) = (front.access.clone(), format!("DELETE sessions of {name}"));
    let act = async move { Ok(access.end_sessions(|it| it.user == name).await?) };
    audited(front, caller, what, serde_json::Value::Null, act).await
}

/// Ends one session, of whoever it is, as the audit log tells. Returns whether there was one.
pub async fn session_ended(front: &Front, caller: Caller, id: String) -> Result<bool, Problem> {
    let known = front.access.sessions().into_iter().find(|it| it.id() == id);
    let Some(session) = known else { return Ok(false) };
    let (access, what) = (front.access.clone(), format!("DELETE a session of {}", session.user));
    let act = async move { Ok(access.end_sessions(|it| it.id() == id).await?) };
    let ended = audited(front, caller, what, serde_json::Value::Null, act).await?;
    Ok(ended > 0)
}

/// What is told of a person.
pub fn row(record: UserRecord) -> UserRow {
    let time = |millis| Timestamp::from_millis(millis).to_rfc3339();
    UserRow {
        second_factor: record.has_second_factor(),
        name: record.name,
        role: record.role,
        created: time(record.created),
        created_by: record.created_by,
        last_login: record.last_login.map(time),
    }
}
