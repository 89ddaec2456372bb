//! All owners, and making one.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};

use crate::admin::AdminState;
use crate::admin::access::{Caller, SignedIn};
use crate::admin::dashboard::words::{Moment, escaped, next_page, page_from};
use crate::admin::dashboard::{Editor, Fields, Frame, PageError, Section, page};
use crate::admin::error::ApiError;
use crate::domain::Owner;
use crate::store::credits::balance;
use crate::store::{Page, StoreError};

/// Rows of a page.
const ROWS: u32 = 50;

#[derive(Template)]
#[template(path = "owners.html")]
struct Owners {
    frame: Frame,
    /// What is looked for.
    sought: String,
    rows: Vec<Row>,
    is_later: bool,
    next: Option<String>,
    /// What was typed as the name of a new owner.
    name: String,
    /// Why that was not made.
    wrong: Option<String>,
}

struct Row {
    id: String,
    name: String,
    status: &'static str,
    /// What is left of its credits, where it has any.
    credits: Option<String>,
    created: Moment,
}

pub(super) async fn show(
    State(state): State<AdminState>,
    SignedIn(caller): SignedIn,
    asked: Fields,
) -> Result<Response, PageError> {
    Ok(page(&owners(&state, &caller, &asked).await?))
}

pub(super) async fn create(
    State(state): State<AdminState>,
    Editor(caller): Editor,
    sent: Fields,
) -> Result<Response, PageError> {
    let (loaded, asker) = (state.loaded(), caller.asker());
    let name = sent.text("name").to_owned();
    let error = match state.mint(&loaded, &asker).create_owner(name.clone()).await {
        Ok(owner) => {
            return Ok(
                Redirect::to(&format!("/owners/{}", escaped(owner.id.as_str()))).into_response()
            );
        }
        Err(error) => ApiError::from(error),
    };
    if !error.status.is_client_error() {
        return Err(error.into());
    }
    let mut shown = owners(&state, &caller, &Fields::default()).await?;
    (shown.name, shown.wrong) = (name, Some(error.message));
    Ok((StatusCode::UNPROCESSABLE_ENTITY, page(&shown)).into_response())
}

async fn owners(state: &AdminState, caller: &Caller, asked: &Fields) -> Result<Owners, PageError> {
    let found = found(state, asked).await?;
    let next = next_page("/owners", &asked.0, &found);
    let mut rows = Vec::new();
    for owner in found.rows {
        rows.push(row(state, owner).await?);
    }
    Ok(Owners {
        frame: Frame::new("Owners", Section::Owners, caller),
        sought: asked.text("q").to_owned(),
        rows,
        is_later: asked.given("cursor").is_some(),
        next,
        name: String::new(),
        wrong: None,
    })
}

async fn found(state: &AdminState, asked: &Fields) -> Result<Page<Owner>, StoreError> {
    let from = page_from(asked.given("cursor").map(str::to_owned), ROWS);
    match asked.given("q") {
        Some(sought) => state.store.find_owners(sought, &from).await,
        None => state.store.owners(&from).await,
    }
}

async fn row(state: &AdminState, owner: Owner) -> Result<Row, StoreError> {
    let credits = match owner.credit_changes {
        0 => None,
        _ => state.store.credits(&owner.id).await?,
    };
    Ok(Row {
        id: owner.id.to_string(),
        status: super::show::status(&owner),
        name: owner.name,
        credits: credits.map(|credits| balance(credits.balance)),
        created: Moment::new(owner.created_at, state.now()),
    })
}
