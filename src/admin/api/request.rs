//! What requests say, read strictly: what is not known is refused, in the one shape of errors.

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;

use crate::admin::error::ApiError;
use crate::domain::Reason;
use crate::store::PageRequest;

/// Rows that a page has where nothing is said.
const ROWS: u32 = 50;

/// Where a page begins and how long it is. Taken beside what else a list is asked with: a query type
/// that refuses unknown names must have both fields itself.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Paging {
    /// Rows at most.
    #[param(minimum = 1, maximum = 1000, default = 50)]
    pub(super) limit: Option<u32>,
    /// The `next_cursor` of the page before.
    pub(super) cursor: Option<String>,
}

impl Paging {
    /// As the store is asked.
    pub(super) fn request(self) -> Result<PageRequest, ApiError> {
        let limit = self.limit.unwrap_or(ROWS);
        if !(1..=1000).contains(&limit) {
            return Err(ApiError::bad_request("limit is 1 to 1000"));
        }
        Ok(PageRequest { after: self.cursor, limit })
    }
}

/// The query string.
pub(super) struct Asked<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let asked: Result<Query<T>, QueryRejection> = Query::from_request_parts(parts, state).await;
        let Query(asked) = asked.map_err(|error| ApiError::bad_request(error.body_text()))?;
        Ok(Self(asked))
    }
}

/// A JSON body.
pub(super) struct Body<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        let body = axum::Json::from_request(request, state).await;
        match body {
            Ok(axum::Json(body)) => Ok(Self(body)),
            Err(JsonRejection::BytesRejection(_)) => Err(Reason::BodyTooLarge.into()),
            Err(error) => Err(ApiError::bad_request(error.body_text())),
        }
    }
}
