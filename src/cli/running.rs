//! Asking the gateway that runs with this configuration, by its admin API.

use std::net::SocketAddr;
use std::time::Duration;

use http::header::{AUTHORIZATION, HOST};
use http::{HeaderValue, Request};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use jiff::ToSpan as _;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::failure::{Failure, Result};
use super::health::{of_gateway, reachable};
use super::session::Session;
use crate::admin::access::token;
use crate::domain::Role;
use crate::key::SecretText;

/// How long the gateway may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// More than any answer has.
const READ_AT_MOST: usize = 4 * 1024 * 1024;

/// What a path of the admin API answers a GET: its status and its JSON.
///
/// Whoever has the store may mint tokens, so this mints one for itself: it looks and changes nothing,
/// lasts for a minute at most, and is revoked when it was used.
pub(crate) async fn ask(session: &Session, path: &str) -> Result<(u16, Value)> {
    let (now, keys) = (session.now(), &session.config().keys);
    let end = Some(now + 1.minute());
    let (token, minted) = token::mint("a command's question", Role::Viewer, end, keys, now)?;
    let address = reachable(session.config().admin.listen);
    // Found out before a token is made: nothing is left behind where nobody runs.
    let stream = timeout(PATIENCE, TcpStream::connect(address)).await;
    let stream = stream
        .map_err(|_| nobody(address, "no answer in time"))?
        .map_err(|error| nobody(address, &error.to_string()))?;
    let tls = session.config().admin.tls.as_ref().map(|tls| of_gateway(tls, None)).transpose()?;
    session.store.create_token(&session.act(), &token).await?;
    let asking = async {
        let Some(tls) = tls else { return get(stream, address, path, &minted.text).await };
        let secured = TlsConnector::from(tls).connect(address.ip().into(), stream).await;
        let stream = secured.map_err(|error| nobody(address, &error.to_string()))?;
        get(stream, address, path, &minted.text).await
    };
    let answered = timeout(PATIENCE, asking).await;
    session.store.revoke_token(&session.act(), &token.id).await?;
    answered.map_err(|_| nobody(address, "no answer in time"))?
}

async fn get(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    address: SocketAddr,
    path: &str,
    token: &SecretText,
) -> Result<(u16, Value)> {
    let broken = |error: &dyn std::fmt::Display| nobody(address, &error.to_string());
    let bearer = HeaderValue::from_str(&format!("Bearer {}", token.expose()));
    let mut bearer = bearer.expect("a token is a header's value");
    bearer.set_sensitive(true);
    let request = Request::get(path)
        .header(HOST, address.to_string())
        .header(AUTHORIZATION, bearer)
        .body(Empty::<Bytes>::new())
        .map_err(|error| Failure::mistaken(error.to_string()))?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
    let answered = async {
        let response = sender.send_request(request).await.map_err(|error| broken(&error))?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), READ_AT_MOST).collect().await;
        let body = body.map_err(|error| broken(&error))?.to_bytes();
        let json = serde_json::from_slice(&body).map_err(|error| broken(&error))?;
        Ok((status, json))
    };
    tokio::select! {
        answered = answered => answered,
        Err(error) = connection => Err(broken(&error)),
    }
}

fn nobody(address: SocketAddr, why: &str) -> Failure {
    Failure::failed(format!("no gateway answers at {address} (`admin.listen`): {why}"))
        .with_hint("start it with `keygate serve`, or name the configuration that it runs with")
}
