//! Large bodies, both ways.

use anyhow::{Context as _, Result, ensure};

use super::closed::Closed;
use crate::common::peer::BODY;
use crate::keys::{Key, upload};
use crate::process::Running;
use crate::proxies::Proxy;
use crate::report::Table;
use crate::stage::{OPEN, Stage};

const PROXIES: [Proxy; 3] = [Proxy::Nginx, Proxy::Minimal, Proxy::Keygate];
const KIB: usize = 1_024;
/// Keys that upload: each request is held in memory.
const UPLOADERS: usize = 100;
const BUFFERED: &str = "nginx buffers answers as by default (8 pages, then files), and uploads in \
                        memory before it sends them on (client_body_buffer_size 128k).";

/// What goes up and what comes down, in bytes.
struct Shape {
    title: &'static str,
    connections: u32,
    upload: usize,
    body: usize,
}

const SHAPES: [Shape; 3] = [
    Shape { title: "64 KiB answers", connections: 64, upload: 0, body: 64 * KIB },
    Shape { title: "1 MiB answers", connections: 16, upload: 0, body: KIB * KIB },
    Shape { title: "64 KiB uploads", connections: 64, upload: 64 * KIB, body: BODY },
];

/// A table for each.
pub fn measure(stage: &mut Stage<'_>) -> Result<Vec<Table>> {
    let running = stage.start(&PROXIES, OPEN)?;
    let tables = SHAPES.iter().map(|shape| measure_shape(stage, &running, shape)).collect();
    stage.traffic.upstream.shape(0, BODY);
    tables
}

fn measure_shape(stage: &mut Stage<'_>, running: &[Running], shape: &Shape) -> Result<Table> {
    stage.traffic.upstream.shape(shape.upload, shape.body);
    let request = |key: &Key| match shape.upload {
        0 => key.request.clone(),
        length => upload(key.secret.expose(), length),
    };
    let requests: Vec<_> = stage.keys.0.iter().take(UPLOADERS).map(request).collect();
    for proxy in running {
        check(stage, proxy, &requests[0], shape)
            .with_context(|| format!("{} does not pass {}", proxy.proxy, shape.title))?;
    }
    let (title, connections, body) = (shape.title, shape.connections, shape.body);
    let requests = Some(requests.as_slice());
    let closed = Closed { title, connections, body, requests, ..Closed::PLAIN };
    let mut table = closed.measure(stage, running)?;
    table.note(BUFFERED);
    Ok(table)
}

/// That the body reaches the other side, and that the upstream is told its length.
fn check(stage: &mut Stage<'_>, proxy: &Running, request: &[u8], shape: &Shape) -> Result<()> {
    let exchange = stage.traffic.ask(&proxy.endpoint, request, shape.body)?;
    ensure!(exchange.status == 200, "it was answered with {}", exchange.status);
    let seen = exchange.upstream_saw.context("the upstream saw nothing")?.to_ascii_lowercase();
    let length = format!("\r\ncontent-length: {}\r\n", shape.upload);
    ensure!(shape.upload == 0 || seen.contains(&length), "the upstream was not told the length");
    Ok(())
}
