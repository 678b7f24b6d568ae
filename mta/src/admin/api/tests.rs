//! Who may pass where, and what is answered when something is wrong.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU32, Ordering};

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use serde_json::Value;

use super::*;
use crate::access::TokenRequest;
use crate::access::tests::access;
use crate::admin::{
    AccountRow, AmissRow, BlocklistRow, EventFlow, EventQuery, Explanation, FollowQuery,
    ForecastAnswer, ForecastQuestion, Found, GroupBy, HaltRow, HoldMade, HoldOrder, HoldRow,
    Meaning, MessageQuery, MessageRow, NamesRow, NumbersQuery, NumbersRow, Order, PoolRow,
    ProbeAnswer, ProbeOrder, ProviderRow, QueueQuery, QueueSummary, ReleaseOrder, Released,
    Reloaded, ReplayOrder, Replayed, Report, ReportQuery, Row, SendOrder, Sent, SettingRow,
    SourceAnswer, SourceDone, SourceOrder, SourceRow, Status, Story, SuppressionOrder,
    SuppressionQuery, SuppressionRemoval, SuppressionRow, SuppressionsAdded, SwapAnswer, SwapOrder,
    WarmUpRow, WebhookRow, WireQuery,
};
use crate::message::Event;
use crate::outside::BoxFuture;

/// A relay that has nothing.
pub struct Nothing;

fn nothing<T: Send + 'static>() -> BoxFuture<'static, Result<T, ControlError>> {
    Box::pin(async { Err(ControlError::NotFound("nothing is here".to_owned())) })
}

impl Control for Nothing {
    fn measure(&self) {}

