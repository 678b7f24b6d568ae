//! Who may pass where: each page and action × each role × nobody; and what forms must carry.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU32, Ordering};

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode, header};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;

use super::*;
use crate::access::tests::access;
use crate::access::{Access, Entered, Role, UserRequest, form_key};
use crate::admin::Origin;
use crate::admin::tests::Nothing;

const PASSWORD: &str = "cuatro palabras bien largas";
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

struct World {
    router: Router,
    known: Vec<(&'static str, &'static str, Scope)>,
    access: Arc<Access>,
    _folder: tempfile::TempDir,
}

fn world(tls: bool) -> World {
    let (access, folder) = access();
    let front = Front { control: Arc::new(Nothing), access: Arc::clone(&access) };
    let place = Place { name: "relay.example".to_owned(), tls };
    let pulse = Arc::new(Pulse::new(front.control.clone()));
    let (router, known) = pages(&Web { front, place: Arc::new(place), pulse });
    World { router, known, access, _folder: folder }
}

async fn session(access: &Access, role: Role) -> String {
    // Each from an address of its own: tries are counted by address and name.
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("{role}-{number}");
    let request = UserRequest { name: name.clone(), role, password: PASSWORD.to_owned() };
    access.add_user(request, "test").await.unwrap();
    let from = IpAddr::V4(Ipv4Addr::from_bits(number));
    match access.log_in(&name, PASSWORD.to_owned(), from, "test").await {
        Ok(Entered::In(text)) => text,
        other => panic!("{other:?}"),
    }
}

async fn ask(world: &World, request: axum::http::request::Builder, body: String) -> Response {
    let request = request.extension(Origin::Network(HERE)).header("host", "relay.example");
    let service = TowerToHyperService::new(world.router.clone());
    service.call(request.body(Body::from(body)).unwrap()).await.unwrap()
}

async fn text(response: Response) -> String {
    let octets = to_bytes(response.into_body(), 10_000_000).await.unwrap();
    String::from_utf8(octets.to_vec()).unwrap()
}

fn request(method: &str, path: &str, session: Option<&str>) -> axum::http::request::Builder {
    let mut request = Request::builder()
        .method(method)
        .uri(path.replace("{name}", "x").replace("{id}", "x"))
        .header("content-type", "application/x-www-form-urlencoded");
    if let Some(session) = session {
        request = request.header("cookie", format!("a=b; tambo={session}"));
    }
    request
}

/// What a page must need, said a second time.
fn expected(path: &str) -> Scope {
    let kept = ["/settings/users", "/settings/sessions", "/settings/tokens", "/settings/audit"];
    let levers = [
        "/act",
        "/names",
        "/swap",
        "/release",
        "/reload",
        "/suppression/add",
        "/suppression/remove",
    ];
    match path {
        _ if kept.iter().any(|start| path.starts_with(start)) => Scope::Admin,
        _ if levers.iter().any(|lever| path.ends_with(lever)) => Scope::Operate,
        _ => Scope::Read,
    }
}

#[tokio::test]
async fn each_page_and_action_lets_those_pass_whose_role_allows_it() {
    let world = world(false);
    let mut seen = BTreeSet::new();
    for (method, path, need) in world.known.clone() {
        assert_eq!(need, expected(path), "{method} {path}");
        seen.insert((method, need));
        let response = ask(&world, request(method, path, None), String::new()).await;
        let nobody = response.status();
        if path == "/live" {
            assert_eq!(nobody, StatusCode::UNAUTHORIZED);
        } else {
            let to = response.headers()[header::LOCATION].to_str().unwrap();
            assert!(nobody == StatusCode::SEE_OTHER && to.starts_with("/login"), "{method} {path}");
        }
        for role in Role::ALL {
            // Some of these pages end sessions.
            let session = session(&world.access, role).await;
            let body = format!("key={}", form_key(&session));
            let status = ask(&world, request(method, path, Some(&session)), body).await.status();
            let may = role.scopes().iter().any(|scope| scope.includes(need));
            assert_eq!(status != StatusCode::FORBIDDEN, may, "{method} {path} {role}: {status}");
            assert_ne!(status, StatusCode::UNAUTHORIZED, "{method} {path} {role}");
        }
    }
    assert!(seen.len() >= 6, "{seen:?}");
}

