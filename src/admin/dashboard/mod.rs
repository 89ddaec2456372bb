//! The dashboard: pages made by the server, for people.
//!
//! Every page is whole at its address and works without a script; where scripts run, htmx replaces
//! the part that an answer has anew. A page that shows something takes a [`SignedIn`], a form that
//! changes something an [`Editor`], and both change nothing but by the ways that the admin API has too.
//! Templates escape whatever they are given.

mod assets;
mod audit;
mod chart;
mod editor;
mod fields;
mod frame;
mod keys;
mod login;
mod names;
mod overview;
mod owners;
mod receipt;
mod refusals;
mod routes;
mod settings;
mod setup;
mod webhooks;
pub(super) mod words;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};

use super::AdminState;

pub(super) use editor::Editor;
pub(super) use fields::Fields;
pub(super) use frame::{Frame, PageError, Section, not_there, page};

/// Every page. What stands before the guard is for who is signed in, and its forms for admins alone.
pub(super) fn router(state: &AdminState) -> Router<AdminState> {
    Router::new()
        .route("/", get(overview::show))
        .route("/audit", get(audit::show))
        .route("/refusals", get(refusals::show))
        .route("/refusals/{request_id}", get(refusals::show_one))
        .merge(keys::router())
        .merge(owners::router())
        .merge(settings::router())
        .merge(webhooks::router())
        .layer(from_fn_with_state(state.clone(), editor::guard))
        .merge(questions(state))
        .merge(ways_in())
        .layer(from_fn(editor::same_origin))
        .route("/assets/{file}", get(assets::serve))
}

/// Forms that change nothing and whose fields no address may hold, for everybody who is signed in.
fn questions(state: &AdminState) -> Router<AdminState> {
    routes::router().layer(from_fn_with_state(state.clone(), editor::guard_questions))
}

/// The pages for who is not signed in, or not any more.
fn ways_in() -> Router<AdminState> {
    Router::new()
        .route("/login", get(login::show).post(login::sign_in))
        .route("/logout", post(login::sign_out))
        .route("/setup", get(setup::show).post(setup::make))
}
