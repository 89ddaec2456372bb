//! Admin tokens: making one, which is shown once, and revoking one.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use jiff::{SignedDuration, Timestamp};

use super::settings;
use crate::admin::AdminState;
use crate::admin::dashboard::{Editor, Fields, PageError, page};
use crate::auth::mint::MintError;
use crate::domain::{AdminTokenId, Role};

pub(super) async fn create(
    State(state): State<AdminState>,
    Editor(caller): Editor,
    sent: Fields,
) -> Result<Response, PageError> {
    let now = state.now();
    // What the form does not offer may do the least.
    let role = sent.text("role").parse().unwrap_or(Role::Viewer);
    let expires_at = expiry(sent.text("expires"), now);
    let name = sent.text("name").to_owned();
    match state.mint_token(name, role, expires_at).await {
        Ok((token, minted)) => {
            state.store.create_token(&state.act(&caller), &token).await?;
            let mut shown = settings(&state, &caller).await?;
            shown.made = Some((token.name, minted.text.expose().to_owned()));
            Ok(page(&shown))
        }
        Err(error @ MintError::Invalid { .. }) => {
            let mut shown = settings(&state, &caller).await?;
            sent.text("name").clone_into(&mut shown.name);
            shown.wrong = Some(error.to_string());
            Ok((StatusCode::UNPROCESSABLE_ENTITY, page(&shown)).into_response())
        }
        Err(error) => Err(error.into()),
    }
}

/// In so many days; what is no number of days is never.
fn expiry(days: &str, now: Timestamp) -> Option<Timestamp> {
    let days: i64 = days.parse().ok().filter(|days| (1..=36_500).contains(days))?;
    now.checked_add(SignedDuration::from_hours(24 * days)).ok()
}

pub(super) async fn revoke(
    State(state): State<AdminState>,
    Editor(caller): Editor,
    Path(id): Path<String>,
) -> Result<Response, PageError> {
    if !state.store.revoke_token(&state.act(&caller), &AdminTokenId::from_text(id)).await? {
        let message = "There is no such token, or it was revoked before.";
        return Err(PageError::new(StatusCode::NOT_FOUND, message));
    }
    Ok(Redirect::to("/settings?done=token#tokens").into_response())
}
