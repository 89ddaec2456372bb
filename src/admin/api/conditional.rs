//! `ETag`, `If-None-Match` and `If-Match` (RFC 9110 section 13): an object is not sent twice, and not
//! changed by somebody who has seen another state of it.

use axum::extract::FromRequestParts;
use axum::http::header::{CONTENT_TYPE, ETAG, HeaderName, IF_MATCH, IF_NONE_MATCH};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::IntoParams;

use super::Answer;
use crate::admin::AdminState;
use crate::admin::error::ApiError;
use crate::domain::Reason;

/// The states of an object in which it may be changed.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(super) struct IfMatch {
    /// Do it only if the object's `ETag` is one of these; else the answer is 412.
    #[param(rename = "If-Match", example = "\"0a1b2c3d4e5f60718293a4b5c6d7e8f9\"")]
    tags: Option<String>,
}

/// The states of an object that the asker has already.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(super) struct IfNoneMatch {
    /// The answer is 304 without a body if the object's `ETag` is one of these.
    #[param(rename = "If-None-Match", example = "\"0a1b2c3d4e5f60718293a4b5c6d7e8f9\"")]
    tags: Option<String>,
}

impl IfMatch {
    /// Whether anything is asked for.
    pub(super) fn is_given(&self) -> bool {
        self.tags.is_some()
    }

    /// Fails unless the object is in one of the states.
    pub(super) fn check(&self, object: &impl Serialize) -> Answer<()> {
        let Some(tags) = &self.tags else { return Ok(()) };
        let tag = tag(&json(object)?);
        let is_one = |given: &str| given == "*" || given == tag;
        if tags.split(',').map(str::trim).any(is_one) {
            return Ok(());
        }
        Err(ApiError::precondition_failed())
    }
}

impl IfNoneMatch {
    /// The object with its tag, or that it has not changed.
    pub(super) fn answer(&self, object: &impl Serialize) -> Answer<Response> {
        let body = json(object)?;
        let tag = tag(&body);
        // A weak comparison, as this field has it.
        let is_one = |given: &str| given == "*" || given.trim_start_matches("W/") == tag;
        if self.tags.as_deref().is_some_and(|tags| tags.split(',').map(str::trim).any(is_one)) {
            let mut response = StatusCode::NOT_MODIFIED.into_response();
            put(&mut response, &tag);
            return Ok(response);
        }
        Ok(with_tag(StatusCode::OK, body, &tag))
    }
}

impl FromRequestParts<AdminState> for IfMatch {
    type Rejection = ApiError;

    async fn from_request_parts(
        parts: &mut Parts,
        _: &AdminState,
    ) -> Result<Self, Self::Rejection> {
        Ok(Self { tags: all(&parts.headers, &IF_MATCH) })
    }
}

impl FromRequestParts<AdminState> for IfNoneMatch {
    type Rejection = ApiError;

    async fn from_request_parts(
        parts: &mut Parts,
        _: &AdminState,
    ) -> Result<Self, Self::Rejection> {
        Ok(Self { tags: all(&parts.headers, &IF_NONE_MATCH) })
    }
}

/// The field's values as one list; what is no text matches nothing.
fn all(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let mut values = headers.get_all(name).iter().peekable();
    values.peek()?;
    let texts: Vec<&str> = values.map(|value| value.to_str().unwrap_or_default()).collect();
    Some(texts.join(","))
}

/// An object that was changed, with its tag.
pub(super) fn tagged(object: &impl Serialize) -> Answer<Response> {
    let body = json(object)?;
    let tag = tag(&body);
    Ok(with_tag(StatusCode::OK, body, &tag))
}

fn json(object: &impl Serialize) -> Answer<Vec<u8>> {
    serde_json::to_vec(object).map_err(|error| {
        tracing::error!(%error, "an answer could not be written");
        Reason::InternalError.into()
    })
}

/// Of the whole text, so that whoever has the tag has seen all of it.
fn tag(body: &[u8]) -> String {
    format!("\"{}\"", &blake3::hash(body).to_hex()[..32])
}

fn with_tag(status: StatusCode, body: Vec<u8>, tag: &str) -> Response {
    let json = HeaderValue::from_static("application/json");
    let mut response = (status, [(CONTENT_TYPE, json)], body).into_response();
    put(&mut response, tag);
    response
}

fn put(response: &mut Response, tag: &str) {
    let tag = HeaderValue::from_str(tag).expect("a tag is hexadecimal digits in quotes");
    response.headers_mut().insert(ETAG, tag);
}
