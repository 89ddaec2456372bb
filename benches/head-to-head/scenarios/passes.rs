//! Requests that pass, as many as there can be: what each costs, how many there are.

use anyhow::{Result, ensure};

use crate::common::peer::BODY;
use crate::process::Running;
use crate::proxies::Proxy;
use crate::report::{Column, Table};
use crate::stage::{OPEN, Sample, Stage};
use crate::traffic::{Mode, Pace, Stream};

const COLUMNS: [Column; 7] = [
    Column::compared("CPU µs/request", 2),
    Column::compared("requests/s", 0),
    Column::compared("p50 µs", 0),
    Column::compared("p99 µs", 0),
    Column::compared("p99 added µs", 0),
    Column::compared("memory MiB", 1),
    Column::plain(BUSY, 0),
];
const BUSY: &str = "core in use %";
/// Below this, a proxy was not at its limit.
const FULL: f64 = 95.0;

/// Who is loaded how.
struct Load {
    proxies: &'static [Proxy],
    connections: u32,
    mode: Mode,
}

/// Nobody pays for waking load and upstream.
pub fn spinning(stage: &mut Stage<'_>) -> Result<Table> {
    let proxies = &[Proxy::Nginx, Proxy::Haproxy, Proxy::Minimal, Proxy::Keygate];
    measure(stage, &Load { proxies, connections: 64, mode: Mode::Spin })
}

/// Whoever writes to load or upstream may have to wake it, as on a network card.
pub fn sleeping(stage: &mut Stage<'_>) -> Result<Table> {
    let proxies = &[Proxy::Nginx, Proxy::Minimal, Proxy::Keygate];
    measure(stage, &Load { proxies, connections: 64, mode: Mode::Sleep })
}

/// Many connections.
pub fn thousand(stage: &mut Stage<'_>) -> Result<Table> {
    let proxies = &[Proxy::Nginx, Proxy::Minimal, Proxy::Keygate];
    measure(stage, &Load { proxies, connections: 1_000, mode: Mode::Spin })
}

fn measure(stage: &mut Stage<'_>, with: &Load) -> Result<Table> {
    let state = match with.mode {
        Mode::Spin => "spinning",
        Mode::Sleep => "sleeping",
    };
    let title = format!(
        "closed loop, {} connections, load and upstream on one {state} thread",
        with.connections
    );
    let mut table = Table::new(title, &COLUMNS);
    let running = stage.start(with.proxies, OPEN)?;
    for (_, order) in stage.rounds(running.len()) {
        let mut direct = load(stage, None, with)?;
        let direct_p99 = direct.load.latency_us(99);
        table.add("direct", figures(&mut direct, f64::NAN, f64::NAN));
        for proxy in order.into_iter().map(|place| &running[place]) {
            let mut sample = load(stage, Some(proxy), with)?;
            let memory = proxy.memory_kib()? as f64 / 1_024.0;
            table.add(proxy.proxy.name(), figures(&mut sample, direct_p99, memory));
        }
    }
    for proxy in &running {
        let name = proxy.proxy.name();
        if table.median(name, BUSY).is_some_and(|busy| busy < FULL) {
            let rest = "its requests/s and latencies are the load's too.";
            table.note(format!("{name}: its core was not full; {rest}"));
        }
    }
    Ok(table)
}

fn load(stage: &mut Stage<'_>, proxy: Option<&Running>, with: &Load) -> Result<Sample> {
    let direct = stage.direct.clone();
    let stream = Stream {
        to: proxy.map_or(&direct, |proxy| &proxy.endpoint),
        connections: with.connections,
        pace: Pace::Closed,
        body: BODY,
        requests: stage.for_a_round(stage.keys.random_requests()),
    };
    let sample = stage.load(proxy, with.mode, stream)?;
    ensure!(sample.load.only(&[200]), "answers other than 200: {:?}", sample.load.others);
    Ok(sample)
}

/// Without a proxy there is no CPU, no memory, and nothing added.
fn figures(sample: &mut Sample, direct_p99: f64, memory: f64) -> Vec<f64> {
    let of_a_proxy = |figure: f64| if memory.is_nan() { f64::NAN } else { figure };
    let (p50, p99) = (sample.load.latency_us(50), sample.load.latency_us(99));
    vec![
        of_a_proxy(sample.cpu_us()),
        sample.per_second(),
        p50,
        p99,
        p99 - direct_p99,
        memory,
        of_a_proxy(sample.busy()),
    ]
}
