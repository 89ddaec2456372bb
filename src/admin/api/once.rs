//! `Idempotency-Key` on whatever creates something: see [`crate::auth::once`].
//!
//! It stands before the endpoint, since it answers in its place; so it lets in nobody who the
//! endpoint would not.

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{FromRequestParts as _, Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::{Answer, MAX_BODY};
use crate::admin::AdminState;
use crate::admin::access::Administrator;
use crate::admin::error::ApiError;
use crate::auth::once::{Once, OnceError, Promise, Turn, Wish};
use crate::domain::Reason;

/// Says that an answer is one that was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// Has it done once.
pub(super) async fn once(
    State(state): State<AdminState>,
    request: Request,
    next: Next,
) -> Answer<Response> {
    if request.method() != Method::POST {
        return Ok(next.run(request).await);
    }
    let credential = request.headers().get(AUTHORIZATION).map_or(&[][..], HeaderValue::as_bytes);
    let name = Once::of(request.headers(), credential).map_err(ApiError::bad_request)?;
    let Some(name) = name else { return Ok(next.run(request).await) };
    let (mut parts, body) = request.into_parts();
    let Administrator(caller) = Administrator::from_request_parts(&mut parts, &state).await?;
    let body = to_bytes(body, MAX_BODY).await;
    let body = body.map_err(|_| ApiError::from(Reason::BodyTooLarge))?;
    let wish = Wish { asker: caller.token.id.as_str(), call: parts.uri.path(), body: &body };
    match name.begin(&*state.store, &wish, state.now()).await {
        Ok(Turn::Yours(promise)) => {
            let request = Request::from_parts(parts, Body::from(body));
            // Whoever asked may leave: it is done to its end all the same, and its end is kept.
            let doing = tokio::spawn(done(state, promise, request, next));
            doing.await.unwrap_or_else(|_| Err(Reason::InternalError.into()))
        }
        Ok(Turn::Done { status, body }) => Ok(again(status, body)),
        Err(OnceError::Store(error)) => Err(error.into()),
        Err(error) => Err(ApiError::conflict(error)),
    }
}

async fn done(
    state: AdminState,
    promise: Promise,
    request: Request,
    next: Next,
) -> Answer<Response> {
    let (response, body) = whole(next.run(request).await).await?;
    let status = response.status();
    if status.is_success() {
        promise.keep(&*state.store, status.as_u16(), &body).await;
    } else if status.is_client_error() {
        promise.let_go(&*state.store).await;
    }
    Ok(response)
}

/// The answer, and its body beside it.
async fn whole(response: Response) -> Answer<(Response, Bytes)> {
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await;
    let body = body.map_err(|_| ApiError::from(Reason::InternalError))?;
    Ok((Response::from_parts(parts, Body::from(body.clone())), body))
}

fn again(status: u16, body: Bytes) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    let json = HeaderValue::from_static("application/json");
    let replayed = HeaderValue::from_static("true");
    (status, [(CONTENT_TYPE, json), (REPLAYED, replayed)], body).into_response()
}
