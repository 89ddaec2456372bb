//! keygate with one worker and with two, on two cores that it shares with the load.

use anyhow::{Result, ensure};

use crate::common::peer::BODY;
use crate::proxies::{Proxy, Setup};
use crate::report::{Column, Table};
use crate::stage::{OPEN, Stage};
use crate::traffic::{Mode, Pace, Stream};

const COLUMNS: [Column; 3] = [
    Column::compared("requests/s", 0),
    Column::compared("CPU µs/request", 2),
    Column::plain("of one core in use %", 0),
];
const CONNECTIONS: u32 = 64;
/// By how many there are.
const NAMES: [&str; 2] = ["1 worker", "2 workers"];

/// The table.
pub fn measure(stage: &mut Stage<'_>) -> Result<Table> {
    let title = format!(
        "keygate; closed loop, {CONNECTIONS} connections, load and upstream on one sleeping thread"
    );
    let mut table = Table::beside(title, &COLUMNS, &NAMES[..1]);
    stage.share_cores()?;
    for order in stage.rounds(NAMES.len()) {
        for place in order {
            let setup = Setup { workers: place as u32 + 1, ..OPEN };
            table.add(NAMES[place], figures(stage, setup)?);
        }
    }
    stage.keep_cores_apart()?;
    table.note("Load and workers share the two cores, so that two workers cannot be twice one.");
    Ok(table)
}

fn figures(stage: &mut Stage<'_>, setup: Setup<'_>) -> Result<Vec<f64>> {
    let running = stage.start_one(Proxy::Keygate, setup)?;
    let stream = Stream {
        to: &running.endpoint,
        connections: CONNECTIONS,
        pace: Pace::Closed,
        body: BODY,
        requests: stage.for_a_round(stage.keys.random_requests()),
    };
    let sample = stage.load(Some(&running), Mode::Sleep, stream)?;
    ensure!(sample.load.only(&[200]), "answers other than 200: {:?}", sample.load.others);
    Ok(vec![sample.per_second(), sample.cpu_us(), sample.busy()])
}
