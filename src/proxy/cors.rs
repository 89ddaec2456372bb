//! What is said to browsers about who may call a route and read its answers (the Fetch standard,
//! section 3.3).
//!
//! Browsers hold pages back; nothing is refused here. An origin that is not listed is answered like
//! a client that is no browser, without the headers that would let its page read the answer.
//! Credentials in the standard's sense (cookies) are never allowed: a key is a header that the page
//! sets itself.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, CONTENT_TYPE, HeaderName,
    ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};

use super::body::Outgoing;
use super::route::Route;
use crate::config::{Config, Origins};

/// Seconds for which a browser may remember a preflight: what the configuration took back is held
/// back by browsers this much later at most.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");
/// Ours that a page could not read otherwise.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "x-request-id, x-ratelimit-limit, x-ratelimit-remaining, x-ratelimit-reset, ratelimit, \
     ratelimit-policy, retry-after, www-authenticate, x-api-key-rotate-by, sunset",
);
/// An answer that depends on who asks.
const BY_ORIGIN: HeaderValue = HeaderValue::from_static("origin");
/// The same of a preflight.
const BY_PREFLIGHT: HeaderValue = HeaderValue::from_static(
    "origin, access-control-request-method, access-control-request-headers",
);
/// What an upstream may say of these is the gateway's to say.
const REPLACED: [HeaderName; 6] = [
    ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_ALLOW_CREDENTIALS,
    ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_HEADERS,
    ACCESS_CONTROL_MAX_AGE,
    HeaderName::from_static("access-control-allow-private-network"),
];

/// A route's `cors`.
#[derive(Debug)]
pub struct Cors {
    origins: Origins,
}

/// What a request's answer says to the browser, whatever it is.
#[derive(Debug)]
pub struct Readable {
    /// `Access-Control-Allow-Origin`; `None`: no page may read it.
    by: Option<HeaderValue>,
    /// Whether another origin would be answered otherwise.
    varies: bool,
}

/// What a browser asks before it calls.
#[derive(Debug)]
pub struct Preflight<'a> {
    /// With which it would.
    pub method: Method,
    headers: &'a HeaderMap,
}

impl Cors {
    /// Made ready.
    pub fn new(origins: &Origins) -> Self {
        Self { origins: origins.clone() }
    }

    /// What answers to a request with these headers say.
    pub fn readable(&self, request: &HeaderMap) -> Readable {
        let mut origins = request.get_all(ORIGIN).iter();
        let origin = origins.next().filter(|_| origins.next().is_none());
        let (by, varies) = match &self.origins {
            Origins::Any => (origin.map(|_| HeaderValue::from_static("*")), false),
            Origins::Listed(listed) => (origin.filter(|o| listed.contains(o)).cloned(), true),
        };
        Readable { by, varies }
    }
}

impl Readable {
    /// Puts it on an answer. An upstream's `Access-Control-Expose-Headers` stays beside ours: which
    /// of its headers mean something, it knows best.
    pub fn say(&self, headers: &mut HeaderMap) {
        for name in &REPLACED {
            headers.remove(name);
        }
        if self.varies {
            headers.append(VARY, BY_ORIGIN);
        }
        if let Some(by) = &self.by {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, by.clone());
            headers.append(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        } else {
            headers.remove(ACCESS_CONTROL_EXPOSE_HEADERS);
        }
    }
}

impl<'a> Preflight<'a> {
    /// The preflight that a request is, if it is one.
    pub fn of(method: &Method, headers: &'a HeaderMap) -> Option<Self> {
        if *method != Method::OPTIONS || !headers.contains_key(ORIGIN) {
            return None;
        }
        let wanted = headers.get(ACCESS_CONTROL_REQUEST_METHOD)?;
        Some(Self { method: Method::from_bytes(wanted.as_bytes()).ok()?, headers })
    }

