//! HTTP/2 over TLS 1.3 in front, HTTP/1.1 in clear behind.

use anyhow::{Context as _, Result, ensure};
use http::HeaderValue;

use super::closed;
use super::tls::PROXIES;
use crate::process::Running;
use crate::proxies::Setup;
use crate::report::Table;
use crate::stage::{OPEN, Stage};
use crate::traffic::http2::Multiplexed;

/// Connections, and streams on each.
const SHAPES: [(u32, u32); 2] = [(64, 1), (8, 8)];

/// A table for each shape.
pub fn measure(stage: &mut Stage<'_>) -> Result<Vec<Table>> {
    let running = stage.start(&PROXIES, Setup { tls: Some(stage.certificate), ..OPEN })?;
    let keys = stage.keys.0.iter();
    let credentials = keys.map(|key| Ok(format!("Bearer {}", key.secret.expose()).try_into()?));
    let credentials: Vec<HeaderValue> = credentials.collect::<Result<_>>()?;
    for proxy in &running {
        check(stage, proxy, &credentials[0])
            .with_context(|| format!("{} does not do the work over HTTP/2", proxy.proxy))?;
    }
    SHAPES.iter().map(|shape| measure_shape(stage, &running, &credentials, *shape)).collect()
}

/// That HTTP/2 is spoken, and keys are looked at.
fn check(stage: &mut Stage<'_>, proxy: &Running, right: &HeaderValue) -> Result<()> {
    let wrong = HeaderValue::from_static("Bearer sk_live_00000000000000000000000000000000000000");
    for (credential, status) in [(&wrong, 401), (right, 200)] {
        let mut once = Some(credential);
        let clients = clients(stage, proxy, (1, 1));
        let load = clients.run(&mut stage.traffic, || Ok(()), || once.take())?;
        ensure!(load.only(&[status]), "{:?} came instead of {status}", load.others);
    }
    Ok(())
}

fn measure_shape(
    stage: &mut Stage<'_>,
    running: &[Running],
    credentials: &[HeaderValue],
    shape: (u32, u32),
) -> Result<Table> {
    let title = format!(
        "HTTP/2 over TLS 1.3; closed loop, {} connections x {} streams, \
         load and upstream on one spinning thread",
        shape.0, shape.1
    );
    let mut table = Table::new(title, closed::columns());
    for order in stage.rounds(running.len()) {
        for proxy in order.into_iter().map(|place| &running[place]) {
            stage.warm_up(proxy)?;
            let mut places = stage.for_a_round(stage.keys.random_places());
            let next = || places.next().map(|place| &credentials[place]);
            let clients = clients(stage, proxy, shape);
            let mut sample = stage
                .measure(Some(proxy), |traffic, connected| clients.run(traffic, connected, next))?;
            let others = &sample.load.others;
            ensure!(sample.load.only(&[200]), "answers other than 200: {others:?}");
            table.add(proxy.proxy.name(), closed::figures(&mut sample, proxy)?);
        }
    }
    closed::note_who_had_time(&mut table, running);
    Ok(table)
}

fn clients(stage: &Stage<'_>, proxy: &Running, (connections, streams): (u32, u32)) -> Multiplexed {
    let tls = stage.certificate.http2_client.clone();
    Multiplexed { to: proxy.endpoint.address, tls, connections, streams }
}
