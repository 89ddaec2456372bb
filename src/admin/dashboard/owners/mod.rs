//! Owners: whose the keys are, what they have paid for, and switching all their keys off at once.

mod change;
mod list;
mod show;

use axum::Router;
use axum::routing::{get, post};

use crate::admin::AdminState;

pub(super) fn router() -> Router<AdminState> {
    Router::new()
        .route("/owners", get(list::show).post(list::create))
        .route("/owners/{id}", get(show::show))
        .route("/owners/{id}/credits", post(change::add_credits))
        .route("/owners/{id}/disable", post(change::disable))
        .route("/owners/{id}/enable", post(change::enable))
}
