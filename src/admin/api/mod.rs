//! The admin API, `/admin/v1/…`: JSON for programs, one file a noun.
//!
//! Each endpoint is described where it is written, and what is served at `/admin/openapi.json` is made
//! of these descriptions; what all have in common is added by [`document`].

mod audit;
mod conditional;
mod config;
mod credits;
mod document;
mod explain;
mod instances;
mod keys;
mod limits;
mod money;
mod once;
mod owners;
mod reader;
mod receipt;
mod refusals;
mod request;
mod routes;
mod sessions;
mod tokens;
mod traffic;
mod upstreams;
mod usage;
mod webhooks;

use std::sync::Arc;

use axum::Json;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;
use utoipa::{OpenApi as _, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::conditional::{IfMatch, IfNoneMatch, tagged};
use self::receipt::{Receipt, Waiting};
use self::request::{
    Asked, Body, Id, MaybeBody, Paging, duration, end, given, object, read, search, since,
};
use super::AdminState;
use super::access::Caller;
use super::error::ApiError;
use crate::cluster;
use crate::domain::Reason;

/// The longest body, in bytes.
const MAX_BODY: usize = 256 * 1024;

/// What every endpoint gives.
type Answer<T> = Result<T, ApiError>;

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct List<T> {
    /// Newest first, unless it is said otherwise.
    pub(super) data: Vec<T>,
    /// Where the next page begins (`?cursor=`); null: this is the last one.
    #[schema(required = true)]
    pub(super) next_cursor: Option<String>,
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self { data: Vec::new(), next_cursor: None }
    }
}

/// An error; `code` is for programs, `message` for people.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only described: what is sent is an `ApiError`")]
pub(super) struct Error {
    error: ErrorBody,
}

/// What went wrong.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only described: what is sent is an `ApiError`")]
struct ErrorBody {
    code: String,
    message: String,
}

/// Every endpoint, the document that describes them all, and the page that shows it.
pub(super) fn router(state: &AdminState) -> axum::Router<AdminState> {
    let creating = creating();
    let created = document::operations(creating.get_openapi());
    let (router, api) = OpenApiRouter::with_openapi(document::Document::openapi())
        .merge(creating.layer(from_fn_with_state(state.clone(), once::once)))
        .merge(others())
        .split_for_parts();
    let document = Arc::new(document::complete(&api, &created));
    let page = Arc::new(reader::page(&document));
    router
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .route("/admin/openapi.json", get(async move || Json((*document).clone())))
        .route("/admin/docs", get(async move || axum::response::Html((*page).clone())))
}

/// What creates something, once under each `Idempotency-Key`.
fn creating() -> OpenApiRouter<AdminState> {
    OpenApiRouter::new()
        .routes(routes!(owners::create))
        .routes(routes!(credits::add))
        .routes(routes!(keys::create::create))
        .routes(routes!(keys::create::create_child))
        .routes(routes!(keys::rotate::rotate))
        .routes(routes!(tokens::create))
}

fn others() -> OpenApiRouter<AdminState> {
    OpenApiRouter::new()
        .routes(routes!(owners::list))
        .routes(routes!(owners::show))
        .routes(routes!(owners::disable))
        .routes(routes!(owners::enable))
        .routes(routes!(credits::show, credits::change))
        .routes(routes!(keys::list::list))
        .routes(routes!(keys::show, keys::change::change))
        .routes(routes!(keys::end::disable))
        .routes(routes!(keys::end::enable))
        .routes(routes!(keys::end::revoke))
        .routes(routes!(keys::list::children))
        .routes(routes!(usage::of_key))
        .routes(routes!(usage::all))
        .routes(routes!(audit::list))
        .routes(routes!(tokens::list))
        .routes(routes!(tokens::revoke))
        .routes(routes!(sessions::list))
        .routes(routes!(sessions::end))
        .routes(routes!(webhooks::list))
        .routes(routes!(webhooks::replay_failed))
        .routes(routes!(webhooks::replay))
        .routes(routes!(instances::list))
        .routes(routes!(routes::list))
        .routes(routes!(upstreams::list))
        .routes(routes!(refusals::list))
        .routes(routes!(traffic::list))
        .routes(routes!(limits::show))
        .routes(routes!(explain::of_request, explain::of_wanted))
        .routes(routes!(config::show))
        .routes(routes!(config::check))
        .routes(routes!(config::reload))
}
