//! A rate that every proxy can keep up with: what each adds to the way.

use anyhow::{Result, ensure};

use crate::common::peer::BODY;
use crate::process::Running;
use crate::proxies::Proxy;
use crate::report::{Column, DIRECT, Table};
use crate::stage::{OPEN, Sample, Stage};
use crate::traffic::{Mode, Pace, Stream};

const PROXIES: [Proxy; 3] = [Proxy::Nginx, Proxy::Minimal, Proxy::Keygate];
const COLUMNS: [Column; 6] = [
    Column::compared("p50 µs", 1),
    Column::compared("p99 µs", 1),
    Column::compared("p50 added µs", 1),
    Column::compared("p99 added µs", 1),
    Column::compared("CPU µs/request", 2),
    Column::plain("requests/s", 0),
];
const PER_SECOND: u32 = 4_000;
const CONNECTIONS: u32 = 64;

/// The table.
pub fn measure(stage: &mut Stage<'_>) -> Result<Table> {
    let title = format!(
        "open loop, {PER_SECOND} requests/s, {CONNECTIONS} connections, spinning; \
         latencies from when a request was due"
    );
    let mut table = Table::new(title, &COLUMNS);
    let running = stage.start(&PROXIES, OPEN)?;
    for order in stage.rounds(running.len()) {
        let mut direct = load(stage, None)?;
        let (p50, p99) = (direct.load.latency_us(50), direct.load.latency_us(99));
        let nothing = f64::NAN;
        table.add(DIRECT, vec![p50, p99, nothing, nothing, nothing, direct.per_second()]);
        for proxy in order.into_iter().map(|place| &running[place]) {
            let mut sample = load(stage, Some(proxy))?;
            let (its_p50, its_p99) = (sample.load.latency_us(50), sample.load.latency_us(99));
            let (added_p50, added_p99) = (its_p50 - p50, its_p99 - p99);
            let (cpu, rate) = (sample.cpu_us(), sample.per_second());
            let figures = vec![its_p50, its_p99, added_p50, added_p99, cpu, rate];
            table.add(proxy.proxy.name(), figures);
        }
    }
    Ok(table)
}

fn load(stage: &mut Stage<'_>, proxy: Option<&Running>) -> Result<Sample> {
    let direct = stage.direct.clone();
    if let Some(proxy) = proxy {
        stage.warm_up(proxy)?;
    }
    let stream = Stream {
        to: proxy.map_or(&direct, |proxy| &proxy.endpoint),
        connections: CONNECTIONS,
        pace: Pace::Open(PER_SECOND),
        body: BODY,
        requests: stage.at(PER_SECOND, stage.keys.random_requests()),
    };
    let sample = stage.load(proxy, Mode::Spin, stream)?;
    ensure!(sample.load.only(&[200]), "answers other than 200: {:?}", sample.load.others);
    Ok(sample)
}
