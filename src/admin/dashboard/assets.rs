//! The files that pages name: in the binary, and from nowhere else.

use axum::extract::Path;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

use crate::admin::error::ApiError;
use crate::domain::Reason;

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const ICON: &str = "image/svg+xml";
/// Names carry no version, so browsers ask again after a while.
const KEPT: &str = "public, max-age=300";

pub(super) async fn serve(Path(file): Path<String>) -> Response {
    let (kind, content): (_, &'static [u8]) = match file.as_str() {
        "style.css" => (STYLE, include_bytes!("assets/style.css")),
        "keygate.js" => (SCRIPT, include_bytes!("assets/keygate.js")),
        "setup.js" => (SCRIPT, include_bytes!("assets/setup.js")),
        "htmx.js" => (SCRIPT, include_bytes!("assets/vendor/htmx.min.js")),
        "uplot.js" => (SCRIPT, include_bytes!("assets/vendor/uPlot.iife.min.js")),
        "uplot.css" => (STYLE, include_bytes!("assets/vendor/uPlot.min.css")),
        "icon.svg" => (ICON, include_bytes!("assets/icon.svg")),
        _ => return ApiError::from(Reason::RouteNotFound).into_response(),
    };
    ([(CONTENT_TYPE, kind), (CACHE_CONTROL, KEPT)], content).into_response()
}
