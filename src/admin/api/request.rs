//! What requests say, read strictly: what is not known is refused, in the one shape of errors.
#![expect(clippy::option_option, reason = "left out, null and a value are three things")]

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use jiff::Timestamp;
use serde::de::{self, DeserializeOwned};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use utoipa::IntoParams;

use crate::admin::AdminState;
use crate::admin::error::ApiError;
use crate::auth::mint::Expiry;
use crate::config::units;
use crate::domain::Reason;
use crate::domain::rotation::earlier;
use crate::key::SecretFormat;
use crate::store::PageRequest;
use crate::telemetry::access::masked;

/// Rows that a page has where nothing is said.
const ROWS: u32 = 50;
/// The longest id, with room to spare.
const LONGEST_ID: usize = 64;
/// The longest text that is searched for, in characters.
const LONGEST_SEARCH: usize = 200;

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

impl<T: DeserializeOwned> FromRequestParts<AdminState> for Asked<T> {
    type Rejection = ApiError;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &AdminState,
    ) -> Result<Self, Self::Rejection> {
        let wrong = |error: QueryRejection| complaint(state, &error.body_text());
        let texts = Query::<Vec<(String, String)>>::from_request_parts(parts, state).await;
        let Query(texts) = texts.map_err(wrong)?;
        if texts.iter().any(|(name, value)| has_control(name) || has_control(value)) {
            return Err(ApiError::bad_request("the query has a control character in it"));
        }
        let asked = Query::from_request_parts(parts, state).await;
        asked.map(|Query(asked)| Self(asked)).map_err(wrong)
    }
}

fn has_control(text: &str) -> bool {
    text.chars().any(char::is_control)
}

/// A JSON body: one object.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<AdminState> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &AdminState) -> Result<Self, Self::Rejection> {
        let (is_json, bytes) = whole(request, state).await?;
        parsed(is_json, &bytes, state).map(Self)
    }
}

/// A JSON body that may be left out, or null.
pub(super) struct MaybeBody<T>(pub(super) T);

impl<T: DeserializeOwned + Default> FromRequest<AdminState> for MaybeBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &AdminState) -> Result<Self, Self::Rejection> {
        let (is_json, bytes) = whole(request, state).await?;
        match bytes.trim_ascii() {
            b"" | b"null" => Ok(Self(T::default())),
            _ => parsed(is_json, &bytes, state).map(Self),
        }
    }
}

/// Whether the body is said to be JSON, and the body.
async fn whole(request: Request, state: &AdminState) -> Result<(bool, Bytes), ApiError> {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
    let is_json = kind.eq_ignore_ascii_case("application/json");
    let bytes = Bytes::from_request(request, state).await;
    Ok((is_json, bytes.map_err(|_| ApiError::from(Reason::BodyTooLarge))?))
}

fn parsed<T: DeserializeOwned>(
    is_json: bool,
    bytes: &[u8],
    state: &AdminState,
) -> Result<T, ApiError> {
    if !is_json {
        return Err(ApiError::bad_request("the body must come as Content-Type: application/json"));
    }
    // Lists of a type's fields in their order are read as well, and are nobody's meaning.
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return Err(ApiError::bad_request("the body must be one JSON object"));
    }
    serde_json::from_slice(bytes).map_err(|error| complaint(state, &error.to_string()))
}

/// A field that is an object, and no list of its fields.
pub(super) fn object<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let value = Box::<RawValue>::deserialize(deserializer)?;
    match value.get() {
        "null" => Ok(Some(None)),
        text if text.starts_with('{') => {
            serde_json::from_str(text).map(|object| Some(Some(object))).map_err(de::Error::custom)
        }
        _ => Err(de::Error::custom("not an object")),
    }
}

/// What is wrong, in the parser's words, which may repeat a part of the request but no secret.
fn complaint(state: &AdminState, text: &str) -> ApiError {
    ApiError::bad_request(masked(text, &state.loaded().config.keys.format))
}

/// The id in a path. What can be no id is that of nothing.
pub(super) struct Id(pub(super) String);

impl FromRequestParts<AdminState> for Id {
    type Rejection = ApiError;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &AdminState,
    ) -> Result<Self, Self::Rejection> {
        let none = || ApiError::from(Reason::NotFound);
        let path = Path::<String>::from_request_parts(parts, state).await;
        let Path(id) = path.map_err(|_| none())?;
        let is_id = (1..=LONGEST_ID).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
            && state.loaded().config.keys.format.parse(id.as_bytes()).is_none();
        if is_id { Ok(Self(id)) } else { Err(none()) }
    }
}

/// A field that may be left out, but is not null where it is given.
pub(super) fn given<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}

/// A text that says something else.
pub(super) fn read<T: FromStr<Err: fmt::Display>>(name: &str, text: &str) -> Result<T, ApiError> {
    text.parse().map_err(|error| ApiError::bad_request(format!("{name}: {error}")))
}

/// A length of time like `30d`.
pub(super) fn duration(name: &str, text: &str) -> Result<Duration, ApiError> {
    units::parse_duration(text).map_err(|error| ApiError::bad_request(format!("{name}: {error}")))
}

/// `since`: a length of time before now, or a moment.
pub(super) fn since(text: &str, now: Timestamp) -> Result<Timestamp, ApiError> {
    if let Ok(length) = units::parse_duration(text) {
        return Ok(earlier(now, length));
    }
    let wrong = "since: say a length of time like 7d, or a moment like 2027-01-31T12:00:00Z";
    text.parse().map_err(|_| ApiError::bad_request(wrong))
}

/// `q`: words to search for, among them no whole secret.
pub(super) fn search(text: &str, format: &SecretFormat) -> Result<String, ApiError> {
    if text.chars().count() > LONGEST_SEARCH {
        let most = format!("q has at most {LONGEST_SEARCH} characters");
        return Err(ApiError::bad_request(most));
    }
    if text.split_whitespace().any(|word| format.parse(word.as_bytes()).is_some()) {
        return Err(ApiError::bad_request(
            "q has a whole secret in it, and addresses are logged on their way: search for its \
             hint, and rotate that key",
        ));
    }
    Ok(text.to_owned())
}

/// An end, said in one of two ways: as a moment, or in other words like `90d`.
pub(super) fn end(
    at: Option<Option<Timestamp>>,
    text: Option<String>,
    now: Timestamp,
) -> Result<Option<Option<Timestamp>>, ApiError> {
    match (at, text) {
        (Some(_), Some(_)) => Err(ApiError::bad_request("give expires_at or expires, not both")),
        (at, None) => Ok(at),
        (None, Some(text)) => Ok(Some(read::<Expiry>("expires", &text)?.resolve(now)?)),
    }
}
