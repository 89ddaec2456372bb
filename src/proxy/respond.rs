//! A refusal's answer: one place, one exhaustive match, bodies rendered when the configuration is
//! loaded wherever they can be.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use jiff::Timestamp;
use serde::Serialize;

use super::body::Outgoing;
use crate::auth::table::RotateBy;
use crate::config::ErrorOverride;
use crate::domain::{Limit, Reason, Refusal};

/// Seconds after which asking again is worth it, where nothing better is known.
const RETRY_OVERLOADED: u64 = 1;
const RETRY_STORE: u64 = 5;

/// Until when there should be a new secret, in RFC 3339.
const ROTATE_BY: HeaderName = HeaderName::from_static("x-api-key-rotate-by");
/// When the secret stops, as an HTTP date (RFC 8594).
const SUNSET: HeaderName = HeaderName::from_static("sunset");
/// `X-RateLimit-Limit` and its two companions, as the documents name them.
const X_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const X_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const X_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");
/// The IETF draft's fields (draft-ietf-httpapi-ratelimit-headers).
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// What every reason answers under the configuration in force.
pub struct Answers {
    by_reason: Vec<Answer>,
}

/// One reason's status, code and message.
pub struct Answer {
    /// The HTTP status.
    pub status: StatusCode,
    /// The `code`.
    pub code: String,
    /// The `message`, with its placeholders.
    pub message: String,
    /// The body, where the message has no placeholder.
    ready: Option<Bytes>,
}

#[derive(Serialize)]
struct Body<'a> {
    error: ErrorBody<'a>,
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    code: &'a str,
    message: &'a str,
}

impl Answers {
    /// The defaults with what `[errors]` says otherwise.
    pub fn new(overrides: &BTreeMap<Reason, ErrorOverride>) -> Self {
        let none = ErrorOverride::default();
        let answer = |reason: &Reason| Answer::new(*reason, overrides.get(reason).unwrap_or(&none));
        Self { by_reason: Reason::ALL.iter().map(answer).collect() }
    }

    /// A reason's answer.
    pub fn of(&self, reason: Reason) -> &Answer {
        &self.by_reason[reason.index()]
    }
}

impl Answer {
    fn new(reason: Reason, given: &ErrorOverride) -> Self {
        let status = given.status.unwrap_or(reason.status());
        let code = given.code.clone().unwrap_or_else(|| reason.code().to_owned());
        let message = given.message.clone().unwrap_or_else(|| reason.message().to_owned());
        let ready = (!message.contains('{')).then(|| render(&code, &message));
        let status = StatusCode::from_u16(status).expect("a checked status is a status");
        Self { status, code, message, ready }
    }

    /// The message with its placeholders filled in.
    pub fn message_for(&self, refusal: &Refusal) -> String {
        let fill = |name: &str, value: &str| self.message.replace(name, value);
        match refusal {
            Refusal::Plain(_) | Refusal::MethodNotAllowed(_) => self.message.clone(),
            Refusal::MissingScope(scope) => fill("{scope}", scope),
            Refusal::BadRequest(detail) => fill("{detail}", detail),
            Refusal::Because(_, detail) => fill("{detail}", detail),
            Refusal::RateLimited { limit, retry_after, .. } => fill("{limit}", &limit.to_string())
                .replace("{retry_after}", &retry_after.to_string()),
        }
    }

    fn body(&self, refusal: &Refusal) -> Bytes {
        match &self.ready {
            Some(ready) => ready.clone(),
            None => render(&self.code, &self.message_for(refusal)),
        }
    }
}

fn render(code: &str, message: &str) -> Bytes {
    let body = Body { error: ErrorBody { code, message } };
    serde_json::to_vec(&body).expect("two strings make JSON").into()
}

