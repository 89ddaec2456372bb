//! What an endpoint asks for in its arguments, so that it cannot be reached without it.

use std::net::{IpAddr, SocketAddr};

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;

use super::Caller;
use crate::admin::AdminState;
use crate::admin::error::ApiError;

/// Who is at the other end of the connection; every request has it as an extension.
#[derive(Clone, Copy, Debug)]
pub(in crate::admin) struct Peer(pub(in crate::admin) SocketAddr);

impl Peer {
    /// The address of who sent the request.
    pub(in crate::admin) fn of(parts: &Parts) -> IpAddr {
        let peer = parts.extensions.get::<Self>().expect("every connection has a peer");
        peer.0.ip().to_canonical()
    }
}

/// Somebody with a token of either role, as a Bearer.
pub(in crate::admin) struct Viewer(pub(in crate::admin) Caller);

/// Somebody with a token of the role admin, as a Bearer.
pub(in crate::admin) struct Administrator(pub(in crate::admin) Caller);

impl FromRequestParts<AdminState> for Viewer {
    type Rejection = ApiError;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &AdminState,
    ) -> Result<Self, Self::Rejection> {
        let address = Peer::of(parts);
        let text = bearer(parts).ok_or_else(ApiError::unauthorized)?;
        let found = state.door.token(text, &state.knock(address)).await?;
        let token = found.ok_or_else(ApiError::unauthorized)?;
        Ok(Self(Caller { token, session: None, address }))
    }
}

impl FromRequestParts<AdminState> for Administrator {
    type Rejection = ApiError;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &AdminState,
    ) -> Result<Self, Self::Rejection> {
        let Viewer(caller) = Viewer::from_request_parts(parts, state).await?;
        if !caller.is_admin() {
            return Err(ApiError::forbidden(
                "This token has the role viewer: it can look at everything and change nothing",
            ));
        }
        Ok(Self(caller))
    }
}

fn bearer(parts: &Parts) -> Option<&str> {
    let mut values = parts.headers.get_all(AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let (scheme, text) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| text.trim())
}
