//! The admin listener: health, readiness, metrics, the admin API and the dashboard.
//!
//! It belongs to the control plane. What only the running process knows it asks of a [`Live`], which
//! the wiring implements; all else it reads from the store, and changes through the same
//! [`crate::auth::mint::Mint`] as the commands. Whatever goes wrong answers a program in the one
//! documented shape, an [`ApiError`].

pub mod access;
mod api;
mod dashboard;
mod error;
mod headers;
mod health;
mod live;
mod server;
mod state;
#[cfg(test)]
mod tests;

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::domain::Reason;
use crate::telemetry::metrics;

pub use access::Door;
pub use error::ApiError;
pub use live::{Live, NotReloaded, ReadyReport, RefusalFilter};
pub use server::{AdminTls, serve};
pub use state::AdminState;

/// Every endpoint of the admin listener.
pub fn router(state: AdminState) -> Router {
    Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(exposition))
        .merge(api::router(&state))
        .merge(dashboard::router(&state))
        .fallback(not_there)
        .method_not_allowed_fallback(async || ApiError::from(Reason::MethodNotAllowed))
        .layer(map_response(headers::protect))
        .with_state(state)
}

/// For people a page, for programs an error.
async fn not_there(headers: HeaderMap) -> Response {
    let wants_page = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
    if wants_page.is_some_and(|accept| accept.contains("text/html")) {
        return dashboard::not_there();
    }
    ApiError::from(Reason::RouteNotFound).into_response()
}

async fn exposition(State(state): State<AdminState>) -> impl IntoResponse {
    ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], state.metrics.encode())
}
