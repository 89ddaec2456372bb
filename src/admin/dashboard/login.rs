//! Signing in and out.

use askama::Template;
use axum::Form;
use axum::extract::rejection::FormRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::{HeaderValue, RETRY_AFTER, SET_COOKIE, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::{PageError, page};
use crate::admin::AdminState;
use crate::admin::access::{Caller, Peer, next, session};
use crate::admin::error::ApiError;
use crate::key::SecretText;

#[derive(Template)]
#[template(path = "login.html")]
struct Login<'a> {
    /// What was wrong with the last try.
    wrong: Option<&'a str>,
    /// Where to go afterwards, where that is not the overview.
    next: Option<&'a str>,
    /// Whether the first token may be made.
    offers_setup: bool,
}

/// What the address may say.
#[derive(Default, Deserialize)]
pub(super) struct Wanted {
    next: Option<String>,
}

/// What the form sends.
#[derive(Deserialize)]
pub(super) struct Shown {
    token: String,
    next: Option<String>,
}

/// The form; who is signed in goes on at once.
pub(super) async fn show(
    State(state): State<AdminState>,
    parts: Parts,
    Query(Wanted { next }): Query<Wanted>,
) -> Response {
    let next = next.as_deref().and_then(next::own);
    match session::caller(&parts, &state).await {
        Ok(Some(_)) => Redirect::to(next.unwrap_or("/")).into_response(),
        Ok(None) => page(&login(&state, None, next)),
        Err(error) => refused(&state, error, next),
    }
}

pub(super) async fn sign_in(
    State(state): State<AdminState>,
    parts: Parts,
    form: Result<Form<Shown>, FormRejection>,
) -> Response {
    let Ok(Form(Shown { token, next })) = form else {
        let message = "The form has a field `token`, and may have one `next`.";
        return PageError::new(StatusCode::BAD_REQUEST, message).into_response();
    };
    let (token, next) = (SecretText::new(token), next.as_deref().and_then(next::own));
    match begin(&state, &parts, &token).await {
        Ok(cookie) => {
            let to = Redirect::to(next.unwrap_or("/"));
            (AppendHeaders([(SET_COOKIE, cookie)]), to).into_response()
        }
        Err(error) => refused(&state, error, next),
    }
}

async fn begin(
    state: &AdminState,
    parts: &Parts,
    token: &SecretText,
) -> Result<HeaderValue, ApiError> {
    let address = Peer::of(parts);
    let found = state.door.token(token.expose().trim(), &state.knock(address)).await?;
    let token = found.ok_or_else(ApiError::unauthorized)?;
    let caller = Caller { token, session: None, address };
    session::begin(state, parts, &state.act(&caller), &caller.token).await
}

/// The form again, with what is wrong.
fn refused(state: &AdminState, error: ApiError, next: Option<&str>) -> Response {
    let ApiError { status, message, retry_after, .. } = error;
    let wrong = match status {
        StatusCode::UNAUTHORIZED => {
            "That is no admin token, or one that has expired or was revoked.".to_owned()
        }
        StatusCode::TOO_MANY_REQUESTS => {
            let seconds = retry_after.unwrap_or(1);
            format!("Too many sign-ins from your address have failed. Try again in {seconds} s.")
        }
        StatusCode::SERVICE_UNAVAILABLE => {
            "Nobody can sign in now: the store is out of reach or busy. Try again in a moment."
                .to_owned()
        }
        _ => message,
    };
    let mut response = (status, page(&login(state, Some(&wrong), next))).into_response();
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

fn login<'a>(state: &AdminState, wrong: Option<&'a str>, next: Option<&'a str>) -> Login<'a> {
    Login { wrong, next, offers_setup: state.door.offers_setup() }
}

/// Ends the session in the store, and has the browser forget it.
pub(super) async fn sign_out(
    State(state): State<AdminState>,
    parts: Parts,
) -> Result<Response, PageError> {
    if let Some(caller) = session::caller(&parts, &state).await?
        && let Some(session) = &caller.session
    {
        state.store.end_session(&state.act(&caller), session).await?;
    }
    let forget = AppendHeaders([(SET_COOKIE, session::forgotten(&state))]);
    Ok((forget, Redirect::to(next::SIGN_IN)).into_response())
}
