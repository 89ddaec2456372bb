//! What the admin plane answers when it does not do what it was asked.

use axum::Json;
use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::auth::mint::MintError;
use crate::domain::Reason;
use crate::store::StoreError;

/// Seconds after which asking a store that was away again is worth it.
const RETRY_STORE: u64 = 5;

/// An error in the shape of section 7 of the contract: `{"error":{"code":"…","message":"…"}}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// The HTTP status.
    pub status: StatusCode,
    /// The `code`, for programs.
    pub code: &'static str,
    /// The `message`, for people; never with a secret in it.
    pub message: String,
    /// Seconds after which asking again is worth it.
    pub retry_after: Option<u64>,
}

impl ApiError {
    /// An error that says more than its reason does.
    pub(super) fn because(reason: Reason, message: impl Into<String>) -> Self {
        Self { message: message.into(), ..Self::from(reason) }
    }

    /// What was asked cannot be meant.
    pub(super) fn bad_request(detail: impl std::fmt::Display) -> Self {
        Self::because(Reason::BadRequest, format!("Bad request: {detail}"))
    }

    /// There is no such thing, or none of that name.
    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::because(Reason::NotFound, message)
    }

    /// Something else stands in the way.
    pub(super) fn conflict(detail: impl std::fmt::Display) -> Self {
        Self::because(Reason::Conflict, format!("Conflict: {detail}"))
    }

    /// The token may not do that.
    pub(super) fn forbidden(message: impl Into<String>) -> Self {
        let message = message.into();
        Self { status: StatusCode::FORBIDDEN, code: "forbidden", message, retry_after: None }
    }

    /// It is not in the state any more in which it was to be changed.
    pub(super) fn precondition_failed() -> Self {
        let message = "It has changed since: read it again and decide anew".to_owned();
        let status = StatusCode::PRECONDITION_FAILED;
        Self { status, code: "precondition_failed", message, retry_after: None }
    }

    /// Too many sign-ins have failed from that address.
    pub(super) fn too_many(seconds: u64) -> Self {
        Self { retry_after: Some(seconds), ..Self::from(Reason::RateLimited) }
    }

    /// No token was given, or not a good one.
    pub(super) fn unauthorized() -> Self {
        Self::because(Reason::InvalidKey, "Invalid or missing admin token")
    }
}

impl From<Reason> for ApiError {
    /// What the reason answers by default.
    fn from(reason: Reason) -> Self {
        let status = StatusCode::from_u16(reason.status()).expect("a reason's status is a status");
        let message = reason.message().to_owned();
        Self { status, code: reason.code(), message, retry_after: None }
    }
}

impl From<StoreError> for ApiError {
    /// The cause goes to the log only.
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) | StoreError::Silent(_) => {
                tracing::warn!(%error, "an admin request was not answered");
                Self { retry_after: Some(RETRY_STORE), ..Self::from(Reason::StoreUnavailable) }
            }
            StoreError::Conflict(what) => Self::conflict(what),
            StoreError::Schema { .. } | StoreError::Corrupt(_) => {
                tracing::error!(%error, "an admin request was not answered");
                Self::from(Reason::InternalError)
            }
        }
    }
}

impl From<MintError> for ApiError {
    fn from(error: MintError) -> Self {
        let text = error.to_string();
        match error {
            MintError::Invalid { .. }
            | MintError::MissingScope(_)
            | MintError::TooWide { .. }
            | MintError::NoSuchOwner { .. } => Self::bad_request(text),
            MintError::NoSuchKey(_) | MintError::NoSuchSecret { .. } => Self::not_found(text),
            MintError::Revoked(_) | MintError::TwoLive(_) => Self::conflict(text),
            MintError::Random(_) | MintError::Hash(_) => {
                tracing::error!(error = text, "a key was not made or changed");
                Self::from(Reason::InternalError)
            }
            MintError::Store(error) => error.into(),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let error = Error { code: self.code, message: &self.message };
        let mut response = (self.status, Json(Body { error })).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

#[derive(Serialize)]
struct Body<'a> {
    error: Error<'a>,
}

#[derive(Serialize)]
struct Error<'a> {
    code: &'a str,
    message: &'a str,
}
