//! Sessions of the dashboard: a browser that has shown a token once holds a cookie instead.
//!
//! The cookie is 256 random bits, new at every sign-in; the store has only its SHA-256. It is for pages
//! alone: the admin API takes tokens and nothing else, so that no page elsewhere can have a browser
//! call it.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use axum::extract::FromRequestParts;
use axum::http::header::{COOKIE, SET_COOKIE, USER_AGENT};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use cookie::{Cookie, SameSite};
use jiff::{SignedDuration, Timestamp};
use rand::TryRng as _;
use rand::rngs::SysRng;
use tokio::time::sleep;

use super::{Caller, Peer, next};
use crate::admin::AdminState;
use crate::admin::dashboard::PageError;
use crate::admin::error::ApiError;
use crate::domain::admin::{PLAIN_SESSION_COOKIE, SECURE_SESSION_COOKIE};
use crate::domain::{Act, AdminSession, AdminToken, Reason, SessionId};
use crate::key::hex;

/// How long a session lasts.
pub(in crate::admin) const LASTS: SignedDuration = SignedDuration::from_hours(12);
/// Random bytes of a session.
const BYTES: usize = 32;
/// What is kept of a browser's name, in characters.
const AGENT: usize = 200;
/// Between two removals of what has ended.
const PRUNE: Duration = Duration::from_mins(10);

/// Somebody who is signed in to the dashboard. Who is not is sent to do so.
pub(in crate::admin) struct SignedIn(pub(in crate::admin) Caller);

impl FromRequestParts<AdminState> for SignedIn {
    type Rejection = Response;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &AdminState,
    ) -> Result<Self, Self::Rejection> {
        // Found out already, by what stands before every page.
        if let Some(caller) = parts.extensions.get::<Caller>() {
            return Ok(Self(caller.clone()));
        }
        match caller(parts, state).await {
            Ok(Some(caller)) => Ok(Self(caller)),
            Ok(None) => Err(sign_in_first(parts, state)),
            Err(error) => Err(PageError::from(error).into_response()),
        }
    }
}

/// Who is signed in, if somebody is.
pub(in crate::admin) async fn caller(
    parts: &Parts,
    state: &AdminState,
) -> Result<Option<Caller>, ApiError> {
    let Some(shown) = shown(parts, state) else { return Ok(None) };
    let address = Peer::of(parts);
    let found = state.door.session(&digest_of(&shown), &state.knock(address)).await?;
    Ok(found.map(|(session, token)| Caller { token, session: Some(session.id), address }))
}

/// What the browser shows, if that can be a session. Of two it is unknown which is ours: then none.
fn shown(parts: &Parts, state: &AdminState) -> Option<String> {
    let cookies = parts.headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let cookies = cookies.flat_map(Cookie::split_parse).flatten();
    let mut ours = cookies.filter(|cookie| cookie.name() == name(state));
    let (Some(cookie), None) = (ours.next(), ours.next()) else { return None };
    let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let value = cookie.value();
    (value.len() == 2 * BYTES && is_hex(value)).then(|| value.to_owned())
}

fn digest_of(shown: &str) -> String {
    hex::encode(digest(&SHA256, shown.as_bytes()).as_ref())
}

/// Sends a browser to sign in, and back again afterwards. What it shows is good for nothing any more.
fn sign_in_first(parts: &Parts, state: &AdminState) -> Response {
    let to = next::sign_in(parts);
    let mut response = if parts.headers.contains_key(next::HX_REQUEST) {
        (StatusCode::UNAUTHORIZED, [(next::HX_REDIRECT, to)]).into_response()
    } else {
        Redirect::to(&to).into_response()
    };
    if parts.headers.contains_key(COOKIE) {
        response.headers_mut().append(SET_COOKIE, forgotten(state));
    }
    response
}

/// Begins a session of that token; the cookie that the browser is to keep. It is never one that the
/// browser brought: whatever session that was of ends.
pub(in crate::admin) async fn begin(
    state: &AdminState,
    parts: &Parts,
    act: &Act,
    token: &AdminToken,
) -> Result<HeaderValue, ApiError> {
    end_shown(state, parts, act).await?;
    let mut bits = [0u8; BYTES];
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
    state.door.knows(session.digest);
    let lasts = Duration::try_from(expires_at.duration_since(now)).unwrap_or_default();
    Ok(cookie(state, &shown, lasts))
}

async fn end_shown(state: &AdminState, parts: &Parts, act: &Act) -> Result<(), ApiError> {
    if let Some(shown) = shown(parts, state)
        && let Some((session, _)) = state.store.session(&digest_of(&shown)).await?
    {
        state.store.end_session(act, &session.id).await?;
    }
    Ok(())
}

fn ends(now: Timestamp, token: &AdminToken) -> Timestamp {
    let end = now.checked_add(LASTS).unwrap_or(Timestamp::MAX);
    token.expires_at.map_or(end, |expires_at| expires_at.min(end))
}

/// The cookie with which a browser forgets.
pub(in crate::admin) fn forgotten(state: &AdminState) -> HeaderValue {
    cookie(state, "", Duration::ZERO)
}

fn cookie(state: &AdminState, value: &str, lasts: Duration) -> HeaderValue {
    let lasts = cookie::time::Duration::seconds(i64::try_from(lasts.as_secs()).unwrap_or(0));
    let cookie = Cookie::build((name(state), value))
        .path("/")
        .http_only(true)
        .secure(state.is_https())
        .same_site(SameSite::Strict)
        .max_age(lasts)
        .build();
    HeaderValue::try_from(cookie.to_string()).expect("a cookie of ours is a header")
}

fn name(state: &AdminState) -> &'static str {
    if state.is_https() { SECURE_SESSION_COOKIE } else { PLAIN_SESSION_COOKIE }
}

/// Removes what has ended, from time to time, for ever.
pub(in crate::admin) async fn keep_pruned(state: AdminState) {
    loop {
        sleep(PRUNE).await;
        match state.store.prune_sessions(state.now()).await {
            Ok(0) => {}
            Ok(ended) => tracing::debug!(ended, "sessions of the dashboard have ended"),
            Err(error) => tracing::warn!(%error, "ended sessions could not be removed yet"),
        }
    }
}
