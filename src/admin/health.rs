//! Whether the process lives, and whether it should be sent requests.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;

use super::AdminState;

/// Who knows whether the gateway is ready.
pub trait Readiness: Send + Sync {
    /// How it stands now. Must not block.
    fn ready(&self) -> ReadyReport;
}

/// How the gateway stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadyReport {
    /// Whether the store is in reach and its changes are followed.
    pub store_up: bool,
    /// Whether the key table holds anything that may still be used while the store is away.
    pub cache_usable: bool,
    /// Whether limits are shared by Redis now; `None`: there is none. Requests may be sent either way.
    pub redis_up: Option<bool>,
    /// Whether the gateway is ending: no new requests, please.
    pub draining: bool,
}

impl ReadyReport {
    /// Why no requests should be sent; `None`: they should.
    pub fn reason(&self) -> Option<&'static str> {
        if self.draining {
            Some("the gateway is draining")
        } else if !self.store_up && !self.cache_usable {
            Some("the store is out of reach and nothing is cached")
        } else {
            None
        }
    }
}

/// The process lives: it can answer.
pub(super) async fn healthz() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// 200 while requests should be sent, else 503.
pub(super) async fn readyz(State(state): State<AdminState>) -> (StatusCode, Json<Ready>) {
    let report = state.readiness.ready();
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
