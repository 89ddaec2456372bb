//! What the admin plane answers when it does not do what it was asked.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::domain::Reason;

/// An error in the shape of section 7 of the contract: `{"error":{"code":"…","message":"…"}}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// The HTTP status.
    pub status: StatusCode,
    /// The `code`, for programs.
    pub code: &'static str,
    /// The `message`, for people; never with a secret in it.
    pub message: String,
}

impl From<Reason> for ApiError {
    /// What the reason answers by default.
    fn from(reason: Reason) -> Self {
        let status = StatusCode::from_u16(reason.status()).expect("a reason's status is a status");
        Self { status, code: reason.code(), message: reason.message().to_owned() }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let error = Error { code: self.code, message: &self.message };
        (self.status, Json(Body { error })).into_response()
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
