//! Sessions of the dashboard: a browser that has shown a token once holds a cookie instead.
//!
//! The cookie is 256 random bits, new at every sign-in; the store has only its SHA-256. It is for pages
//! alone: the admin API takes tokens and nothing else, so that no page elsewhere can have a browser
//! call it.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use axum::extract::FromRequestParts;
use axum::http::header::{COOKIE, USER_AGENT};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Redirect, Response};
use cookie::{Cookie, SameSite};
use jiff::{SignedDuration, Timestamp};
use rand::TryRng as _;
use rand::rngs::SysRng;

use super::{Caller, Peer};
use crate::admin::AdminState;
use crate::admin::error::ApiError;
use crate::domain::{Act, AdminSession, AdminToken, Reason, SessionId};
use crate::key::hex;

/// How long a session lasts.
pub(in crate::admin) const LASTS: SignedDuration = SignedDuration::from_hours(12);
/// Where browsers keep it.
const NAME: &str = "keygate_session";
/// Times of use are kept to the minute.
const NOTED: SignedDuration = SignedDuration::from_mins(1);
/// What is kept of a browser's name, in characters.
const AGENT: usize = 200;

/// Somebody who is signed in to the dashboard. Who is not is sent to do so.
pub(in crate::admin) struct SignedIn(pub(in crate::admin) Caller);

impl FromRequestParts<AdminState> for SignedIn {
    type Rejection = Response;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &AdminState,
    ) -> Result<Self, Self::Rejection> {
        match caller(parts, state).await {
            Ok(Some(caller)) => Ok(Self(caller)),
            Ok(None) => Err(Redirect::to("/login").into_response()),
            Err(error) => Err(error.into_response()),
        }
    }
}

async fn caller(parts: &Parts, state: &AdminState) -> Result<Option<Caller>, ApiError> {
    let Some(shown) = shown(parts) else { return Ok(None) };
    let now = state.now();
    let Some((session, token)) = state.store.session(&digest_of(&shown)).await? else {
        return Ok(None);
    };
    if session.expires_at <= now || !token.is_live(now) {
        return Ok(None);
    }
    if now.duration_since(session.last_used_at) >= NOTED {
        state.store.note_session_use(&session.id, now).await?;
    }
    Ok(Some(Caller { token, session: Some(session.id), address: Peer::of(parts) }))
}

/// What the browser shows.
fn shown(parts: &Parts) -> Option<String> {
    let cookies = parts.headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut cookies = cookies.flat_map(Cookie::split_parse).flatten();
    cookies.find(|cookie| cookie.name() == NAME).map(|cookie| cookie.value().to_owned())
}

fn digest_of(shown: &str) -> String {
    hex::encode(digest(&SHA256, shown.as_bytes()).as_ref())
}

/// Begins a session of that token; the cookie that the browser is to keep.
pub(in crate::admin) async fn begin(
    state: &AdminState,
    parts: &Parts,
    act: &Act,
    token: &AdminToken,
) -> Result<Cookie<'static>, ApiError> {
    let mut bits = [0u8; 32];
    SysRng.try_fill_bytes(&mut bits).map_err(|_| ApiError::from(Reason::InternalError))?;
    let (shown, now) = (hex::encode(&bits), state.now());
    let expires_at = ends(now, token);
    let agent = parts.headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok());
    let session = AdminSession {
        id: SessionId::mint(),
        digest: digest_of(&shown),
        token: token.id.clone(),
        created_at: now,
        expires_at,
        last_used_at: now,
        address: Peer::of(parts),
        agent: agent.unwrap_or_default().chars().take(AGENT).collect(),
    };
    state.store.create_session(act, &session).await?;
    let lasts = Duration::try_from(expires_at.duration_since(now)).unwrap_or_default();
    Ok(cookie(shown, lasts))
}

fn ends(now: Timestamp, token: &AdminToken) -> Timestamp {
    let end = now.checked_add(LASTS).unwrap_or(Timestamp::MAX);
    token.expires_at.map_or(end, |expires_at| expires_at.min(end))
}

/// The cookie with which a browser forgets.
pub(in crate::admin) fn forgotten() -> Cookie<'static> {
    cookie(String::new(), Duration::ZERO)
}

fn cookie(value: String, lasts: Duration) -> Cookie<'static> {
    let lasts = cookie::time::Duration::seconds(i64::try_from(lasts.as_secs()).unwrap_or(0));
    Cookie::build((NAME, value))
        .path("/")
        .http_only(true)
        .same_site(SameSite::Strict)
        .max_age(lasts)
        .build()
}
