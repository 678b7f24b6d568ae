//! Who may pass: a session in place of a token, and for whatever changes something a form that was made for it.
//!
//! A form is believed when it comes from this place (`Origin`, or what the browser says of the site it comes from) and
//! carries the key of the session, which no other site can read. Answers forbid the browser everything that the pages
//! do not need.

use axum::Form;
use axum::body::{Body, Bytes};
use axum::extract::{Extension, FromRequest, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use crate::access::{Person, Scope, form_key};
use crate::admin::{Origin, Problem};

use super::frame::{Frame, ZONE, shown};
use super::texts::Lang;
use super::{FORM_MAX, Place, Web, forms};

/// Cookie of the language.
pub(super) const LANG: &str = "tambo-lang";
/// Cookie of the time zone.
pub(super) const ZONE_COOKIE: &str = "tambo-zone";
/// Cookie of what was done a moment ago.
const FLASH: &str = "tambo-flash";
/// Octets of what it says.
const FLASH_MAX: usize = 1_500;
/// The pages bring a stylesheet, a script, pictures and forms of their own, and nothing else; nobody frames them.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What went wrong, to be shown as a page.
#[derive(Debug)]
pub(super) struct Trouble(pub Problem);

impl<T: Into<Problem>> From<T> for Trouble {
    fn from(problem: T) -> Self {
        Self(problem.into())
    }
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = status.into_response();
        response.extensions_mut().insert(self.0);
        response
    }
}

/// Name of the cookie that holds the session: over TLS one that no other host and no page in clear can set.
pub(super) fn session_cookie(place: &Place) -> &'static str {
    if place.tls { "__Host-tambo" } else { "tambo" }
}

/// A cookie of this place. What the session holds is for the server alone.
pub(super) fn cookie(place: &Place, name: &str, value: &str, seconds: u64) -> HeaderValue {
    let secure = if place.tls { "; Secure" } else { "" };
    let text =
        format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
    // Values are ours: base64, a code of a language, a name of a zone.
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""))
}

/// The value of a cookie.
pub(super) fn cookie_of<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|it| it.to_str().ok());
    cookies
        .flat_map(|text| text.split(';'))
        .find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
}

/// Goes to a page that says what was done.
pub(super) fn done(web: &Web, to: &str, said: &str) -> Response {
    let said: String = said.chars().take(FLASH_MAX / 4).collect();
    let flash = cookie(&web.place, FLASH, &URL_SAFE_NO_PAD.encode(said), 60);
    let mut response = Redirect::to(to).into_response();
    response.headers_mut().append(header::SET_COOKIE, flash);
    response
}

/// Lets whoever has a session pass that may do what the pages behind need.
pub(super) async fn admit(
    State((web, need)): State<(Web, Scope)>,
    Extension(origin): Extension<Origin>,
    request: Request,
    next: Next,
) -> Response {
    let text = cookie_of(request.headers(), session_cookie(&web.place)).map(str::to_owned);
    // A page that stays open is nobody's doing.
    let used = request.uri().path() != "/live";
    let person = match (&text, origin) {
        (Some(text), Origin::Network(from)) => web.front.access.person(text, from, used).await,
        _ => None,
    };
    let Some(person) = person else { return to_the_door(&request) };
    let frame = frame(&web, &request, Some(person.clone()), text.as_deref().unwrap_or(""));
    if !person.caller.may(need) {
        let needed = frame.word("scope", need.word());
        let why = frame.say("frame.may-not", &[&person.caller.name, &frame.role(), &needed]);
        return trouble(&frame, &Problem::forbidden(why));
    }
    pass(&web, frame, person, request, next).await
}

/// Lets anybody pass to the door, in their language.
pub(super) async fn greet(State(web): State<Web>, mut request: Request, next: Next) -> Response {
    let frame = frame(&web, &request, None, "");
    if *request.method() == Method::POST && !is_from_here(request.headers()) {
        return trouble(&frame, &Problem::forbidden(frame.t("frame.foreign")));
    }
    request.extensions_mut().insert(frame.clone());
    finished(&web, &frame, next.run(request).await)
}

async fn pass(web: &Web, frame: Frame, person: Person, request: Request, next: Next) -> Response {
    let mut request = if *request.method() == Method::POST {
        match checked(&frame, request).await {
            Ok(request) => request,
            Err(problem) => return trouble(&frame, &problem),
        }
    } else {
        request
    };
    request.extensions_mut().insert(frame.clone());
    request.extensions_mut().insert(person);
    finished(web, &frame, next.run(request).await)
}

