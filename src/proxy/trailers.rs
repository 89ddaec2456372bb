//! Which trailers pass (RFC 9110 section 6.5).
//!
//! The one rule: a trailer that could change what a header said, or say what only the gateway says,
//! never passes. So a request's trailers are dropped unless the route lets them through, and then
//! only those that `Trailer` announced and that would have passed unchanged as headers.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_ORIGIN, AUTHORIZATION, CACHE_CONTROL,
    CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, COOKIE, HOST,
    HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE,
    MAX_FORWARDS, RANGE, SET_COOKIE, TE, TRAILER,
};
use http::{HeaderMap, HeaderValue};

use super::headers::{self, Outbound, TRACEPARENT, X_REQUEST_ID};

/// Routing, authentication, conditions and what says how to read the content: for these it is too
/// late behind the body, and an upstream that looks at them there is being fooled.
const HEADERS_ONLY: [HeaderName; 17] = [
    HOST,
    AUTHORIZATION,
    COOKIE,
    SET_COOKIE,
    CACHE_CONTROL,
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    CONTENT_RANGE,
    CONTENT_TYPE,
    IF_MATCH,
    IF_MODIFIED_SINCE,
    IF_NONE_MATCH,
    IF_RANGE,
    IF_UNMODIFIED_SINCE,
    MAX_FORWARDS,
    RANGE,
    TRACEPARENT,
];

/// The trailers that `Trailer` announces and that are `wanted`; none that `Connection` names.
pub fn announced(headers: &HeaderMap, wanted: impl Fn(&HeaderName) -> bool) -> Box<[HeaderName]> {
    if !headers.contains_key(TRAILER) {
        return Box::default();
    }
    let of_this_hop = |name: &HeaderName| headers::listed(headers, &CONNECTION).any(|n| n == *name);
    let names = headers::listed(headers, &TRAILER);
    names.filter(|name| wanted(name) && !of_this_hop(name)).collect()
}

/// Says to the next hop which will come.
pub fn announce(headers: &mut HeaderMap, names: &[HeaderName]) {
    if !names.is_empty() {
        let names: Vec<&str> = names.iter().map(HeaderName::as_str).collect();
        let value = HeaderValue::from_str(&names.join(", "));
        headers.insert(TRAILER, value.expect("names are tokens"));
    }
}

/// Whether who sends these headers reads trailers of the answer.
pub fn are_welcome(headers: &HeaderMap) -> bool {
    headers.contains_key(TE) && headers::listed(headers, &TE).any(|name| name == "trailers")
}

/// Whether a client's trailer may reach the upstream.
pub fn may_go_up(name: &HeaderName, outbound: &Outbound<'_>) -> bool {
    let plan = outbound.plan;
    let set = plan.upstreams[outbound.route.upstream].upstream.set_headers.iter();
    let text = name.as_str();
    !headers::is_forged(text, &plan.identity, outbound.route.underscore_headers)
        && !headers::is_ours_folded(text)
        && !HEADERS_ONLY.iter().any(|never| headers::is_folded(text, never))
        && !plan.config.keys.headers.iter().any(|held| headers::is_folded(text, held))
        && !set.map(|(name, _)| name).any(|own| headers::is_folded(text, own))
}

/// Whether an upstream's trailer may reach the client: nothing that the gateway answers for.
pub fn may_come_down(name: &HeaderName) -> bool {
    let ours = [X_REQUEST_ID, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_ALLOW_CREDENTIALS];
    !ours.contains(name) && !headers::is_ours_folded(name.as_str()) && !HEADERS_ONLY.contains(name)
}

/// Takes off what may not pass.
pub fn retain(trailers: &mut HeaderMap, wanted: impl Fn(&HeaderName) -> bool) {
    let unwanted: Vec<HeaderName> = trailers.keys().filter(|n| !wanted(n)).cloned().collect();
    for name in unwanted {
        trailers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(HeaderName, &'static str)]) -> HeaderMap {
        let value = |(name, text): &(HeaderName, &'static str)| {
            (name.clone(), HeaderValue::from_static(text))
        };
        fields.iter().map(value).collect()
    }

    #[test]
    fn what_connection_names_is_no_trailer_of_the_next_hop() {
        let given = headers(&[(TRAILER, "X-Sum, x-hop,,b d"), (CONNECTION, "X-Hop")]);
        assert_eq!(*announced(&given, |_| true), [HeaderName::from_static("x-sum")]);
    }

    #[test]
    fn trailers_are_welcome_where_te_says_so() {
        assert!(are_welcome(&headers(&[(TE, "gzip;q=0.5, Trailers")])));
        assert!(!are_welcome(&headers(&[(TE, "gzip")])));
        assert!(!are_welcome(&HeaderMap::new()));
    }

    #[test]
    fn an_upstream_cannot_say_behind_the_body_what_the_gateway_says() {
        for name in ["x-request-id", "content-length", "transfer_encoding", "set-cookie", "te"] {
            assert!(!may_come_down(&HeaderName::from_static(name)), "{name}");
        }
        for name in ["grpc-status", "x-sum", "server-timing"] {
            assert!(may_come_down(&HeaderName::from_static(name)), "{name}");
        }
    }
}
