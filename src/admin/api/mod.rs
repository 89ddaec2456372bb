//! The admin API, `/admin/v1/…`: JSON for programs, one file a noun.
//!
//! Each endpoint is described where it is written, and what is served at `/admin/openapi.json` is made
//! of these descriptions.

mod config;
mod explain;
mod instances;
mod limits;
mod refusals;
mod request;
mod routes;
mod traffic;
mod upstreams;

use axum::Json;
use axum::extract::State;
use axum::routing::get;
use serde::Serialize;
use utoipa::openapi::OpenApi;
use utoipa::{OpenApi as _, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AdminState;
use super::error::ApiError;

/// What every endpoint gives.
type Answer<T> = Result<T, ApiError>;

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct List<T> {
    /// Newest first.
    pub(super) data: Vec<T>,
    /// Where the next page begins (`?cursor=`); null: this is the last one.
    pub(super) next_cursor: Option<String>,
}

/// An error; `code` is for programs, `message` for people.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only described: what is sent is an `ApiError`")]
pub(super) struct Error {
    error: ErrorBody,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "only described: what is sent is an `ApiError`")]
struct ErrorBody {
    code: String,
    message: String,
}

#[derive(utoipa::OpenApi)]
#[openapi(
    info(title = "keygate admin API", description = "Owners, keys, what they use and who changed them."),
    components(schemas(Error)),
    modifiers(&Bearer)
)]
struct Document;

/// Every endpoint wants an admin token.
struct Bearer;

impl utoipa::Modify for Bearer {
    fn modify(&self, document: &mut OpenApi) {
        use utoipa::openapi::security::{
            HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
        };
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        let components = document.components.get_or_insert_with(Default::default);
        components.add_security_scheme("admin_token", SecurityScheme::Http(scheme));
        let nothing: [&str; 0] = [];
        document.security = Some(vec![SecurityRequirement::new("admin_token", nothing)]);
    }
}

/// Every endpoint, and the document that describes them all.
pub(super) fn router() -> axum::Router<AdminState> {
    let (router, document) = OpenApiRouter::with_openapi(Document::openapi())
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
        .split_for_parts();
    let document = std::sync::Arc::new(document);
    router.route("/admin/openapi.json", get(async move || Json((*document).clone())))
}
