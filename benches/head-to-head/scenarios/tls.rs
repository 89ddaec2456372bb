//! TLS 1.3 in front, in clear behind: connections that stay, and new ones.

use anyhow::Result;

use super::closed::Closed;
use crate::proxies::{Proxy, Setup};
use crate::report::Table;
use crate::stage::{OPEN, Stage};
use crate::traffic::Pace;

/// Those that serve it.
pub const PROXIES: [Proxy; 3] = [Proxy::Nginx, Proxy::Haproxy, Proxy::Keygate];
const CHOICE: &str =
    "TLS_AES_128_GCM_SHA256, X25519, a certificate on P-256: the client offers nothing else.";

/// Requests over connections that stay.
pub fn keep_alive(stage: &mut Stage<'_>) -> Result<Table> {
    let title = "TLS 1.3, HTTP/1.1 with keep-alive";
    measure(stage, &Closed { title, ..Closed::PLAIN })
}

/// One request over each connection.
pub fn handshakes(stage: &mut Stage<'_>) -> Result<Table> {
    let title =
        "TLS 1.3, one request a connection, full handshakes: a request here is a connection";
    measure(stage, &Closed { title, pace: Pace::Fresh, ..Closed::PLAIN })
}

fn measure(stage: &mut Stage<'_>, closed: &Closed<'_>) -> Result<Table> {
    let running = stage.start(&PROXIES, Setup { tls: Some(stage.certificate), ..OPEN })?;
    let mut table = closed.measure(stage, &running)?;
    table.note(CHOICE);
    Ok(table)
}
