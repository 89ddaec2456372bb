//! Changing an owner: adding credits, switching all its keys off and on.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use tokio::time::Instant;

use super::show::{Done, find, shown};
use crate::admin::AdminState;
use crate::admin::dashboard::words::{counted, escaped};
use crate::admin::dashboard::{Editor, Fields, PageError, page};
use crate::admin::error::ApiError;
use crate::auth::mint::MintError;
use crate::cluster::Receipt;
use crate::cluster::receipt::{self, AT_MOST};
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
    let stale = loaded.config.cache.stale_if_down;
    let receipt = receipt::wait(&*state.store, Instant::now(), AT_MOST, stale).await.ok();
    let mut shown = shown(&state, &caller, &owner).await?;
    shown.done = Some(told(disabled, receipt.as_ref()));
    Ok(page(&shown))
}

/// What was done, and who has confirmed it.
fn told(disabled: bool, receipt: Option<&Receipt>) -> Done {
    let done = if disabled { "Disabled: all its keys are refused" } else { "Enabled" };
    let Some(receipt) = receipt else {
        let text = format!("{done}. Which instances have confirmed it is not known.");
        return Done { text, is_sure: false };
    };
    let Receipt { instances, confirmed, slowest_ms, .. } = receipt;
    let running = counted(*instances as u64, "running instance");
    let text = match slowest_ms {
        Some(ms) => {
            format!("{done}. Confirmed by {confirmed} of {running}, the slowest after {ms} ms.")
        }
        None => format!("{done}. Confirmed by {confirmed} of {running}."),
    };
    Done { text, is_sure: receipt.late.is_empty() && receipt.silent.is_empty() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_receipt_says_who_has_confirmed_and_how_long_it_took() {
        let receipt = |instances, confirmed, slowest_ms| {
            let none = Vec::new;
            Receipt { instances, confirmed, slowest_ms, silent: none(), late: none() }
        };
        let said = |disabled, receipt: Option<&Receipt>| told(disabled, receipt).text;
        assert_eq!(
            said(true, Some(&receipt(2, 2, Some(12)))),
            "Disabled: all its keys are refused. Confirmed by 2 of 2 running instances, the \
             slowest after 12 ms."
        );
        assert_eq!(
            said(false, Some(&receipt(0, 0, None))),
            "Enabled. Confirmed by 0 of 0 running instances."
        );
        assert!(told(true, Some(&receipt(1, 1, Some(1)))).is_sure && !told(true, None).is_sure);
    }
}
