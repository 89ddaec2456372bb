//! What known keys feel of a flood of bad ones.

use anyhow::{Context as _, Result, ensure};

use crate::common::peer::BODY;
use crate::keys::Keys;
use crate::process::Running;
use crate::proxies::Proxy;
use crate::report::{Column, Table};
use crate::stage::{OPEN, Stage};
use crate::traffic::{Load, Mode, Pace, Stream};

const PROXIES: [Proxy; 2] = [Proxy::Nginx, Proxy::Keygate];
const COLUMNS: [Column; 6] = [
    Column::compared("p50 µs alone", 1),
    Column::compared("p50 µs in the flood", 1),
    Column::compared("p99 µs alone", 1),
    Column::compared("p99 µs in the flood", 1),
    Column::plain("p99 in the flood/alone", 2),
    Column::plain("refused/s", 0),
];
const KNOWN_PER_SECOND: u32 = 2_000;
const BAD_PER_SECOND: u32 = 20_000;
const CONNECTIONS: u32 = 64;

/// The table.
pub fn measure(stage: &mut Stage<'_>) -> Result<Table> {
    let title = format!(
        "open loop, known keys at {KNOWN_PER_SECOND} requests/s without and with \
         {BAD_PER_SECOND} unknown secrets/s beside, {CONNECTIONS} connections each, spinning"
    );
    let mut table = Table::new(title, &COLUMNS);
    let bad = Keys::unknown_requests(stage.keys.0.len() as u32)?;
    let running = stage.start(&PROXIES, OPEN)?;
    for order in stage.rounds(running.len()) {
        for proxy in order.into_iter().map(|place| &running[place]) {
            let mut alone = load(stage, proxy, &[])?.remove(0);
            let mut loads = load(stage, proxy, &bad)?;
            let (p50, p99) = (alone.latency_us(50), alone.latency_us(99));
            let (flood_p50, flood_p99) = (loads[0].latency_us(50), loads[0].latency_us(99));
            let refused = loads[1].answered as f64 / loads[1].elapsed.as_secs_f64();
            let figures = vec![p50, flood_p50, p99, flood_p99, flood_p99 / p99, refused];
            table.add(proxy.proxy.name(), figures);
        }
    }
    Ok(table)
}

/// Known keys, and bad ones if there are any.
fn load(stage: &mut Stage<'_>, proxy: &Running, bad: &[Vec<u8>]) -> Result<Vec<Load>> {
    stage.warm_up(proxy)?;
    let stream = |per_second, requests| Stream {
        to: &proxy.endpoint,
        connections: CONNECTIONS,
        pace: Pace::Open(per_second),
        body: BODY,
        requests,
    };
    let known = stage.at(KNOWN_PER_SECOND, stage.keys.random_requests());
    let mut streams = vec![stream(KNOWN_PER_SECOND, known)];
    if !bad.is_empty() {
        let requests = stage.at(BAD_PER_SECOND, bad.iter().map(Vec::as_slice).cycle());
        streams.push(stream(BAD_PER_SECOND, requests));
    }
    let loads = stage.traffic.run(Mode::Spin, streams, || Ok(()));
    let loads = loads.with_context(|| format!("under load: {}", proxy.proxy))?;
    proxy.cpu_time_at_rest()?;
    for (load, status) in loads.iter().zip([200, 401]) {
        ensure!(load.only(&[status]), "answers other than {status}: {:?}", load.others);
    }
    Ok(loads)
}