    fn queue(&self, _: QueueQuery) -> BoxFuture<'_, Result<Page<Row>, ControlError>> {
        nothing()
    }

    fn act(&self, _: Order) -> BoxFuture<'_, Result<crate::admin::Acted, ControlError>> {
        nothing()
    }

    fn sources(&self) -> BoxFuture<'_, Result<Vec<SourceRow>, ControlError>> {
        nothing()
    }

    fn source(&self, _: String) -> BoxFuture<'_, Result<SourceAnswer, ControlError>> {
        nothing()
    }

    fn paths_amiss(&self) -> Vec<AmissRow> {
        Vec::new()
    }

    fn look_at_names(&self, _: String) -> BoxFuture<'_, Result<NamesRow, ControlError>> {
        nothing()
    }

    fn act_on_source(
        &self,
        _: String,
        _: SourceOrder,
    ) -> BoxFuture<'_, Result<SourceDone, ControlError>> {
        nothing()
    }

    fn swap(&self, _: String, _: SwapOrder) -> BoxFuture<'_, Result<SwapAnswer, ControlError>> {
        nothing()
    }

    fn halts(&self) -> BoxFuture<'_, Result<Vec<HaltRow>, ControlError>> {
        nothing()
    }

    fn release(&self, _: ReleaseOrder) -> BoxFuture<'_, Result<Released, ControlError>> {
        nothing()
    }

    fn warm_up(&self, _: Option<String>) -> BoxFuture<'_, Result<Vec<WarmUpRow>, ControlError>> {
        nothing()
    }

    fn forecast(&self, _: ForecastQuestion) -> BoxFuture<'_, Result<ForecastAnswer, ControlError>> {
        nothing()
    }

    fn trace(&self, _: String) -> BoxFuture<'_, Result<Vec<Event>, ControlError>> {
        nothing()
    }

    fn events(&self, _: EventQuery) -> BoxFuture<'_, Result<Found<Event>, ControlError>> {
        nothing()
    }

    fn follow(&self, _: FollowQuery) -> Result<Box<dyn EventFlow>, ControlError> {
        Err(ControlError::NotFound("nothing is here".to_owned()))
    }

    fn wire(&self, _: WireQuery) -> Result<Box<dyn EventFlow>, ControlError> {
        Err(ControlError::NotFound("nothing is here".to_owned()))
    }

    fn messages(&self, _: MessageQuery) -> BoxFuture<'_, Result<Found<MessageRow>, ControlError>> {
        nothing()
    }

    fn numbers(&self, _: NumbersQuery) -> BoxFuture<'_, Result<Vec<NumbersRow>, ControlError>> {
        nothing()
    }

    fn numbers_together(
        &self,
        _: Vec<NumbersQuery>,
    ) -> BoxFuture<'_, Result<Vec<Vec<NumbersRow>>, ControlError>> {
        nothing()
    }

    fn report(&self, _: ReportQuery) -> BoxFuture<'_, Result<Report, ControlError>> {
        nothing()
    }

    fn webhooks(&self) -> Result<Vec<WebhookRow>, ControlError> {
        Ok(Vec::new())
    }

    fn replay(&self, _: String, _: ReplayOrder) -> BoxFuture<'_, Result<Replayed, ControlError>> {
        nothing()
    }

    fn standing_holds(&self) -> Vec<HoldRow> {
        Vec::new()
    }

    fn stand(&self, _: HoldOrder) -> BoxFuture<'_, Result<HoldMade, ControlError>> {
        nothing()
    }

    fn end_standing(&self, _: String) -> BoxFuture<'_, Result<crate::admin::Acted, ControlError>> {
        nothing()
    }

    fn story(&self, _: String) -> BoxFuture<'_, Result<Story, ControlError>> {
        nothing()
    }

    fn meaning(&self, _: &str) -> Option<Meaning> {
        None
    }

    fn summary(&self, _: GroupBy) -> BoxFuture<'_, Result<QueueSummary, ControlError>> {
        nothing()
    }

    fn explain(
        &self,
        _: String,
        _: Option<String>,
    ) -> BoxFuture<'_, Result<Explanation, ControlError>> {
        nothing()
    }

    fn probe(&self, _: ProbeOrder) -> BoxFuture<'_, Result<ProbeAnswer, ControlError>> {
        nothing()
    }

    fn send(&self, _: SendOrder) -> BoxFuture<'_, Result<Sent, ControlError>> {
        nothing()
    }

    fn status(&self) -> Status {
        Status { refusing: None, failed: None, connections: 0, ready: 0 }
    }

    fn suppressions(
        &self,
        _: SuppressionQuery,
    ) -> BoxFuture<'_, Result<Page<SuppressionRow>, ControlError>> {
        nothing()
    }

    fn suppressions_of(
        &self,
        _: String,
    ) -> BoxFuture<'_, Result<Vec<SuppressionRow>, ControlError>> {
        nothing()
    }

    fn suppress(
        &self,
        _: SuppressionOrder,
    ) -> BoxFuture<'_, Result<SuppressionsAdded, ControlError>> {
        nothing()
    }

    fn unsuppress(
        &self,
        _: String,
        _: SuppressionRemoval,
        _: String,
    ) -> BoxFuture<'_, Result<Vec<SuppressionRow>, ControlError>> {
        nothing()
    }

    fn settings(&self) -> Vec<SettingRow> {
        Vec::new()
    }

    fn accounts(&self) -> Vec<AccountRow> {
        Vec::new()
    }

    fn pools(&self) -> Vec<PoolRow> {
        Vec::new()
    }

    fn providers(&self) -> Vec<ProviderRow> {
        Vec::new()
    }

    fn blocklists(&self) -> Vec<BlocklistRow> {
        Vec::new()
    }

    fn reload(&self) -> BoxFuture<'_, Result<Reloaded, ControlError>> {
        nothing()
    }

    fn has_account(&self, name: &str) -> bool {
        name == "a"
    }
}

/// Asks from an address that nobody asked from before: wrong tokens are counted by address.
async fn ask(
    router: &Router,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: &'static str,
) -> (StatusCode, Value) {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let from = IpAddr::V4(Ipv4Addr::from_bits(NEXT.fetch_add(1, Ordering::Relaxed)));
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", "application/json")
        .extension(Origin::Network(from));
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let service = TowerToHyperService::new(router.clone());
    let response = service.call(request.body(Body::from(body)).unwrap()).await.unwrap();
    let status = response.status();
    let octets = to_bytes(response.into_body(), 10_000_000).await.unwrap();
    (status, serde_json::from_slice(&octets).unwrap_or_default())
}

async fn token(access: &Access, name: &str, scope: Scope) -> String {
    let request = TokenRequest {
        name: name.to_owned(),
        scopes: vec![scope],
        account: Some("a".to_owned()),
        expires: None,
    };
    access.create_token(request, "test").await.unwrap().0
}

/// What a route must need, said a second time: routes and description come from one place, and would be wrong
/// together.
fn expected(method: &str, path: &str) -> Scope {
    let kept_by_administrators = ["/api/v1/tokens", "/api/v1/users", "/api/v1/audit"];
    match method {
        _ if kept_by_administrators.iter().any(|start| path.starts_with(start)) => Scope::Admin,
        "get" => Scope::Read,
        "post" if path == "/api/v1/messages" => Scope::Send,
        _ => Scope::Operate,
    }
}

