//! The door: coming in by password and code, going out; what people choose for themselves.

use std::net::{IpAddr, Ipv4Addr};

use askama::Template;
use axum::Router;
use axum::extract::{Extension, Form, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use qrcode::render::svg;
use serde::Deserialize;

use crate::access::{Entered, LASTS, Outside, PASSWORD_MIN, Person, UserError};
use crate::admin::Origin;

use super::forms::{escaped, filled};
use super::frame::{Frame, shown};
use super::gate::{self, LANG, ZONE_COOKIE, cookie, cookie_of, session_cookie};
use super::texts::Lang;
use super::{Answer, Web};

/// Seconds for which a browser keeps a language and a zone.
const YEAR: u64 = 365 * 24 * 3600;
/// Octets of the name of a zone.
const ZONE_MAX: usize = 64;

/// What stands before the door.
pub(super) fn open() -> Router<Web> {
    Router::new()
        .route("/login", get(login).post(enter))
        .route("/login/code", get(code).post(enter_code))
        .route("/language/{code}", get(language))
        .route("/zone", get(zone))
}

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    f: Frame,
    to: String,
    name: String,
    code: bool,
    wrong: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    to: String,
}

async fn login(Extension(f): Extension<Frame>, Query(wanted): Query<Wanted>) -> Response {
    let to = here(&wanted.to).to_owned();
    shown(&LoginPage { f, to, name: String::new(), code: false, wrong: None })
}

async fn code(Extension(f): Extension<Frame>, Query(wanted): Query<Wanted>) -> Response {
    let to = here(&wanted.to).to_owned();
    shown(&LoginPage { f, to, name: String::new(), code: true, wrong: None })
}

#[derive(Deserialize)]
struct Login {
    name: String,
    password: String,
    #[serde(default)]
    to: String,
}

async fn enter(
    State(web): State<Web>,
    Extension(f): Extension<Frame>,
    Extension(origin): Extension<Origin>,
    headers: HeaderMap,
    Form(login): Form<Login>,
) -> Response {
    let access = &web.front.access;
    let from = address(origin);
    let entered = access.log_in(&login.name, login.password, from, agent(&headers)).await;
    let to = here(&login.to).to_owned();
    let (text, next) = match entered {
        Ok(Entered::In(text)) => (text, to),
        Ok(Entered::Half(text)) => (text, format!("/login/code?to={}", escaped(&to))),
        Err(outside) => {
            let wrong = Some(refusal(&f, &outside));
            let page = LoginPage { f, to, name: login.name, code: false, wrong };
            return refused(&page, &outside);
        }
    };
    with_session(&web, &next, &text)
}

#[derive(Deserialize)]
struct Code {
    code: String,
    #[serde(default)]
    to: String,
}

async fn enter_code(
    State(web): State<Web>,
    Extension(f): Extension<Frame>,
    Extension(origin): Extension<Origin>,
    headers: HeaderMap,
    Form(sent): Form<Code>,
) -> Response {
    let half = cookie_of(&headers, session_cookie(&web.place)).unwrap_or("");
    let access = &web.front.access;
    let to = here(&sent.to).to_owned();
    match access.enter_code(half, &sent.code, address(origin), agent(&headers)).await {
        Ok(text) => with_session(&web, &to, &text),
        Err(outside) => {
            let wrong = Some(refusal(&f, &outside));
            // Without half a session the password comes first, again.
            let code = outside != Outside::Over;
            refused(&LoginPage { f, to, name: String::new(), code, wrong }, &outside)
        }
    }
}

