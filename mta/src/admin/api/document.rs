//! The description of the API: OpenAPI 3.1 for programs, and the same as a page for people.

use std::fmt::Write;
use std::sync::Arc;

use axum::Router;
use axum::http::header;
use axum::routing::get;
use serde_json::Value;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, InfoBuilder, OpenApi, OpenApiBuilder, RefOr, ResponseBuilder,
    SecurityRequirement,
};
use utoipa::{PartialSchema, ToSchema};

use crate::access::Scope;

use crate::admin::{GroupBy, NumbersBy, NumbersStep, ReportFormat, ReportLanguage};
use crate::compose::Mistake;

use super::{Front, Problem};

/// Name of the way to show a token.
const SCHEME: &str = "token";

const DESCRIPTION: &str = "What can be asked of a Tambo relay, and ordered. Send a token in \
`Authorization: Bearer …`; `tambo token create` on the relay makes one. What goes wrong is told as RFC 9457 says, \
in `application/problem+json`. Lists come in pages: `limit` rows at most, and `next` is the `from` of the page that follows.";

/// An empty description.
pub(super) fn begun() -> OpenApi {
    let mut info = InfoBuilder::new()
        .title("Tambo")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(DESCRIPTION))
        .build();
    info.license = None;
    let mut scheme = Http::new(HttpAuthScheme::Bearer);
    scheme.description = Some("Made by `tambo token create`.".to_owned());
    let components = ComponentsBuilder::new()
        .security_scheme(SCHEME, SecurityScheme::Http(scheme))
        .schema(Problem::name(), Problem::schema())
        .schema(Mistake::name(), Mistake::schema())
        // What queries alone name.
        .schema(GroupBy::name(), GroupBy::schema())
        .schema(NumbersBy::name(), NumbersBy::schema())
        .schema(NumbersStep::name(), NumbersStep::schema())
        .schema(ReportFormat::name(), ReportFormat::schema())
        .schema(ReportLanguage::name(), ReportLanguage::schema())
        .build();
    OpenApiBuilder::new().info(info).components(Some(components)).build()
}

/// Says of each operation which scope it needs, and how it fails.
pub(super) fn secure(document: &mut OpenApi, scope: Scope) {
    for (_, operation) in document.paths.paths.values_mut().flat_map(operations) {
        operation.security = Some(vec![SecurityRequirement::new(SCHEME, [scope.word()])]);
        let said = operation.description.take().unwrap_or_default();
        operation.description =
            Some(format!("{said}\n\nNeeds the scope `{scope}`.").trim().to_owned());
        for (status, title) in FAILURES {
            let content = ContentBuilder::new().schema(Some(problem())).build();
            let response = ResponseBuilder::new()
                .description(title)
                .content("application/problem+json", content);
            let responses = &mut operation.responses.responses;
            responses.entry(status.to_owned()).or_insert_with(|| RefOr::T(response.build()));
        }
    }
}

/// Every route may answer so.
const FAILURES: [(&str, &str); 9] = [
    ("400", "The request makes no sense."),
    ("401", "No token, or one that is not known."),
    ("403", "The token does not allow this."),
    ("404", "There is no such thing."),
    ("409", "It cannot be done as things are."),
    ("413", "The request is too large."),
    ("415", "The body is no JSON."),
    ("429", "Too many requests: `retry_after` says when to come back."),
    ("503", "The spool does not answer, or the relay is stopping."),
];

fn problem() -> RefOr<utoipa::openapi::Schema> {
    RefOr::Ref(utoipa::openapi::Ref::from_schema_name(Problem::name()))
}

/// Names each operation by its method and path, as in `get_queue_summary`.
pub(super) fn finish(document: &mut OpenApi) {
    for (path, item) in &mut document.paths.paths {
        let words: Vec<&str> =
            path.trim_start_matches("/api/v1/").split(['/', '-', '{', '}']).collect();
        let name = words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join("_");
        for (method, operation) in operations(item) {
            operation.operation_id = Some(format!("{method}_{name}"));
        }
    }
}

fn operations(
    item: &mut utoipa::openapi::PathItem,
) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    let all = [
        ("get", &mut item.get),
        ("put", &mut item.put),
        ("post", &mut item.post),
        ("delete", &mut item.delete),
        ("patch", &mut item.patch),
    ];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// The description as it is served.
pub(super) fn pages(document: &OpenApi) -> Router<Front> {
    let value = serde_json::to_value(document).unwrap_or_default();
    let page: Arc<str> = page(&value).into();
    let json: Arc<str> = serde_json::to_string_pretty(&value).unwrap_or_default().into();
    Router::new()
        .route(
            "/api/v1/openapi.json",
            get(move || async move { ([(header::CONTENT_TYPE, "application/json")], json.to_string()) }),
        )
        .route(
            "/api/v1",
            get(move || async move { ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], page.to_string()) }),
        )
}