/// Each route × each scope × no token: who may pass is what the description says, and nobody else does.
#[tokio::test]
async fn each_route_lets_those_pass_that_the_description_names() {
    let (access, _folder) = access();
    let mut tokens = BTreeMap::new();
    for scope in Scope::ALL {
        tokens.insert(scope, token(&access, scope.word(), scope).await);
    }
    let (router, document) = described(&Front { control: Arc::new(Nothing), access });
    let document = serde_json::to_value(&document).unwrap();
    let mut seen = BTreeMap::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let needed = operation["security"][0]["token"][0].as_str().unwrap();
            let needed: Scope = needed.parse().unwrap();
            assert_eq!(needed, expected(method, path), "{method} {path}");
            let (method, path) =
                (method.to_uppercase(), path.replace("{name}", "x").replace("{id}", "x"));
            let refused = async |token| ask(&router, &method, &path, token, "").await.0;
            assert_eq!(refused(None).await, StatusCode::UNAUTHORIZED, "{method} {path}");
            assert_eq!(
                refused(Some("tambo_no")).await,
                StatusCode::UNAUTHORIZED,
                "{method} {path}"
            );
            for (scope, token) in &tokens {
                let (status, problem) = ask(&router, &method, &path, Some(token), "").await;
                let passes = status != StatusCode::FORBIDDEN && status != StatusCode::UNAUTHORIZED;
                assert_eq!(
                    passes,
                    scope.includes(needed),
                    "{method} {path} with {scope}: {status}"
                );
                if !passes {
                    assert_eq!(problem["type"], "urn:tambo:problem:forbidden");
                    let detail = problem["detail"].as_str().unwrap();
                    assert!(detail.contains(&format!("the scope `{needed}`")), "{detail}");
                }
            }
            *seen.entry(needed).or_insert(0) += 1;
        }
    }
    assert_eq!(seen[&Scope::Send], 1);
    assert!(
        seen[&Scope::Read] >= 8 && seen[&Scope::Operate] >= 4 && seen[&Scope::Admin] >= 4,
        "{seen:?}"
    );
    let (status, _) = ask(&router, "GET", "/api/v1/openapi.json", None, "").await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let send = Some(&*tokens[&Scope::Send]);
    let (status, described) = ask(&router, "GET", "/api/v1/openapi.json", send, "").await;
    assert_eq!((status, &described), (StatusCode::OK, &document));
    assert_eq!(document["openapi"], "3.1.0");
}

#[tokio::test]
async fn the_description_describes_all_that_it_names() {
    let (access, _folder) = access();
    let (_, document) = described(&Front { control: Arc::new(Nothing), access });
    let document = serde_json::to_value(&document).unwrap();
    let text = document.to_string();
    let mut named = 0;
    for rest in text.split("\"$ref\":\"#").skip(1) {
        let place = rest.split('"').next().unwrap();
        assert!(document.pointer(place).is_some(), "{place} is not described");
        named += 1;
    }
    assert!(named > 50, "{named}");
}

