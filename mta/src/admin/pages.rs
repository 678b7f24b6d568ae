//! Health for load balancers and metrics for Prometheus.

use axum::Router;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use ipnet::IpNet;
use prometheus::Encoder;
use prometheus::proto::MetricFamily;
use tokio::sync::Mutex;

use crate::access::Scope;

use super::Control;
use super::api::{Front, Need, Origin, allowed};

/// Whose turn it is to measure.
static TURN: Mutex<()> = Mutex::const_new(());

/// The pages; for `/metrics` the `process` is measured, too.
pub fn pages(front: &Front, allow: Vec<IpNet>, process: fn()) -> Router {
    let metrics = move |State(front): State<Front>,
                        Extension(origin): Extension<Origin>,
                        headers: HeaderMap| async move {
        if !is_trusted(origin, &allow)
            && let Err(problem) = allowed(&front, Need::Scope(Scope::Read), origin, &headers)
        {
            return problem.into_response();
        }
        // Who reads at the same time would see gauges that are being made anew.
        let _turn = TURN.lock().await;
        front.control.measure();
        process();
        metrics()
    };
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(front.clone())
}

/// The metrics as they are now, for whoever shows figures to people.
pub async fn gathered(control: &dyn Control) -> Vec<MetricFamily> {
    let _turn = TURN.lock().await;
    control.measure();
    prometheus::gather()
}

fn is_trusted(origin: Origin, allow: &[IpNet]) -> bool {
    match origin {
        Origin::Socket => true,
        Origin::Network(from) => allow.iter().any(|network| network.contains(&from)),
    }
}

/// Alive: what cannot be mended without a restart is not.
async fn healthz(State(front): State<Front>) -> Response {
    match front.control.status().failed {
        None => (StatusCode::OK, "ok\n").into_response(),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

/// Takes mail now.
async fn readyz(State(front): State<Front>) -> Response {
    match front.control.status().refusing {
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
