//! `/keys`: the list.

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::query::KeyQuery;
use super::row::{Row, rows};
use crate::admin::AdminState;
use crate::admin::access::SignedIn;
use crate::admin::dashboard::words::{first_page, narrowing, next_page, page_from};
use crate::admin::dashboard::{Fields, Frame, PageError, Section, page};
use crate::store::Page;

/// Rows of a page.
const ROWS: u32 = 50;

#[derive(Template)]
#[template(path = "keys/list.html")]
struct List {
    frame: Frame,
    asked: Fields,
    rows: Vec<Row>,
    wrong: Option<String>,
    /// Whether any filter is set.
    narrowed: bool,
    is_later: bool,
    first: String,
    next: Option<String>,
    /// The catalogue, to choose from.
    scopes: Vec<String>,
}

pub(super) async fn show(
    State(state): State<AdminState>,
    SignedIn(caller): SignedIn,
    asked: Fields,
) -> Result<Response, PageError> {
    let query = KeyQuery::read(&state, &asked).await?;
    let from = page_from(asked.given("cursor").map(str::to_owned), ROWS);
    let is_later = from.after.is_some();
    let found = match &query.filter {
        Some(filter) => state.store.keys(filter, &from).await?,
        None => Page { rows: Vec::new(), next_cursor: None },
    };
    let loaded = state.loaded();
    let scopes = loaded.config.scopes.entries().map(|(name, _)| name.to_owned()).collect();
    let narrowed = narrowing(&asked.0).next().is_some();
    Ok(page(&List {
        frame: Frame::new("Keys", Section::Keys, &caller),
        rows: rows(&state, &found.rows).await?,
        wrong: query.wrong,
        narrowed,
        is_later,
        first: first_page("/keys", &asked.0),
        next: next_page("/keys", &asked.0, &found),
        scopes,
        asked,
    }))
}