/// The answer to a refused request. `close` ends the connection behind it.
pub fn refuse(
    answers: &Answers,
    refusal: &Refusal,
    close: bool,
    wall_ms: i64,
) -> Response<Outgoing> {
    let answer = answers.of(refusal.reason());
    let mut response = Response::new(Outgoing::full(answer.body(refusal)));
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if close {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if let Some((name, value)) = own_header(refusal) {
        headers.insert(name, value);
    }
    if let Refusal::RateLimited { limit, reset_in_ms: Some(reset_in_ms), .. } = refusal {
        rate_limit_headers(headers, *limit, 0, *reset_in_ms, wall_ms);
    }
    response
}

/// The header that a reason calls for (RFC 6750 section 3, RFC 9110 sections 10.2.1 and 10.2.3).
fn own_header(refusal: &Refusal) -> Option<(HeaderName, HeaderValue)> {
    let challenge = HeaderValue::from_static;
    match refusal {
        Refusal::MissingScope(scope) => {
            let value = format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\"");
            Some((WWW_AUTHENTICATE, value.parse().ok()?))
        }
        Refusal::RateLimited { retry_after, .. } => Some((RETRY_AFTER, (*retry_after).into())),
        Refusal::MethodNotAllowed(allow) => Some((ALLOW, allow.parse().ok()?)),
        Refusal::BadRequest(_) => None,
        Refusal::Plain(reason) | Refusal::Because(reason, _) => match reason {
            Reason::MissingKey => Some((WWW_AUTHENTICATE, challenge("Bearer"))),
            Reason::InvalidKey
            | Reason::ExpiredKey
            | Reason::RevokedKey
            | Reason::DisabledKey
            | Reason::OwnerDisabled => {
                Some((WWW_AUTHENTICATE, challenge("Bearer error=\"invalid_token\"")))
            }
            Reason::StoreUnavailable => Some((RETRY_AFTER, RETRY_STORE.into())),
            Reason::Overloaded => Some((RETRY_AFTER, RETRY_OVERLOADED.into())),
            Reason::MissingScope
            | Reason::IpNotAllowed
            | Reason::EnvironmentNotAllowed
            | Reason::BudgetExceeded
            | Reason::CreditsExhausted
            | Reason::RateLimited
            | Reason::BadRequest
            | Reason::HttpsRequired
            | Reason::RouteNotFound
            | Reason::MethodNotAllowed
            | Reason::NotFound
            | Reason::Conflict
            | Reason::ExpectationFailed
            | Reason::BodyTooLarge
            | Reason::HeadersTooLarge
            | Reason::UpstreamUnavailable
            | Reason::UpstreamTimeout
            | Reason::InternalError => None,
        },
    }
}

/// Says how the limit nearest to its end stands. `wall_ms` is milliseconds since the Unix epoch.
///
/// Every answer has these, so their texts are written into one allocation that all five share.
pub fn rate_limit_headers(
    headers: &mut HeaderMap,
    limit: Limit,
    remaining: u32,
    reset_in_ms: u64,
    wall_ms: i64,
) {
    let reset_at = (wall_ms.unsigned_abs() + reset_in_ms).div_ceil(1_000);
    let reset_in = reset_in_ms.div_ceil(1_000);
    let max = u64::from(limit.max.get());
    let mut texts = Texts::new();
    let quoted = |texts: &mut Texts| {
        texts.text("\"").number(max).text("/").text(limit.window.name()).text("\";");
    };
    quoted(&mut texts);
    let left = texts.text("r=").end();
    let left = left..texts.number(remaining.into()).end();
    let standing = 0..texts.text(";t=").number(reset_in).end();
    quoted(&mut texts);
    let most = texts.text("q=").end();
    let most = most..texts.number(max).end();
    let policy = standing.end..texts.text(";w=").number(limit.window.seconds().into()).end();
    let at = policy.end..texts.number(reset_at).end();
    let texts = texts.finish();
    headers.reserve(8);
    for (name, range) in
        [(X_LIMIT, most), (X_REMAINING, left), (X_RESET, at), (LIMIT, standing), (POLICY, policy)]
    {
        let value = HeaderValue::from_maybe_shared(texts.slice(range));
        headers.insert(name, value.expect("digits and names make a header's value"));
    }
}

/// Texts one behind the other.
struct Texts(BytesMut);