#[tokio::test]
async fn what_is_wrong_is_told_as_a_problem() {
    let (access, _folder) = access();
    let admin = token(&access, "admin", Scope::Admin).await;
    let router = api(&Front { control: Arc::new(Nothing), access });
    let check = async |method, path, body, status, kind: &str, words: &str| {
        let (found, problem) = ask(&router, method, path, Some(&admin), body).await;
        assert_eq!(found.as_u16(), status, "{method} {path} {body}: {problem}");
        assert_eq!(problem["type"], format!("urn:tambo:problem:{kind}"), "{problem}");
        assert_eq!(problem["status"], status);
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(words), "{detail}");
    };
    check("GET", "/api/v1/nothing", "", 404, "not-found", "there is no /api/v1/nothing").await;
    check("GET", "/api/v1/sources/x", "", 404, "not-found", "nothing is here").await;
    check("PUT", "/api/v1/queue", "", 405, "method", "does not take PUT").await;
    check("GET", "/api/v1/queue?colour=red", "", 400, "question", "unknown field `colour`").await;
    check("POST", "/api/v1/queue/actions", "{", 400, "question", "EOF").await;
    check("POST", "/api/v1/queue/actions", "{}", 400, "question", "missing field `action`").await;
    let order = r#"{"action":"hold","query":{"tag":"t"},"why":" "}"#;
    check("POST", "/api/v1/queue/actions", order, 400, "question", "`why` is empty").await;
    let order = r#"{"action":"bounce","query":{},"why":"w"}"#;
    check("POST", "/api/v1/queue/actions", order, 400, "question", "names nothing").await;
    let order = r#"{"action":"bounce","query":{"limit":5},"why":"w"}"#;
    check("POST", "/api/v1/queue/actions", order, 400, "question", "names nothing").await;
    let order = r#"{"action":"bounce","query":{},"all":true,"why":"w"}"#;
    check("POST", "/api/v1/queue/actions", order, 404, "not-found", "nothing is here").await;
    let order = r#"{"action":"bounce","query":{},"all":true,"why":"w","dryrun":true}"#;
    check("POST", "/api/v1/queue/actions", order, 400, "question", "unknown field `dryrun`").await;
    for (order, why) in [
        (r#"{"kind":{},"why":"w"}"#, "names nothing"),
        (r#"{"kind":{},"why":"w","dry_run":true}"#, "names nothing"),
        (r#"{"kind":{"tag":"t"},"why":" "}"#, "`why` is empty"),
        (r#"{"kind":{"colour":"red"},"why":"w"}"#, "unknown field `colour`"),
        (r#"{"why":"w"}"#, "missing field `kind`"),
    ] {
        check("POST", "/api/v1/holds", order, 400, "question", why).await;
    }
    let order = r#"{"kind":{},"all":true,"why":"w"}"#;
    check("POST", "/api/v1/holds", order, 404, "not-found", "nothing is here").await;
    let order = r#"{"name":"x","scopes":["send"],"account":"b"}"#;
    check("POST", "/api/v1/tokens", order, 400, "question", "there is no account \"b\"").await;
    let order = r#"{"name":"x","scopes":[]}"#;
    check("POST", "/api/v1/tokens", order, 400, "question", "at least one scope").await;
    check("DELETE", "/api/v1/tokens/x", "", 404, "not-found", "there is no token of this name")
        .await;
    check("GET", "/api/v1/audit?limit=0", "", 400, "question", "limit is a number").await;
}

#[tokio::test]
async fn what_is_changed_stands_in_the_audit_log_without_secrets() {
    let (access, folder) = access();
    let admin = token(&access, "admin", Scope::Admin).await;
    let router = api(&Front { control: Arc::new(Nothing), access });
    let order = r#"{"name":"web","scopes":["read"],"expires_in_seconds":60}"#;
    let (status, made) = ask(&router, "POST", "/api/v1/tokens", Some(&admin), order).await;
    assert_eq!(status, StatusCode::CREATED);
    let text = made["token"].as_str().unwrap();
    let (status, _) = ask(&router, "GET", "/api/v1/status", Some(text), "").await;
    assert_eq!(status, StatusCode::OK);
    let order = r#"{"action":"retry","query":{"domain":"x.pe"},"why":"they are back"}"#;
    let (status, _) = ask(&router, "POST", "/api/v1/queue/actions", Some(&admin), order).await;
    assert_eq!(status, StatusCode::NOT_FOUND);

    let (_, page) = ask(&router, "GET", "/api/v1/audit?limit=3", Some(&admin), "").await;
    let rows = page["rows"].as_array().unwrap();
    let told: Vec<_> = rows.iter().map(|row| (row["what"].as_str().unwrap(), &row["of"])).collect();
    let (null, third) = (Value::Null, Value::from(3));
    assert_eq!(told[0], ("outcome", &third));
    assert_eq!(told[1], ("POST /api/v1/queue/actions", &null));
    assert_eq!(rows[1]["order"]["why"], "they are back");
    assert_eq!(rows[1]["who"], "admin");
    assert_eq!(rows[0]["order"]["error"], "nothing is here");
    assert_eq!(rows[2]["order"]["name"], "web");
    let next = page["next"].as_str().unwrap();
    let (_, page) =
        ask(&router, "GET", &format!("/api/v1/audit?from={next}"), Some(&admin), "").await;
    assert_eq!(page["rows"].as_array().unwrap().len(), 1);
    assert_eq!(page["next"], Value::Null);
    let book = std::fs::read_to_string(folder.path().join("audit.jsonl")).unwrap();
    assert!(!book.contains(&text[6..]), "a secret is in the audit log");
}
