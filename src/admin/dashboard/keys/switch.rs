//! Switching a key off, and on again.

use axum::extract::{Path, State};
use axum::response::Redirect;

use crate::admin::AdminState;
use crate::admin::access::Caller;
use crate::admin::dashboard::{Editor, PageError};
use crate::domain::KeyId;

pub(super) async fn disable(
    State(state): State<AdminState>,
    Editor(caller): Editor,
    Path(id): Path<String>,
) -> Result<Redirect, PageError> {
    switch(&state, &caller, &KeyId::from_text(id), true).await
}

pub(super) async fn enable(
    State(state): State<AdminState>,
    Editor(caller): Editor,
    Path(id): Path<String>,
) -> Result<Redirect, PageError> {
    switch(&state, &caller, &KeyId::from_text(id), false).await
}

async fn switch(
    state: &AdminState,
    caller: &Caller,
    id: &KeyId,
    disabled: bool,
) -> Result<Redirect, PageError> {
    let (loaded, asker) = (state.loaded(), caller.asker());
    state.mint(&loaded, &asker).set_disabled(id, disabled).await?;
    let done = if disabled { "disabled" } else { "enabled" };
    Ok(Redirect::to(&format!("/keys/{id}?done={done}")))
}
