//! Requests that pass.

use anyhow::Result;

use super::closed::{Closed, RATE};
use crate::proxies::Proxy;
use crate::report::Table;
use crate::stage::{OPEN, Stage};
use crate::traffic::Mode;

const BESIDE_NGINX: [Proxy; 3] = [Proxy::Nginx, Proxy::Minimal, Proxy::Keygate];
const REQUESTS: Closed<'_> =
    Closed { title: "requests that pass, 200-byte answers", direct: true, ..Closed::PLAIN };

/// Nobody pays for waking load and upstream.
pub fn spinning(stage: &mut Stage<'_>) -> Result<Table> {
    let all = [Proxy::Nginx, Proxy::Haproxy, Proxy::Minimal, Proxy::Keygate];
    let running = stage.start(&all, OPEN)?;
    let mut table = REQUESTS.measure(stage, &running)?;
    if let Some(ratio) = table.ratio(Proxy::Keygate.name(), Proxy::Haproxy.name(), RATE) {
        table.note(format!("{RATE} of keygate: {ratio:.2} of haproxy's"));
    }
    Ok(table)
}

/// Whoever writes to load or upstream may have to wake it.
pub fn sleeping(stage: &mut Stage<'_>) -> Result<Table> {
    let running = stage.start(&BESIDE_NGINX, OPEN)?;
    Closed { mode: Mode::Sleep, ..REQUESTS }.measure(stage, &running)
}

/// Many connections.
pub fn thousand(stage: &mut Stage<'_>) -> Result<Table> {
    let running = stage.start(&BESIDE_NGINX, OPEN)?;
    Closed { connections: 1_000, ..REQUESTS }.measure(stage, &running)
}