fn refused(page: &LoginPage, outside: &Outside) -> Response {
    let mut response = shown(page);
    *response.status_mut() = match outside {
        Outside::Wrong | Outside::Over => StatusCode::UNAUTHORIZED,
        Outside::TooOften(_) => StatusCode::TOO_MANY_REQUESTS,
        Outside::Busy | Outside::NotWritten(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    response
}

fn refusal(f: &Frame, outside: &Outside) -> String {
    match outside {
        Outside::Wrong => f.t("door.wrong").to_owned(),
        Outside::TooOften(wait) => f.say("door.too-often", &[&super::frame::span(wait.seconds())]),
        Outside::Busy => f.t("door.busy").to_owned(),
        Outside::Over => f.t("door.over").to_owned(),
        Outside::NotWritten(why) => why.clone(),
    }
}

fn with_session(web: &Web, to: &str, text: &str) -> Response {
    let mut response = Redirect::to(to).into_response();
    let value = cookie(&web.place, session_cookie(&web.place), text, LASTS.as_secs());
    response.headers_mut().append(header::SET_COOKIE, value);
    response
}

/// Ends the session.
pub(super) async fn log_out(
    State(web): State<Web>,
    Extension(person): Extension<Person>,
) -> Answer {
    web.front.access.end_sessions(|it| it.id() == person.session).await?;
    let mut response = Redirect::to("/login").into_response();
    let gone = cookie(&web.place, session_cookie(&web.place), "", 0);
    response.headers_mut().append(header::SET_COOKIE, gone);
    Ok(response)
}

async fn language(
    State(web): State<Web>,
    Path(code): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Response {
    let lang = Lang::parse(&code).unwrap_or(Lang::Es);
    let mut response = Redirect::to(here(&wanted.to)).into_response();
    let value = cookie(&web.place, LANG, lang.code(), YEAR);
    response.headers_mut().append(header::SET_COOKIE, value);
    response
}

#[derive(Deserialize)]
struct Zone {
    zone: String,
    #[serde(default)]
    to: String,
}

async fn zone(State(web): State<Web>, Query(wanted): Query<Zone>) -> Response {
    let mut response = Redirect::to(here(&wanted.to)).into_response();
    let known = wanted.zone.len() <= ZONE_MAX && jiff::tz::TimeZone::get(&wanted.zone).is_ok();
    if known {
        let value = cookie(&web.place, ZONE_COOKIE, &wanted.zone, YEAR);
        response.headers_mut().append(header::SET_COOKIE, value);
    }
    response
}

/// A page of this place, whatever was asked for.
fn here(to: &str) -> &str {
    let local = to.starts_with('/')
        && !to.starts_with("//")
        && !to.contains('\\')
        && !to.bytes().any(|it| it.is_ascii_control());
    if local { to } else { "/" }
}

fn address(origin: Origin) -> IpAddr {
    match origin {
        Origin::Network(from) => from,
        Origin::Socket => IpAddr::V4(Ipv4Addr::LOCALHOST),
    }
}

fn agent(headers: &HeaderMap) -> &str {
    headers.get(header::USER_AGENT).and_then(|it| it.to_str().ok()).unwrap_or("")
}

struct SessionLine {
    id: String,
    mine: bool,
    from: String,
    agent: String,
    began: String,
    seen: String,
}

struct Begun {
    picture: String,
    typed: String,
}

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage {
    f: Frame,
    second: bool,
    paper_left: usize,
    begun: Option<Begun>,
    paper: Vec<String>,
    wrong: Option<String>,
    password_min: String,
    sessions: Vec<SessionLine>,
}

fn account_page(web: &Web, f: Frame, person: &Person) -> AccountPage {
    let name = &person.caller.name;
    let sessions = web.front.access.sessions().into_iter().filter(|it| it.user == *name);
    let time = crate::message::Timestamp::from_millis;
    let sessions = sessions.map(|it| SessionLine {
        id: it.id().to_owned(),
        mine: it.id() == person.session,
        began: f.at(time(it.created)),
        seen: f.ago(&time(it.seen).to_rfc3339()),
        from: it.from,
        agent: it.agent,
    });
    let known = web.front.access.users().into_iter().find(|it| it.name == *name);
    AccountPage {
        second: person.has_second_factor,
        paper_left: known.map_or(0, |it| it.paper_codes()),
        begun: None,
        paper: Vec::new(),
        wrong: None,
        password_min: PASSWORD_MIN.to_string(),
        sessions: sessions.collect(),
        f,
    }
}

/// What somebody may change of themselves.
pub(super) async fn account(
    State(web): State<Web>,
    Extension(f): Extension<Frame>,
    Extension(person): Extension<Person>,
) -> Response {
    shown(&account_page(&web, f, &person))
}

#[derive(Deserialize)]
pub(super) struct PasswordForm {
    old: String,
    new: String,
    again: String,
}

/// Another password; all other sessions end.
pub(super) async fn change_password(
    State(web): State<Web>,
    Extension(f): Extension<Frame>,
    Extension(person): Extension<Person>,
    Form(form): Form<PasswordForm>,
) -> Answer {
    let access = web.front.access.clone();
    let mut page = account_page(&web, f.clone(), &person);
    if form.new != form.again {
        page.wrong = Some(f.t("door.differ").to_owned());
        return Ok(shown(&page));
    }
    if let Err(outside) = access.confirm_password(&person, form.old).await {
        page.wrong = Some(refusal(&f, &outside));
        return Ok(shown(&page));
    }
    let name = person.caller.name.clone();
    match access.set_password(&name, form.new, Some(&person.session)).await {
        Ok(_) => {
            note(&web, &person, "password").await?;
            Ok(gate::done(&web, "/account", f.t("door.password-changed")))
        }
        Err(error @ (UserError::Busy | UserError::NotWritten(_))) => Err(error.into()),
        Err(error) => {
            page.wrong = Some(f.said(&error.to_string()));
            Ok(shown(&page))
        }
    }
}

/// What people do to themselves stands in the audit log, too.
async fn note(web: &Web, person: &Person, what: &str) -> Result<(), gate::Trouble> {
    let what = format!("own {what}");
    let noted = web.front.access.note(&person.caller, &what, serde_json::Value::Null).await;
    noted.map_err(|error| gate::Trouble(crate::admin::Problem::unavailable(error)))?;
    Ok(())
}

fn begun(web: &Web, person: &Person) -> Option<Begun> {
    let shown = web.front.access.show_second_factor(&person.caller.name, &web.place.name);
    let (address, typed) = shown?;
    let code = qrcode::QrCode::new(address.as_bytes()).ok()?;
    let picture = code.render::<svg::Color>().min_dimensions(240, 240).quiet_zone(true).build();
    // The declaration of XML is for files.
    let picture = picture.split_once("?>").map_or(picture.clone(), |(_, svg)| svg.to_owned());
    let groups: Vec<String> =
        typed.as_bytes().chunks(4).map(|it| String::from_utf8_lossy(it).into_owned()).collect();
    Some(Begun { picture, typed: groups.join(" ") })
}

/// Shows a secret to be photographed.
pub(super) async fn begin_second_factor(
    State(web): State<Web>,
    Extension(f): Extension<Frame>,
    Extension(person): Extension<Person>,
) -> Response {
    let mut page = account_page(&web, f, &person);
    page.begun = begun(&web, &person);
    shown(&page)
}

#[derive(Deserialize)]
pub(super) struct CodeForm {
    code: String,
}

/// A code of it proves that the telephone has it.
pub(super) async fn confirm_second_factor(
    State(web): State<Web>,
    Extension(f): Extension<Frame>,
    Extension(person): Extension<Person>,
    Form(form): Form<CodeForm>,
) -> Answer {
    let confirmed = web.front.access.confirm_second_factor(&person.caller.name, &form.code).await;
    let mut page = account_page(&web, f.clone(), &person);
    match confirmed {
        Ok(paper) => {
            note(&web, &person, "second factor").await?;
            (page.second, page.paper_left, page.paper) = (true, paper.len(), paper);
        }
        Err(error) => {
            page.begun = begun(&web, &person);
            page.wrong = Some(f.said(&error.to_string()));
        }
    }
    Ok(shown(&page))
}

#[derive(Deserialize)]
pub(super) struct RemoveForm {
    password: String,
}

/// Takes it away, from whoever still knows the password.
pub(super) async fn remove_second_factor(
    State(web): State<Web>,
    Extension(f): Extension<Frame>,
    Extension(person): Extension<Person>,
    Form(form): Form<RemoveForm>,
) -> Answer {
    if let Err(outside) = web.front.access.confirm_password(&person, form.password).await {
        let mut page = account_page(&web, f.clone(), &person);
        page.wrong = Some(refusal(&f, &outside));
        return Ok(shown(&page));
    }
    web.front.access.drop_second_factor(&person.caller.name).await?;
    note(&web, &person, "second factor removed").await?;
    Ok(gate::done(&web, "/account", f.t("door.second-removed")))
}

#[derive(Deserialize)]
pub(super) struct EndForm {
    #[serde(default)]
    id: String,
}

/// Ends one of somebody's own sessions, or all but this.
pub(super) async fn end_session(
    State(web): State<Web>,
    Extension(f): Extension<Frame>,
    Extension(person): Extension<Person>,
    Form(form): Form<EndForm>,
) -> Answer {
    let (name, id) = (person.caller.name.clone(), filled(&form.id));
    let count = web
        .front
        .access
        .end_sessions(|it| {
            it.user == name
                && match &id {
                    Some(id) => it.id() == id,
                    None => it.id() != person.session,
                }
        })
        .await?;
    Ok(gate::done(&web, "/account", &f.say("door.ended", &[&count.to_string()])))
}

#[cfg(test)]
mod tests {
    use super::here;

    #[test]
    fn nobody_is_led_elsewhere() {
        for to in ["", "//evil.example", "https://evil.example", "/\\evil.example", "/a\r\nb", "x"]
        {
            assert_eq!(here(to), "/", "{to}");
        }
        assert_eq!(here("/queue?by=tag"), "/queue?by=tag");
    }
}
