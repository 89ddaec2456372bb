//! Whether the process lives, and whether it should be sent requests.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;

use super::AdminState;

/// The process lives: it can answer.
pub(super) async fn healthz() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// 200 while requests should be sent, else 503.
pub(super) async fn readyz(State(state): State<AdminState>) -> (StatusCode, Json<Ready>) {
    let report = state.live.ready();
    let reason = report.reason();
    let (code, status) = match reason {
        None => (StatusCode::OK, "ready"),
        Some(_) => (StatusCode::SERVICE_UNAVAILABLE, "not ready"),
    };
    let store = if report.store_up { "up" } else { "down" };
    let cache = if report.cache_usable { "usable" } else { "empty" };
    let redis = match report.redis_up {
        Some(true) => "up",
        Some(false) => "down",
        None => "off",
    };
    (code, Json(Ready { status, store, cache, redis, draining: report.draining, reason }))
}

#[derive(Serialize)]
pub(super) struct Health {
    status: &'static str,
}

#[derive(Serialize)]
pub(super) struct Ready {
    status: &'static str,
    store: &'static str,
    cache: &'static str,
    redis: &'static str,
    draining: bool,
    reason: Option<&'static str>,
}
