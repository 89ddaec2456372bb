//! Changing an owner: adding credits, switching all its keys off and on.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use tokio::time::Instant;

use super::show::{Done, find, shown};
use crate::admin::AdminState;
use crate::admin::dashboard::words::escaped;
use crate::admin::dashboard::{Editor, Fields, PageError, page, receipt};
use crate::admin::error::ApiError;
use crate::auth::mint::MintError;
use crate::domain::Millionths;
use crate::store::Credits;

pub(super) async fn add_credits(
    State(state): State<AdminState>,
    Editor(caller): Editor,
    Path(id): Path<String>,
    sent: Fields,
) -> Result<Response, PageError> {
    let owner = find(&state, &id).await?;
    let (loaded, asker) = (state.loaded(), caller.asker());
    let (amount, reason) = (sent.text("amount"), sent.text("reason"));
    let wrong = match amount.parse::<Millionths>() {
        Err(error) => error.to_string(),
        Ok(amount) => {
            let mint = state.mint(&loaded, &asker);
            let added: Result<Credits, MintError> =
                mint.add_credits(&owner.id, amount, reason).await;
            match added.map_err(ApiError::from) {
                Ok(_) => {
                    let page = format!("/owners/{}?added={amount}", escaped(owner.id.as_str()));
                    return Ok(Redirect::to(&page).into_response());
                }
                Err(error) if error.status.is_client_error() => error.message,
                Err(error) => return Err(error.into()),
            }
        }
    };
    let mut shown = shown(&state, &caller, &owner).await?;
    (shown.amount, shown.reason) = (amount.to_owned(), reason.to_owned());
    shown.wrong = Some(wrong);
    Ok((StatusCode::UNPROCESSABLE_ENTITY, page(&shown)).into_response())
}

pub(super) async fn disable(
    state: State<AdminState>,
    editor: Editor,
    id: Path<String>,
) -> Result<Response, PageError> {
    switch(state, editor, id, true).await
}

pub(super) async fn enable(
    state: State<AdminState>,
    editor: Editor,
    id: Path<String>,
) -> Result<Response, PageError> {
    switch(state, editor, id, false).await
}

async fn switch(
    State(state): State<AdminState>,
    Editor(caller): Editor,
    Path(id): Path<String>,
    disabled: bool,
) -> Result<Response, PageError> {
    let owner = find(&state, &id).await?;
    let (loaded, asker) = (state.loaded(), caller.asker());
    let owner = state.mint(&loaded, &asker).set_owner_disabled(owner.id.as_str(), disabled).await?;
    let receipt = receipt::wait(&state, Instant::now()).await;
    let mut shown = shown(&state, &caller, &owner).await?;
    let text = if disabled { "Disabled: all its keys are refused." } else { "Enabled." };
    shown.done = Some(Done { text: text.to_owned(), receipt: Some(receipt) });
    Ok(page(&shown))
}
