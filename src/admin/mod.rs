//! The admin listener: health, readiness, metrics.
//!
//! It belongs to the control plane and knows the data plane only by what it is told of it: the
//! [`Metrics`], and a [`Readiness`] that the wiring implements. Whatever goes wrong answers in the
//! one documented shape, an [`ApiError`].

mod error;
mod health;
mod server;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;

use crate::domain::Reason;
use crate::telemetry::metrics::{self, Metrics};

pub use error::ApiError;
pub use health::{Readiness, ReadyReport};
pub use server::serve;

/// What the endpoints answer from.
#[derive(Clone)]
pub struct AdminState {
    /// The process's metrics.
    pub metrics: Arc<Metrics>,
    /// Who knows whether the gateway is ready.
    pub readiness: Arc<dyn Readiness>,
}

/// Every endpoint of the admin listener.
pub fn router(state: AdminState) -> Router {
    Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(exposition))
        .fallback(async || ApiError::from(Reason::RouteNotFound))
        .method_not_allowed_fallback(async || ApiError::from(Reason::MethodNotAllowed))
        .with_state(state)
}

async fn exposition(State(state): State<AdminState>) -> impl IntoResponse {
    ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], state.metrics.encode())
}

#[cfg(test)]
mod tests;