impl Texts {
    /// None yet, with room for the longest.
    fn new() -> Self {
        Self(BytesMut::with_capacity(160))
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    fn number(&mut self, number: u64) -> &mut Self {
        self.text(itoa::Buffer::new().format(number))
    }

    /// Where the next text begins.
    fn end(&self) -> usize {
        self.0.len()
    }

    fn finish(self) -> Bytes {
        self.0.freeze()
    }
}

/// Tells a client until when it should have a new secret, and where its own stops then, that too.
pub fn rotation_headers(headers: &mut HeaderMap, RotateBy { ends_ms, stops }: RotateBy) {
    let Ok(ends) = Timestamp::from_millisecond(ends_ms) else { return };
    insert_text(headers, ROTATE_BY, ends.to_string());
    if stops {
        insert_text(headers, SUNSET, httpdate::fmt_http_date(ends.into()));
    }
}

fn insert_text(headers: &mut HeaderMap, name: HeaderName, text: String) {
    let value = HeaderValue::from_maybe_shared(Bytes::from(text));
    headers.insert(name, value.expect("digits, names and dates make a header's value"));
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    async fn answered(
        overrides: &BTreeMap<Reason, ErrorOverride>,
        refusal: &Refusal,
    ) -> (u16, String, HeaderMap) {
        let response = refuse(&Answers::new(overrides), refusal, false, 0);
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (parts.status.as_u16(), String::from_utf8(body.to_vec()).unwrap(), parts.headers)
    }

    #[tokio::test]
    async fn every_reason_answers_in_the_documented_shape() {
        for reason in Reason::ALL {
            let (status, body, headers) = answered(&BTreeMap::new(), &(*reason).into()).await;
            assert_eq!(status, reason.status());
            assert_eq!(headers[CONTENT_TYPE], "application/json");
            let body: serde_json::Value = serde_json::from_str(&body).unwrap();
            assert_eq!(body["error"]["code"], reason.code());
            assert_eq!(body["error"].as_object().unwrap().len(), 2);
            assert_eq!(status == 401, headers.contains_key(WWW_AUTHENTICATE), "{reason}");
            assert_eq!(status == 503, headers.contains_key(RETRY_AFTER), "{reason}");
        }
    }

    #[tokio::test]
    async fn a_missing_scope_is_named_in_body_and_challenge() {
        let refusal = Refusal::MissingScope("agents:execute".into());
        let (_, body, headers) = answered(&BTreeMap::new(), &refusal).await;
        assert_eq!(
            body,
            r#"{"error":{"code":"forbidden","message":"API key does not have required scope: agents:execute"}}"#
        );
        assert_eq!(
            headers[WWW_AUTHENTICATE],
            r#"Bearer error="insufficient_scope", scope="agents:execute""#
        );
    }

    #[tokio::test]
    async fn an_override_changes_what_it_names_and_fills_placeholders_in() {
        let given = ErrorOverride {
            code: Some("RATE_LIMITED".to_owned()),
            message: Some("{limit} reached, again in {retry_after} s".to_owned()),
            status: None,
        };
        let overrides = BTreeMap::from([(Reason::RateLimited, given)]);
        let refusal = Refusal::RateLimited {
            limit: "60/min".parse().unwrap(),
            retry_after: 7,
            reset_in_ms: Some(1_500),
        };
        let (status, body, headers) = answered(&overrides, &refusal).await;
        assert_eq!(status, 429);
        assert_eq!(
            body,
            r#"{"error":{"code":"RATE_LIMITED","message":"60/min reached, again in 7 s"}}"#
        );
        assert_eq!(headers[RETRY_AFTER], "7");
        assert_eq!(headers[X_LIMIT], "60");
        assert_eq!(headers[X_REMAINING], "0");
        assert_eq!(headers[X_RESET], "2");
        assert_eq!(headers[LIMIT], r#""60/min";r=0;t=2"#);
        assert_eq!(headers[POLICY], r#""60/min";q=60;w=60"#);
    }
}
