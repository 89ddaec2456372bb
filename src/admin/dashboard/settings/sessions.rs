//! Ending a session of somebody's browser.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};

use crate::admin::AdminState;
use crate::admin::dashboard::{Editor, PageError};
use crate::domain::SessionId;

pub(super) async fn end(
    State(state): State<AdminState>,
    Editor(caller): Editor,
    Path(id): Path<String>,
) -> Result<Response, PageError> {
    if !state.store.end_session(&state.act(&caller), &SessionId::from_text(id)).await? {
        let message = "There is no such session: it has ended already.";
        return Err(PageError::new(StatusCode::NOT_FOUND, message));
    }
    Ok(Redirect::to("/settings?done=session#sessions").into_response())
}