#[tokio::test]
async fn a_form_is_believed_when_it_was_made_for_the_session_here() {
    let world = world(false);
    let session = session(&world.access, Role::Administrator).await;
    let key = form_key(&session);
    let path = "/account/sessions/end";
    let sent = async |header: (&str, &str), key: &str| {
        let request = request("POST", path, Some(&session)).header(header.0, header.1);
        ask(&world, request, format!("key={key}")).await.status()
    };
    let nothing = ("x-nothing", "");
    assert_eq!(sent(nothing, &key).await, StatusCode::SEE_OTHER);
    assert_eq!(sent(("origin", "http://relay.example"), &key).await, StatusCode::SEE_OTHER);
    assert_eq!(sent(("sec-fetch-site", "same-origin"), &key).await, StatusCode::SEE_OTHER);
    for (header, key) in [
        (nothing, ""),
        (nothing, "x"),
        (nothing, &*form_key("another")),
        (("origin", "https://evil.example"), &*key),
        (("origin", "null"), &*key),
        (("sec-fetch-site", "cross-site"), &*key),
        (("sec-fetch-site", "same-site"), &*key),
    ] {
        assert_eq!(sent(header, key).await, StatusCode::FORBIDDEN, "{header:?} {key}");
    }
    let login = request("POST", "/login", None).header("origin", "https://evil.example");
    let body = format!("name=administrator&password={PASSWORD}");
    assert_eq!(ask(&world, login, body).await.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn who_comes_in_gets_a_cookie_that_only_this_place_reads() {
    for tls in [false, true] {
        let world = world(tls);
        session(&world.access, Role::Reader).await;
        let name = world.access.users()[0].name.to_uppercase();
        let body =
            format!("name={name}&password={PASSWORD}&to=/queue%3Fby%3Dtag").replace(' ', "+");
        let response = ask(&world, request("POST", "/login", None), body).await;
        assert_eq!(response.status(), StatusCode::SEE_OTHER);
        assert_eq!(response.headers()[header::LOCATION], "/queue?by=tag");
        let cookie = response.headers()[header::SET_COOKIE].to_str().unwrap();
        let name = if tls { "__Host-tambo=" } else { "tambo=" };
        assert!(cookie.starts_with(name) && cookie.contains("; Path=/;"), "{cookie}");
        assert!(cookie.contains("; HttpOnly; SameSite=Strict"), "{cookie}");
        assert_eq!(cookie.ends_with("; Secure"), tls, "{cookie}");
    }
}

#[tokio::test]
async fn pages_forbid_browsers_what_they_do_not_need() {
    let world = world(false);
    let response = ask(&world, request("GET", "/login", None), String::new()).await;
    let headers = response.headers().clone();
    let policy = headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
    assert_eq!(headers["referrer-policy"], "same-origin");
    assert_eq!(headers["cache-control"], "no-store");
    let page = text(response).await;
    assert!(page.contains("<html lang=\"es\">") && page.contains("Contraseña"), "{page}");
    assert!(!page.contains("style=") && !page.contains("onclick"), "{page}");
    let english = request("GET", "/login", None).header("accept-language", "en-US");
    assert!(text(ask(&world, english, String::new()).await).await.contains("Password"));
    let chosen = request("GET", "/login", None)
        .header("accept-language", "en")
        .header("cookie", "tambo-lang=es");
    assert!(text(ask(&world, chosen, String::new()).await).await.contains("Contraseña"));

    let style = ask(&world, request("GET", assets::style(), None), String::new()).await;
    assert!(style.headers()["cache-control"].to_str().unwrap().contains("immutable"));
    let tag = style.headers()["etag"].clone();
    let again = request("GET", assets::style(), None).header("if-none-match", tag);
    assert_eq!(ask(&world, again, String::new()).await.status(), StatusCode::NOT_MODIFIED);
}
