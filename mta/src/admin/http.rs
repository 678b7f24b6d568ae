//! The routes: `/api/v1` for the control socket, health and metrics for `admin.bind`.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, Json, Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use ipnet::IpNet;
use prometheus::Encoder;
use serde::Deserialize;
use serde_json::json;

use super::{
    Control, ControlError, ForecastQuestion, Order, QueueQuery, ReleaseOrder, SourceOrder,
    SwapOrder,
};

type Shared = Arc<dyn Control>;

/// What the command line speaks over the control socket.
pub fn api(control: Shared) -> Router {
    Router::new()
        .route("/api/v1/queue", get(queue))
        .route("/api/v1/queue/actions", post(act))
        .route("/api/v1/sources", get(sources))
        .route("/api/v1/sources/{name}", get(source))
        .route("/api/v1/sources/{name}/actions", post(act_on_source))
        .route("/api/v1/sources/{name}/swap", post(swap))
        .route("/api/v1/halts", get(halts))
        .route("/api/v1/halts/release", post(release))
        .route("/api/v1/warm-up", get(warm_up))
        .route("/api/v1/forecast", get(forecast))
        .route("/api/v1/trace", get(trace))
        .route("/api/v1/explain", get(explain))
        .route("/api/v1/status", get(status))
        .with_state(control)
}

/// Health for load balancers and metrics for Prometheus, for which `process` is measured, too. Needs
/// the client's address.
pub fn pages(control: Shared, allow: Vec<IpNet>, process: fn()) -> Router {
    let measured = Arc::clone(&control);
    let metrics = move |ConnectInfo(client): ConnectInfo<SocketAddr>| async move {
        let client = client.ip().to_canonical();
        if allow.iter().any(|network| network.contains(&client)) {
            measured.measure();
            process();
            metrics()
        } else {
            (StatusCode::FORBIDDEN, "metrics.allow does not list your address\n").into_response()
        }
    };
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(control)
}

async fn queue(State(control): State<Shared>, Query(query): Query<QueueQuery>) -> Response {
    answer(control.queue(query).await)
}

async fn act(State(control): State<Shared>, Json(order): Json<Order>) -> Response {
    answer(control.act(order).await)
}

async fn sources(State(control): State<Shared>) -> Response {
    answer(control.sources().await)
}

async fn source(State(control): State<Shared>, Path(name): Path<String>) -> Response {
    answer(control.source(name).await)
}

async fn act_on_source(
    State(control): State<Shared>,
    Path(name): Path<String>,
    Json(order): Json<SourceOrder>,
) -> Response {
    answer(control.act_on_source(name, order).await)
}

async fn swap(
    State(control): State<Shared>,
    Path(name): Path<String>,
    Json(order): Json<SwapOrder>,
) -> Response {
    answer(control.swap(name, order).await)
}

async fn halts(State(control): State<Shared>) -> Response {
    answer(control.halts().await)
}

async fn release(State(control): State<Shared>, Json(order): Json<ReleaseOrder>) -> Response {
    answer(control.release(order).await)
}

#[derive(Deserialize)]
struct PoolQuery {
    pool: Option<String>,
}

async fn warm_up(State(control): State<Shared>, Query(query): Query<PoolQuery>) -> Response {
    answer(control.warm_up(query.pool).await)
}

async fn forecast(
    State(control): State<Shared>,
    Query(question): Query<ForecastQuestion>,
) -> Response {
    answer(control.forecast(question).await)
}

#[derive(Deserialize)]
struct TraceQuery {
    of: String,
}

async fn trace(State(control): State<Shared>, Query(query): Query<TraceQuery>) -> Response {
    answer(control.trace(query.of).await)
}

#[derive(Deserialize)]
struct ExplainQuery {
    recipient: String,
    pool: Option<String>,
}

async fn explain(State(control): State<Shared>, Query(query): Query<ExplainQuery>) -> Response {
    answer(control.explain(query.recipient, query.pool).await)
}

async fn status(State(control): State<Shared>) -> Response {
    Json(control.status()).into_response()
}

/// Alive: what cannot be mended without a restart is not.
async fn healthz(State(control): State<Shared>) -> Response {
    match control.status().failed {
        None => (StatusCode::OK, "ok\n").into_response(),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

/// Takes mail now.
async fn readyz(State(control): State<Shared>) -> Response {
    match control.status().refusing {
        None => (StatusCode::OK, "ready\n").into_response(),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

fn metrics() -> Response {
    let encoder = prometheus::TextEncoder::new();
    let mut text = Vec::new();
    match encoder.encode(&prometheus::gather(), &mut text) {
        Ok(()) => {
            ([(header::CONTENT_TYPE, encoder.format_type().to_owned())], text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

fn answer<T: serde::Serialize>(result: Result<T, ControlError>) -> Response {
    match result {
        Ok(value) => Json(value).into_response(),
        Err(error) => {
            let status = match error {
                ControlError::Question(_) => StatusCode::BAD_REQUEST,
                ControlError::Spool(_) => StatusCode::SERVICE_UNAVAILABLE,
            };
            (status, Json(json!({ "error": error.to_string() }))).into_response()
        }
    }
}