/// The description for people: each route with what it takes and answers, then each structure.
fn page(document: &Value) -> String {
    let mut html = String::from(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>Tambo API</title><h1>Tambo API</h1>",
    );
    paragraphs(&mut html, &document["info"]["description"]);
    html.push_str("<p>The same for programs: <a href=\"/api/v1/openapi.json\">openapi.json</a></p><h2>Routes</h2>");
    for (path, item) in document["paths"].as_object().into_iter().flatten() {
        for (method, operation) in item.as_object().into_iter().flatten() {
            route(&mut html, path, method, operation);
        }
    }
    html.push_str("<h2>Structures</h2>");
    for (name, schema) in document["components"]["schemas"].as_object().into_iter().flatten() {
        let _ = write!(html, "<h3 id=\"{0}\">{0}</h3>", escaped(name));
        paragraphs(&mut html, &schema["description"]);
        fields(&mut html, schema);
    }
    html.push_str("</html>");
    html
}

fn route(html: &mut String, path: &str, method: &str, operation: &Value) {
    let _ = write!(html, "<h3><code>{} {}</code></h3>", method.to_uppercase(), escaped(path));
    paragraphs(html, &operation["summary"]);
    paragraphs(html, &operation["description"]);
    let parameters: Vec<&Value> =
        operation["parameters"].as_array().into_iter().flatten().collect();
    if !parameters.is_empty() {
        html.push_str("<table><tr><th>Parameter<th>In<th>Meaning");
        for it in parameters {
            let _ = write!(
                html,
                "<tr><td><code>{}</code><td>{}<td>{}",
                text(&it["name"]),
                text(&it["in"]),
                text(&it["description"])
            );
        }
        html.push_str("</table>");
    }
    let body = &operation["requestBody"]["content"]["application/json"]["schema"];
    if !body.is_null() {
        let _ = write!(html, "<p>Takes {}</p>", kind(body));
    }
    for (status, response) in operation["responses"].as_object().into_iter().flatten() {
        let answer = &response["content"]["application/json"]["schema"];
        if status.starts_with('2') {
            let _ = write!(html, "<p>Answers {status}: {}</p>", kind(answer));
        }
    }
}

fn fields(html: &mut String, schema: &Value) {
    if let Some(words) = schema["enum"].as_array() {
        let words: Vec<String> =
            words.iter().map(|word| format!("<code>{}</code>", text(word))).collect();
        let _ = write!(html, "<p>One of {}</p>", words.join(", "));
    }
    let variants =
        schema["oneOf"].as_array().into_iter().chain(schema["allOf"].as_array()).flatten();
    for variant in variants {
        if let Some(word) = variant["enum"].as_array().and_then(|words| words.first()) {
            let _ = write!(
                html,
                "<p><code>{}</code>: {}</p>",
                text(word),
                text(&variant["description"])
            );
        } else if variant["$ref"].is_string() {
            let _ = write!(html, "<p>All of {}</p>", kind(variant));
        } else {
            fields(html, variant);
        }
    }
    let Some(properties) = schema["properties"].as_object() else { return };
    html.push_str("<table><tr><th>Field<th>Kind<th>Meaning");
    for (name, property) in properties {
        let _ = write!(
            html,
            "<tr><td><code>{}</code><td>{}<td>{}",
            escaped(name),
            kind(property),
            text(&property["description"])
        );
    }
    html.push_str("</table>");
}

/// The kind of a value, with a link where it is a structure.
fn kind(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        return format!("<a href=\"#{0}\">{0}</a>", escaped(name));
    }
    if schema["type"] == "array" {
        return format!("list of {}", kind(&schema["items"]));
    }
    let several = schema["oneOf"].as_array().or(schema["anyOf"].as_array());
    if let Some(several) = several {
        let kinds: Vec<String> = several.iter().map(kind).collect();
        return kinds.join(" or ");
    }
    match &schema["type"] {
        Value::Array(kinds) => kinds.iter().map(text).collect::<Vec<_>>().join(" or "),
        Value::String(kind) => escaped(kind),
        _ => "anything".to_owned(),
    }
}

fn paragraphs(html: &mut String, value: &Value) {
    for paragraph in value.as_str().unwrap_or_default().split("\n\n").filter(|it| !it.is_empty()) {
        let _ = write!(html, "<p>{}</p>", escaped(paragraph));
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => escaped(text),
        Value::Null => String::new(),
        other => escaped(&other.to_string()),
    }
}

/// Text in HTML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
