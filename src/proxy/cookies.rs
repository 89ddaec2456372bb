//! The dashboard's sessions, kept from upstreams: browsers tell hosts apart and not their ports, so that
//! one that is signed in shows its session to the data plane of the same host too.

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};

use crate::domain::admin::SESSION_COOKIES;

/// Takes the sessions out of every `Cookie`, and the header with the last of its cookies.
pub(super) fn remove_sessions(headers: &mut HeaderMap) {
    if !headers.get_all(COOKIE).iter().any(|value| pairs(value).any(is_session)) {
        return;
    }
    let kept: Vec<HeaderValue> = headers.get_all(COOKIE).iter().filter_map(without).collect();
    headers.remove(COOKIE);
    for value in kept {
        headers.append(COOKIE, value);
    }
}

fn without(value: &HeaderValue) -> Option<HeaderValue> {
    let kept: Vec<&[u8]> = pairs(value).filter(|pair| !is_session(pair)).collect();
    let kept = kept.join(&b"; "[..]);
    (!kept.is_empty())
        .then(|| HeaderValue::from_bytes(&kept).expect("pieces of a value are a value"))
}

/// `name=value`, each without the space before it.
fn pairs(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    value.as_bytes().split(|byte| *byte == b';').map(<[u8]>::trim_ascii)
}

fn is_session(pair: &[u8]) -> bool {
    let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default().trim_ascii();
    SESSION_COOKIES.iter().any(|session| session.as_bytes() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(given: &[&'static str]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for value in given {
            headers.append(COOKIE, HeaderValue::from_static(value));
        }
        remove_sessions(&mut headers);
        let values = headers.get_all(COOKIE).iter();
        values.map(|value| value.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn a_session_goes_and_what_else_a_browser_shows_stays() {
        assert_eq!(left(&["a=1; keygate_session=x; b=2"]), ["a=1; b=2"]);
        assert_eq!(left(&["__Host-keygate_session=x"]), [""; 0]);
        assert_eq!(left(&["a=1", "keygate_session = x ;b=2"]), ["a=1", "b=2"]);
        let others = ["a=keygate_session; xkeygate_session=1;  odd", ""];
        assert_eq!(left(&others), others, "not touched at all");
    }
}
