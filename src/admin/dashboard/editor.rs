//! Who may send a form: somebody with the role admin, from a page of our own.

use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::{HOST, HeaderName, ORIGIN};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::PageError;
use crate::admin::AdminState;
use crate::admin::access::{Caller, SignedIn};

/// Which page a browser sends from (Fetch Metadata).
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Somebody who is signed in with the role admin.
pub(in crate::admin) struct Editor(pub(in crate::admin) Caller);

impl FromRequestParts<AdminState> for Editor {
    type Rejection = Response;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &AdminState,
    ) -> Result<Self, Self::Rejection> {
        let SignedIn(caller) = SignedIn::from_request_parts(parts, state).await?;
        if !caller.is_admin() {
            let message =
                "You are signed in as a viewer, who can look at everything and change nothing.";
            return Err(PageError::new(StatusCode::FORBIDDEN, message).into_response());
        }
        Ok(Self(caller))
    }
}

/// No page without a session, and no form without the role admin, whatever is behind it asks for
/// itself: so a page that forgets to ask is closed and not open.
pub(super) async fn guard(
    State(state): State<AdminState>,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let caller = if parts.method.is_safe() {
        SignedIn::from_request_parts(&mut parts, &state).await.map(|SignedIn(caller)| caller)
    } else {
        Editor::from_request_parts(&mut parts, &state).await.map(|Editor(caller)| caller)
    };
    match caller {
        Ok(caller) => {
            parts.extensions.insert(caller);
            next.run(Request::from_parts(parts, body)).await
        }
        Err(refused) => refused,
    }
}

/// No page and no question without a session.
pub(super) async fn guard_questions(
    State(state): State<AdminState>,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    match SignedIn::from_request_parts(&mut parts, &state).await {
        Ok(SignedIn(caller)) => {
            parts.extensions.insert(caller);
            next.run(Request::from_parts(parts, body)).await
        }
        Err(refused) => refused,
    }
}

/// Forms come from our own pages: browsers say so, and what does not say so is refused. That is
/// beside `SameSite=Strict`, which another service on the same host would get past.
pub(super) async fn same_origin(request: Request, next: Next) -> Response {
    if !request.method().is_safe() && !is_own(request.headers()) {
        let message = "This form was not sent from a page of keygate's own.";
        return PageError::new(StatusCode::FORBIDDEN, message).into_response();
    }
    next.run(request).await
}

fn is_own(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text(SEC_FETCH_SITE) {
        return site == "same-origin";
    }
    let (Some(origin), Some(host)) = (text(ORIGIN), text(HOST)) else { return false };
    origin.split_once("://").is_some_and(|(_, origin)| origin == host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_taken_from_the_same_origin_only() {
        let own = |given: &[(HeaderName, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in given {
                headers.insert(name, value.parse().unwrap());
            }
            is_own(&headers)
        };
        assert!(own(&[(SEC_FETCH_SITE, "same-origin")]));
        assert!(own(&[(ORIGIN, "http://a:1"), (HOST, "a:1")]));
        for wrong in [
            &[][..],
            &[(HOST, "a:1")],
            &[(SEC_FETCH_SITE, "same-site"), (ORIGIN, "http://a:1"), (HOST, "a:1")],
            &[(SEC_FETCH_SITE, "none")],
            &[(ORIGIN, "null"), (HOST, "a:1")],
            &[(ORIGIN, "http://a:2"), (HOST, "a:1")],
            &[(ORIGIN, "http://a.example"), (HOST, "a:1")],
        ] {
            assert!(!own(wrong), "{wrong:?}");
        }
    }
}
