//! A refusal in gRPC's words: an answer of nothing but a head that says what the trailers would have
//! said, which every gRPC client reads as the status of its call.

use std::fmt::Write as _;

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use super::body::Outgoing;
use crate::domain::Reason;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC: &str = "application/grpc";

/// Whether a request's headers make it a gRPC call: `application/grpc`, also with `+proto` and the
/// like, but not `application/grpc-web`, which is another protocol.
pub fn is_call(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let rest = content_type.and_then(|value| {
        let (essence, rest) = value.split_at_checked(GRPC.len())?;
        essence.eq_ignore_ascii_case(GRPC).then_some(rest)
    });
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['+', ';', ' ']))
}

/// Makes a refusal's answer one to a gRPC call. What its headers say beside the body stays.
pub fn speak(response: &mut Response<Outgoing>, reason: Reason, message: &str) {
    *response.status_mut() = StatusCode::OK;
    *response.body_mut() = Outgoing::Full(None);
    let headers = response.headers_mut();
    headers.remove(CONTENT_LENGTH);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(GRPC));
    headers.extend(trailers(reason, message));
}

/// What ends a call that was let in and is broken off for that reason.
pub fn trailers(reason: Reason, message: &str) -> HeaderMap {
    let status = (GRPC_STATUS, status(reason).into());
    HeaderMap::from_iter([status, (GRPC_MESSAGE, encoded(message))])
}

/// A reason's status code (the gRPC documentation's `statuscodes.md`).
fn status(reason: Reason) -> u16 {
    match reason {
        Reason::BadRequest | Reason::ExpectationFailed => 3,
        Reason::UpstreamTimeout => 4,
        Reason::MissingScope
        | Reason::IpNotAllowed
        | Reason::EnvironmentNotAllowed
        | Reason::HttpsRequired => 7,
        Reason::BudgetExceeded
        | Reason::CreditsExhausted
        | Reason::RateLimited
        | Reason::BodyTooLarge
        | Reason::HeadersTooLarge => 8,
        Reason::RouteNotFound | Reason::MethodNotAllowed | Reason::NotFound => 12,
        Reason::Conflict => 10,
        Reason::InternalError => 13,
        Reason::UpstreamUnavailable | Reason::StoreUnavailable | Reason::Overloaded => 14,
        Reason::MissingKey
        | Reason::InvalidKey
        | Reason::ExpiredKey
        | Reason::RevokedKey
        | Reason::DisabledKey
        | Reason::OwnerDisabled => 16,
    }
}

/// A message as `grpc-message` has it: UTF-8 in which `%` and all but visible ASCII and spaces are
/// percent-encoded.
fn encoded(message: &str) -> HeaderValue {
    let mut text = String::with_capacity(message.len());
    for byte in message.bytes() {
        match byte {
            b'%' | ..b' ' | 0x7f.. => {
                write!(text, "%{byte:02X}").expect("a string takes all that is written to it");
            }
            _ => text.push(char::from(byte)),
        }
    }
    text.try_into().expect("visible ASCII is a header's value")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_told_by_its_content_type() {
        let is_call = |content_type: &'static str| {
            is_call(&HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(content_type))]))
        };
        for call in [
            "application/grpc",
            "application/grpc+proto",
            "Application/gRPC; a=b",
            "application/grpc+json",
        ] {
            assert!(is_call(call), "{call}");
        }
        for other in
            ["application/grpc-web", "application/grpc-web+proto", "application/grpcx", "a", ""]
        {
            assert!(!is_call(other), "{other}");
        }
        assert!(!super::is_call(&HeaderMap::new()));
    }

    #[test]
    fn a_reason_has_the_code_that_its_status_has_in_grpc() {
        for reason in Reason::ALL {
            let expected = match reason.status() {
                400 | 417 => 3,
                401 => 16,
                402 | 413 | 429 | 431 => 8,
                403 => 7,
                404 | 405 => 12,
                409 => 10,
                500 => 13,
                502 | 503 => 14,
                504 => 4,
                other => panic!("{other} has no code in gRPC"),
            };
            assert_eq!(status(*reason), expected, "{reason}");
        }
    }

    #[test]
    fn a_message_is_percent_encoded() {
        assert_eq!(encoded("Bad request: no Host"), "Bad request: no Host");
        assert_eq!(encoded("100 % f\u{fc}r\n~"), "100 %25 f%C3%BCr%0A~");
    }
}
