//! What the closed loops have in common: as many requests as there can be, what each costs.

use anyhow::{Result, ensure};

use crate::common::peer::BODY;
use crate::process::Running;
use crate::report::{Column, DIRECT, Table};
use crate::stage::{Sample, Stage};
use crate::traffic::{Mode, Pace, Stream};

/// The title of the column of answers in a second.
pub const RATE: &str = "requests/s";
const BUSY: &str = "core in use %";
const COLUMNS: [Column; 7] = [
    Column::compared("CPU µs/request", 2),
    Column::plain("of it after the load", 2),
    Column::compared(RATE, 0),
    Column::compared("p50 µs", 0),
    Column::compared("p99 µs", 0),
    Column::compared("memory MiB", 1),
    Column::plain(BUSY, 0),
];
/// Beside those, where the way without a proxy is measured too.
const ADDED: Column = Column::compared("p99 added µs", 0);
/// Below this, a proxy was not at its limit.
const FULL: f64 = 95.0;

/// Who sends what, and how.
pub struct Closed<'a> {
    /// Heads the table.
    pub title: &'a str,
    /// Clients.
    pub connections: u32,
    /// Of load and upstream.
    pub mode: Mode,
    /// Over connections that stay, or one for each request.
    pub pace: Pace,
    /// Bytes of body in every 200.
    pub body: usize,
    /// What is sent in turn; `None`: the keys' own requests at random.
    pub requests: Option<&'a [Vec<u8>]>,
    /// Whether the way without a proxy is measured too.
    pub direct: bool,
}

impl Closed<'_> {
    /// Connections that stay, small answers, in clear, nothing beside the proxies.
    pub const PLAIN: Closed<'static> = Closed {
        title: "",
        connections: 64,
        mode: Mode::Spin,
        pace: Pace::Closed,
        body: BODY,
        requests: None,
        direct: false,
    };

    /// The table.
    pub fn measure(&self, stage: &mut Stage<'_>, running: &[Running]) -> Result<Table> {
        let waiting = match self.mode {
            Mode::Spin => "spinning",
            Mode::Sleep => "sleeping",
        };
        let title = format!(
            "{}; closed loop, {} connections, load and upstream on one {waiting} thread",
            self.title, self.connections
        );
        let mut columns = COLUMNS.to_vec();
        columns.extend(self.direct.then_some(ADDED));
        let mut table = Table::new(title, &columns);
        for order in stage.rounds(running.len()) {
            let mut direct_p99 = f64::NAN;
            if self.direct {
                let mut direct = self.load(stage, None)?;
                direct_p99 = direct.load.latency_us(99);
                table.add(DIRECT, without_a_proxy(&mut direct));
            }
            for proxy in order.into_iter().map(|place| &running[place]) {
                let mut sample = self.load(stage, Some(proxy))?;
                let mut figures = figures(&mut sample, proxy)?;
                figures.extend(self.direct.then(|| sample.load.latency_us(99) - direct_p99));
                table.add(proxy.proxy.name(), figures);
            }
        }
        note_who_had_time(&mut table, running);
        Ok(table)
    }

    fn load(&self, stage: &mut Stage<'_>, proxy: Option<&Running>) -> Result<Sample> {
        let direct = stage.direct.clone();
        let requests = match self.requests {
            Some(requests) => stage.for_a_round(requests.iter().map(Vec::as_slice).cycle()),
            None => stage.for_a_round(stage.keys.random_requests()),
        };
        if let Some(proxy) = proxy.filter(|_| self.requests.is_none()) {
            stage.warm_up(proxy)?;
        }
        let stream = Stream {
            to: proxy.map_or(&direct, |proxy| &proxy.endpoint),
            connections: self.connections,
            pace: self.pace,
            body: self.body,
            requests,
        };
        let sample = stage.load(proxy, self.mode, stream)?;
        ensure!(sample.load.only(&[200]), "answers other than 200: {:?}", sample.load.others);
        Ok(sample)
    }
}

/// The columns of [`Table`]s that have those of closed loops.
pub fn columns() -> &'static [Column] {
    &COLUMNS
}

/// What they say of a proxy.
pub fn figures(sample: &mut Sample, proxy: &Running) -> Result<Vec<f64>> {
    Ok(vec![
        sample.cpu_us(),
        sample.cpu_after_us(),
        sample.per_second(),
        sample.load.latency_us(50),
        sample.load.latency_us(99),
        proxy.memory_kib()? as f64 / 1_024.0,
        sample.busy(),
    ])
}

/// Says which proxies were not at their limit.
pub fn note_who_had_time(table: &mut Table, running: &[Running]) {
    for name in running.iter().map(|proxy| proxy.proxy.name()) {
        if table.median(name, BUSY).is_some_and(|busy| busy < FULL) {
            let rest = "its requests/s and latencies are the load's too.";
            table.note(format!("{name}: its core was not full; {rest}"));
        }
    }
}

/// No CPU, no memory, and nothing added.
fn without_a_proxy(direct: &mut Sample) -> Vec<f64> {
    let nothing = f64::NAN;
    let (p50, p99) = (direct.load.latency_us(50), direct.load.latency_us(99));
    vec![nothing, nothing, direct.per_second(), p50, p99, nothing, nothing, nothing]
}