/// Troubles become pages; what was said once is not said again.
fn finished(web: &Web, frame: &Frame, mut response: Response) -> Response {
    let problem = response.extensions_mut().remove::<Problem>();
    let mut response = match problem {
        Some(problem) => trouble(frame, &problem),
        None => response,
    };
    if frame.flash.is_some() && response.status() == StatusCode::OK {
        let gone = cookie(&web.place, FLASH, "", 0);
        response.headers_mut().append(header::SET_COOKIE, gone);
    }
    response
}

#[derive(Deserialize)]
struct Keyed {
    #[serde(default)]
    key: String,
}

/// A form that was made for this session, read whole.
async fn checked(frame: &Frame, request: Request) -> Result<Request, Problem> {
    if !is_from_here(request.headers()) {
        return Err(Problem::forbidden(frame.t("frame.foreign")));
    }
    let (head, body) = request.into_parts();
    let read = axum::body::to_bytes(body, FORM_MAX).await;
    let octets: Bytes = read.map_err(|_| Problem::too_large(frame.t("frame.form-too-large")))?;
    let copy = Request::from_parts(head.clone(), Body::from(octets.clone()));
    let sent = Form::<Keyed>::from_request(copy, &()).await;
    if !sent.is_ok_and(|Form(sent)| forms::same(&sent.key, &frame.form_key)) {
        return Err(Problem::forbidden(frame.t("frame.old-form")));
    }
    Ok(Request::from_parts(head, Body::from(octets)))
}

/// Whether a browser says that a page of this place sent it. Who says nothing is no browser of today.
fn is_from_here(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|it| it.to_str().ok());
    let site = text("sec-fetch-site").is_none_or(|site| site == "same-origin");
    let here = text("host").unwrap_or("");
    let origin = text("origin").is_none_or(|origin| {
        let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        host == Some(here)
    });
    site && origin
}

fn to_the_door(request: &Request) -> Response {
    if request.uri().path() == "/live" {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let wanted = request.uri().path_and_query().map_or("/", |it| it.as_str());
    if *request.method() != Method::GET || wanted == "/" {
        return Redirect::to("/login").into_response();
    }
    Redirect::to(&format!("/login?to={}", forms::escaped(wanted))).into_response()
}

fn frame(web: &Web, request: &Request, person: Option<Person>, session: &str) -> Frame {
    let headers = request.headers();
    let chosen = cookie_of(headers, LANG).and_then(Lang::parse);
    let accepted = headers.get(header::ACCEPT_LANGUAGE).and_then(|it| it.to_str().ok());
    let zone_name = cookie_of(headers, ZONE_COOKIE).unwrap_or(ZONE);
    let zone = jiff::tz::TimeZone::get(zone_name).ok().map(|zone| (zone, zone_name.to_owned()));
    let (zone, zone_name) = zone.unwrap_or((jiff::tz::TimeZone::UTC, "UTC".to_owned()));
    let flash = cookie_of(headers, FLASH).filter(|it| !it.is_empty() && it.len() <= 2 * FLASH_MAX);
    let flash = flash.and_then(|it| URL_SAFE_NO_PAD.decode(it).ok());
    Frame {
        lang: chosen.unwrap_or_else(|| Lang::of_browser(accepted.unwrap_or(""))),
        zone,
        zone_name,
        person,
        form_key: form_key(session),
        path: request.uri().path_and_query().map_or("/", |it| it.as_str()).to_owned(),
        relay: web.place.name.clone(),
        flash: flash.and_then(|it| String::from_utf8(it).ok()),
        now: web.front.access.now(),
    }
}

#[derive(askama::Template)]
#[template(path = "trouble.html")]
struct TroublePage<'a> {
    f: &'a Frame,
    title: String,
    detail: &'a str,
}

/// What was wrong and what to do, as a page.
fn trouble(frame: &Frame, problem: &Problem) -> Response {
    let title = match problem.status {
        400 => "frame.trouble-question",
        403 => "frame.trouble-forbidden",
        404 => "frame.trouble-nothing",
        409 => "frame.trouble-conflict",
        429 => "frame.trouble-too-often",
        _ => "frame.trouble-other",
    };
    let page = TroublePage { f: frame, title: frame.t(title).to_owned(), detail: &problem.detail };
    let mut response = shown(&page);
    *response.status_mut() =
        StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
}

/// What browsers are told of every answer.
pub(super) async fn guarded(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let policy = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        // Not "no-referrer": with that, browsers say `Origin: null` of every form that is sent.
        (header::REFERRER_POLICY, "same-origin"),
    ];
    for (name, value) in policy {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    headers.insert(
        "permissions-policy",
        HeaderValue::from_static("camera=(), microphone=(), geolocation=()"),
    );
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
