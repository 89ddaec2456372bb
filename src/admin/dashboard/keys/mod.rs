//! Keys: the list, making one, one of them with everything that is known of it, changing it.
//!
//! A file a page or an action. What changes something goes through [`crate::auth::mint::Mint`], as it
//! does by the admin API.

mod create;
mod facts;
mod family;
mod form;
mod history;
mod list;
mod may;
mod once;
mod query;
mod row;
mod same;
mod secret;
mod show;
pub(super) mod usage;

use axum::Router;
use axum::routing::get;

use crate::admin::AdminState;

/// Every page about keys.
pub(super) fn router() -> Router<AdminState> {
    Router::new()
        .route("/keys", get(list::show))
        .route("/keys/new", get(create::show).post(create::create))
        .route("/keys/{id}", get(show::show))
}
