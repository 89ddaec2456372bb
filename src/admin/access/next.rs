//! Where somebody who had to sign in wanted to go: a path of our own and nothing else.

use axum::http::header::HeaderName;
use axum::http::request::Parts;
use axum::http::uri::{PathAndQuery, Uri};

use crate::admin::dashboard::words::escaped;

/// Part of a page is asked for (htmx).
pub(super) const HX_REQUEST: HeaderName = HeaderName::from_static("hx-request");
/// The whole page goes elsewhere.
pub(super) const HX_REDIRECT: HeaderName = HeaderName::from_static("hx-redirect");
/// The page that the part is for.
const HX_CURRENT_URL: HeaderName = HeaderName::from_static("hx-current-url");
/// Where browsers sign in.
pub(in crate::admin) const SIGN_IN: &str = "/login";
/// No address of ours is longer.
const LONGEST: usize = 2_000;

/// Where a browser signs in and is sent back from to the page that it asked for.
pub(super) fn sign_in(parts: &Parts) -> String {
    let wanted = if parts.headers.contains_key(HX_REQUEST) {
        let page = parts.headers.get(HX_CURRENT_URL).and_then(|page| page.to_str().ok());
        let page = page.and_then(|page| page.parse::<Uri>().ok());
        page.and_then(|page| page.path_and_query().map(|it| it.as_str().to_owned()))
    } else if parts.method.is_safe() {
        parts.uri.path_and_query().map(|it| it.as_str().to_owned())
    } else {
        // What a form was to do is not done by coming back to it.
        None
    };
    match wanted.as_deref().and_then(own) {
        None | Some("/") => SIGN_IN.to_owned(),
        Some(next) => format!("{SIGN_IN}?next={}", escaped(next)),
    }
}

/// The path with its query, if a browser that is sent there stays with us. `//host` and, to browsers,
/// `/\\host` are elsewhere.
pub(in crate::admin) fn own(next: &str) -> Option<&str> {
    let rest = next.strip_prefix('/')?;
    let is_elsewhere = rest.starts_with('/') || rest.contains('\\');
    let is_plain = next.bytes().all(|byte| byte.is_ascii_graphic()) && next.len() <= LONGEST;
    let is_path = next.parse::<PathAndQuery>().is_ok();
    (!is_elsewhere && is_plain && is_path).then_some(next)
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    #[test]
    fn only_a_path_of_our_own_is_gone_to() {
        for good in ["/", "/keys", "/keys?status=active&q=a%20b", "/keys/key_1", "/a//b"] {
            assert_eq!(own(good), Some(good));
        }
        let long = format!("/{}", "a".repeat(LONGEST));
        for bad in [
            "",
            "keys",
            "//a.example",
            "/\\a.example",
            "\\\\a.example",
            "https://a.example/",
            "javascript:alert(1)",
            "/a\r\nSet-Cookie: b",
            "/\t/a.example",
            "/ /a.example",
            "/\u{e9}",
            "/keys\\..",
            &long,
        ] {
            assert_eq!(own(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn who_signs_in_comes_back_to_the_page_that_was_asked_for() {
        let to = |method: &str, path: &str, fields: &[(HeaderName, &str)]| {
            let mut request = Request::builder().method(method).uri(path);
            for (name, value) in fields {
                request = request.header(name, *value);
            }
            sign_in(&request.body(()).unwrap().into_parts().0)
        };
        assert_eq!(to("GET", "/", &[]), "/login");
        assert_eq!(to("GET", "/keys?q=a", &[]), "/login?next=%2Fkeys%3Fq%3Da");
        assert_eq!(to("GET", "//a.example", &[]), "/login");
        assert_eq!(to("POST", "/keys/k/revoke", &[]), "/login");
        let part = (HX_REQUEST, "true");
        assert_eq!(to("GET", "/keys", std::slice::from_ref(&part)), "/login");
        let page = (HX_CURRENT_URL, "http://a:1/keys/k?x#part");
        assert_eq!(to("POST", "/keys", &[part, page]), "/login?next=%2Fkeys%2Fk%3Fx");
    }
}
