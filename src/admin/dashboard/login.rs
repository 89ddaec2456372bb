//! Signing in and out.

use askama::Template;
use axum::Form;
use axum::extract::State;
use axum::http::header::SET_COOKIE;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::{PageError, page};
use crate::admin::AdminState;
use crate::admin::access::{Caller, Peer, SignedIn, session};

#[derive(Template)]
#[template(path = "login.html")]
struct Login<'a> {
    /// What was wrong with the last try.
    wrong: Option<&'a str>,
}

/// What the form sends.
#[derive(Deserialize)]
pub(super) struct Shown {
    token: String,
}

pub(super) async fn show() -> Response {
    page(&Login { wrong: None })
}

pub(super) async fn sign_in(
    State(state): State<AdminState>,
    parts: Parts,
    Form(Shown { token }): Form<Shown>,
) -> Result<Response, PageError> {
    let now = state.now();
    let Some(token) = state.door.token(token.trim(), &*state.store, now).await? else {
        let login = page(&Login { wrong: Some("That is no admin token, or one that has ended.") });
        return Ok((StatusCode::UNAUTHORIZED, login).into_response());
    };
    let caller = Caller { token, session: None, address: Peer::of(&parts) };
    let cookie = session::begin(&state, &parts, &state.act(&caller), &caller.token).await?;
    Ok((AppendHeaders([(SET_COOKIE, cookie.to_string())]), Redirect::to("/")).into_response())
}

pub(super) async fn sign_out(
    State(state): State<AdminState>,
    SignedIn(caller): SignedIn,
) -> Result<Response, PageError> {
    if let Some(session) = &caller.session {
        state.store.end_session(&state.act(&caller), session).await?;
    }
    let forget = HeaderValue::try_from(session::forgotten().to_string());
    let forget = forget.expect("a cookie of ours is a header");
    Ok((AppendHeaders([(SET_COOKIE, forget)]), Redirect::to("/login")).into_response())
}
