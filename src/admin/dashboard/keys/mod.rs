//! Keys: the list, making one, one of them with everything that is known of it, changing it.
//!
//! A file a page or an action. What changes something goes through [`crate::auth::mint::Mint`], as it
//! does by the admin API.

mod bulk;
mod create;
mod edit;
mod facts;
mod family;
mod form;
mod history;
mod list;
mod may;
mod once;
pub(super) mod query;
mod revoke;
mod rotate;
mod row;
mod same;
mod secret;
mod show;
mod switch;
pub(super) mod usage;

use axum::Router;
use axum::routing::{get, post};

use crate::admin::AdminState;

/// Every page about keys.
pub(super) fn router() -> Router<AdminState> {
    Router::new()
        .route("/keys", get(list::show))
        .route("/keys/new", get(create::show).post(create::create))
        .route("/keys/bulk", get(bulk::look).post(bulk::act))
        .route("/keys/{id}", get(show::show))
        .route("/keys/{id}/edit", get(edit::show).post(edit::edit))
        .route("/keys/{id}/rotate", get(rotate::show).post(rotate::rotate))
        .route("/keys/{id}/disable", post(switch::disable))
        .route("/keys/{id}/enable", post(switch::enable))
        .route("/keys/{id}/revoke", get(revoke::show).post(revoke::revoke))
        .route(
            "/keys/{id}/secrets/{secret}/revoke",
            get(revoke::show_secret).post(revoke::revoke_secret),
        )
}
