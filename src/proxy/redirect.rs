//! The listener in clear beside one that speaks TLS (`server.redirect_http`): sends everybody there.
//!
//! The one rule: it answers 308 or 403 and nothing else, and nothing that came in clear goes on. A
//! key that came so has been seen by whoever was on the way: it is reported by its public id.

use bytes::Bytes;
use http::header::{CONNECTION, HOST, LOCATION};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri};

use super::adopted::Adopted;
use super::body::{ClientStream, Outgoing};
use super::headers::Trace;
use super::meter::Meter;
use super::worker::Worker;
use crate::domain::{PublicId, Reason, Refusal};
use crate::key::SecretFormat;

/// The port that `https` needs no word for.
const HTTPS: u16 = 443;

/// Answers one request in clear; whose host can't be told is refused.
pub async fn redirect(
    worker: &Worker,
    adopted: &Adopted,
    request: Request<ClientStream>,
    trace: &Trace,
    meter: &mut Meter,
) -> Result<Response<Outgoing>, Refusal> {
    let exposed = keys_in(request.uri(), request.headers(), &adopted.plan.config.keys.format);
    for public_id in &exposed {
        worker.metrics().key_exposed();
        let (client, request_id) = (meter.sender().address, trace.request_id.to_str().ok());
        tracing::warn!(
            %public_id, %client, request_id,
            "a key was sent in clear and may have been seen on the way: rotate it"
        );
    }
    let location = location(request.uri(), request.headers(), worker.https_port())
        .ok_or(Reason::HttpsRequired)?;
    let mut response = Response::new(Outgoing::full(Bytes::new()));
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    response.headers_mut().insert(LOCATION, location);
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    Ok(response)
}

/// The same host and target over TLS. The target's own authority stands in Host's place (RFC 9112
/// section 3.2.2).
fn location(uri: &Uri, headers: &HeaderMap, port: u16) -> Option<HeaderValue> {
    let target = uri.path_and_query().map(PathAndQuery::as_str).filter(|t| t.starts_with('/'))?;
    let authority: Authority = match uri.authority() {
        Some(authority) => authority.clone(),
        None => headers.get(HOST)?.to_str().ok()?.parse().ok()?,
    };
    let host = authority.host();
    if host.is_empty() || authority.as_str().contains('@') {
        return None;
    }
    let location = match port {
        HTTPS => format!("https://{host}{target}"),
        port => format!("https://{host}:{port}{target}"),
    };
    HeaderValue::from_str(&location).ok()
}

/// The public ids of all that has the form of a key, wherever it stands; each once.
fn keys_in(uri: &Uri, headers: &HeaderMap, format: &SecretFormat) -> Vec<PublicId> {
    let mut ids = Vec::new();
    let mut look_at = |text: &str| {
        format.find_in(text, |found| {
            let parsed = format.parse(&text.as_bytes()[found]);
            ids.extend(parsed.map(|parsed| parsed.id).filter(|id| !ids.contains(id)));
        });
    };
    if let Some(target) = uri.path_and_query() {
        look_at(target.as_str());
    }
    for value in headers.values() {
        look_at(&String::from_utf8_lossy(value.as_bytes()));
    }
    ids
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Environment;

    fn to(uri: &str, host: Option<&'static str>, port: u16) -> Option<String> {
        let host = host.map(|host| (HOST, HeaderValue::from_static(host)));
        let headers = host.into_iter().collect();
        let location = location(&uri.parse().unwrap(), &headers, port)?;
        Some(location.to_str().unwrap().to_owned())
    }

    #[test]
    fn host_and_target_stay_and_the_port_is_the_one_that_speaks_tls() {
        for (uri, host, port, location) in [
            ("/a?b=1", "api.example", 443, "https://api.example/a?b=1"),
            ("/a", "api.example:80", 443, "https://api.example/a"),
            ("/a", "api.example:8080", 8443, "https://api.example:8443/a"),
            ("/", "[::1]:80", 8443, "https://[::1]:8443/"),
            ("//evil.example/%2e", "api.example", 443, "https://api.example//evil.example/%2e"),
            ("http://other.example:80/a", "api.example", 443, "https://other.example/a"),
        ] {
            assert_eq!(to(uri, Some(host), port).as_deref(), Some(location));
        }
    }

    #[test]
    fn where_to_is_not_guessed() {
        assert_eq!(to("/a", None, 443), None);
        assert_eq!(to("*", Some("api.example"), 443), None);
        assert_eq!(to("api.example:80", Some("api.example"), 443), None);
        assert_eq!(to("/a", Some("user@api.example"), 443), None);
    }

    #[test]
    fn keys_are_found_wherever_they_stand_and_told_once() {
        let format = SecretFormat {
            live_prefix: "sk_live_".into(),
            test_prefix: Some("sk_test_".into()),
            checksum: true,
        };
        let minted = format.mint(Environment::Live).unwrap().unwrap();
        let secret = minted.text.expose();
        let value = HeaderValue::from_str(&format!("Bearer {secret}")).unwrap();
        let headers = HeaderMap::from_iter([(http::header::AUTHORIZATION, value)]);
        let uri = format!("/a?key={secret}").parse().unwrap();
        assert_eq!(keys_in(&uri, &headers, &format), [minted.id]);
        let wrong = format!("/sk_live_{}", "a".repeat(38)).parse().unwrap();
        assert_eq!(keys_in(&wrong, &HeaderMap::new(), &format), []);
    }
}
