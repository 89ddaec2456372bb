//! Routes and upstreams: what a request meets, in the order in which it is decided, and a box that
//! says of any request what would become of it.

mod ask;
mod rows;

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;

use self::ask::{Asked, Candidate};
use self::rows::{RouteRow, UpstreamRow};
use super::{Frame, PageError, Section, page};
use crate::admin::AdminState;
use crate::admin::access::{Caller, SignedIn};
use crate::domain::Explanation;

pub(super) fn router() -> Router<AdminState> {
    Router::new().route("/routes", get(show).post(ask::explain))
}

#[derive(Template)]
#[template(path = "routes.html")]
struct RoutesPage {
    frame: Frame,
    routes: Vec<RouteRow>,
    upstreams: Vec<UpstreamRow>,
    asked: Asked,
    /// What would become of the request that was asked about.
    explanation: Option<Explanation>,
    /// Keys that may have been meant.
    candidates: Vec<Candidate>,
    /// Why it was not explained.
    wrong: Option<String>,
}

async fn show(
    State(state): State<AdminState>,
    SignedIn(caller): SignedIn,
) -> Result<Response, PageError> {
    Ok(page(&routes(&state, &caller, Asked::from_here(&caller))))
}

fn routes(state: &AdminState, caller: &Caller, asked: Asked) -> RoutesPage {
    let plan = state.live.plan();
    RoutesPage {
        frame: Frame::new("Routes and upstreams", Section::Routes, caller),
        routes: rows::routes(&plan),
        upstreams: plan.upstreams.iter().map(|it| UpstreamRow::new(it, &plan)).collect(),
        asked,
        explanation: None,
        candidates: Vec::new(),
        wrong: None,
    }
}