    /// 204, and what a page of the origin may do on a route. `methods`: what the path's routes have.
    pub fn answer(&self, route: &Route, methods: &str, config: &Config) -> Response<Outgoing> {
        let mut response = Response::new(Outgoing::Full(None));
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        headers.insert(VARY, BY_PREFLIGHT);
        let by = route.cors.as_ref().and_then(|cors| cors.readable(self.headers).by);
        if let Some(by) = by {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, by);
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, self.allowed_methods(methods));
            let allowed = self.allowed_headers(&config.keys.headers);
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, allowed);
            headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        }
        response
    }

    /// The one asked for is named too: a route of all methods has some that `methods` does not name.
    fn allowed_methods(&self, methods: &str) -> HeaderValue {
        let asked = self.method.as_str();
        let text = if methods.split(", ").any(|method| method == asked) {
            methods.to_owned()
        } else {
            format!("{methods}, {asked}")
        };
        HeaderValue::from_str(&text).expect("methods are tokens")
    }

    /// Headers that may hold a key, the body's type, and whatever was asked for that is a name.
    fn allowed_headers(&self, credentials: &[HeaderName]) -> HeaderValue {
        let asked = self.headers.get_all(ACCESS_CONTROL_REQUEST_HEADERS).iter();
        let asked = asked.flat_map(|value| value.as_bytes().split(|b| *b == b','));
        let asked = asked.filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok());
        let mut names: Vec<HeaderName> = credentials.to_vec();
        names.push(CONTENT_TYPE);
        names.extend(asked);
        names.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
        names.dedup();
        let names: Vec<&str> = names.iter().map(HeaderName::as_str).collect();
        HeaderValue::from_str(&names.join(", ")).expect("names are tokens")
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

    fn listed() -> Cors {
        let origin = HeaderValue::from_static("https://app.example.com");
        Cors::new(&Origins::Listed(vec![origin]))
    }

    fn said(
        cors: &Cors,
        origin: &'static str,
        upstream: &[(HeaderName, &'static str)],
    ) -> HeaderMap {
        let mut answer = headers(upstream);
        cors.readable(&headers(&[(ORIGIN, origin)])).say(&mut answer);
        answer
    }

    #[test]
    fn only_a_listed_origin_may_read() {
        let answer = said(&listed(), "https://app.example.com", &[]);
        assert_eq!(answer[ACCESS_CONTROL_ALLOW_ORIGIN], "https://app.example.com");
        assert_eq!(answer[VARY], "origin");
        for other in ["https://app.example.com.evil", "https://APP.example.com", "null", ""] {
            let answer = said(&listed(), other, &[]);
            assert!(!answer.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN), "{other}");
            assert_eq!(answer[VARY], "origin");
        }
    }

    #[test]
    fn a_star_is_for_all_and_the_same_for_all() {
        let answer = said(&Cors::new(&Origins::Any), "https://any.example", &[]);
        assert_eq!(answer[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        assert!(!answer.contains_key(VARY));
    }

    #[test]
    fn two_origins_are_none() {
        let request = HeaderMap::from_iter([(ORIGIN, listed_value())]);
        let mut twice = request.clone();
        twice.append(ORIGIN, listed_value());
        assert!(listed().readable(&request).by.is_some());
        assert!(listed().readable(&twice).by.is_none());
    }

    fn listed_value() -> HeaderValue {
        HeaderValue::from_static("https://app.example.com")
    }

    #[test]
    fn what_the_upstream_allows_is_not_passed_on() {
        let upstream = [
            (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
            (ACCESS_CONTROL_ALLOW_CREDENTIALS, "true"),
            (ACCESS_CONTROL_EXPOSE_HEADERS, "x-own"),
            (VARY, "accept"),
        ];
        let answer = said(&listed(), "https://evil.example", &upstream);
        assert_eq!(answer.len(), 2, "{answer:?}");
        let answer = said(&listed(), "https://app.example.com", &upstream);
        let exposed: Vec<_> = answer.get_all(ACCESS_CONTROL_EXPOSE_HEADERS).iter().collect();
        assert_eq!(exposed, ["x-own", EXPOSED.to_str().unwrap()]);
        assert!(!answer.contains_key(ACCESS_CONTROL_ALLOW_CREDENTIALS));
    }

    #[test]
    fn a_preflight_is_an_options_with_an_origin_and_a_method() {
        let asked = headers(&[(ORIGIN, "a"), (ACCESS_CONTROL_REQUEST_METHOD, "PATCH")]);
        assert_eq!(Preflight::of(&Method::OPTIONS, &asked).unwrap().method, Method::PATCH);
        assert!(Preflight::of(&Method::GET, &asked).is_none());
        for missing in [ORIGIN, ACCESS_CONTROL_REQUEST_METHOD] {
            let mut asked = asked.clone();
            asked.remove(missing);
            assert!(Preflight::of(&Method::OPTIONS, &asked).is_none());
        }
    }

    #[test]
    fn what_was_asked_for_is_allowed_where_it_is_a_name() {
        let asked = headers(&[
            (ORIGIN, "a"),
            (ACCESS_CONTROL_REQUEST_METHOD, "PURGE"),
            (ACCESS_CONTROL_REQUEST_HEADERS, "X-Mine, authorization,,a b,x\"y"),
        ]);
        let preflight = Preflight::of(&Method::OPTIONS, &asked).unwrap();
        let names = [http::header::AUTHORIZATION, HeaderName::from_static("x-api-key")];
        let allowed = preflight.allowed_headers(&names);
        assert_eq!(allowed, "authorization, content-type, x-api-key, x-mine");
        assert_eq!(preflight.allowed_methods("GET, HEAD"), "GET, HEAD, PURGE");
    }
}
