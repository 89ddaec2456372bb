//! Requests that are refused, as many as there can be, by why they are.

use anyhow::{Result, ensure};

use crate::check::LOW_LIMIT;
use crate::common::peer::BODY;
use crate::keys::{Keys, request};
use crate::process::Running;
use crate::proxies::{Proxy, Setup};
use crate::report::{Column, Table};
use crate::stage::{OPEN, Stage};
use crate::traffic::{Mode, Pace, Stream};

const PROXIES: [Proxy; 4] = [Proxy::Nginx, Proxy::Haproxy, Proxy::Minimal, Proxy::Keygate];
const COLUMNS: [Column; 3] = [
    Column::compared("CPU µs/request", 2),
    Column::compared("requests/s", 0),
    Column::plain("core in use %", 0),
];
const CONNECTIONS: u32 = 64;
/// A key over its limit may pass so often in a round: with each new window a few times.
const PASSED: u64 = 100;

/// One reason for refusals.
struct Case {
    title: &'static str,
    status: u16,
    requests: Vec<Vec<u8>>,
}

/// A table for each reason.
pub fn measure(stage: &mut Stage<'_>) -> Result<Vec<Table>> {
    let running = stage.start(&PROXIES, Setup { limit_per_minute: LOW_LIMIT, ..OPEN })?;
    cases(stage.keys)?.iter().map(|case| measure_case(stage, &running, case)).collect()
}

fn cases(keys: &Keys) -> Result<Vec<Case>> {
    Ok(vec![
        Case {
            title: "401, a credential that cannot be a key",
            status: 401,
            requests: vec![request(Some("sk_live_not-a-key"))],
        },
        Case {
            title: "401, a well-formed secret with an unknown id",
            status: 401,
            requests: Keys::unknown_requests(keys.0.len() as u32)?,
        },
        Case {
            title: "401, a wrong secret under a known id",
            status: 401,
            requests: keys.wrong_requests()?,
        },
        Case {
            title: "429, a key over its limit",
            status: 429,
            requests: vec![keys.0[0].request.clone()],
        },
    ])
}

fn measure_case(stage: &mut Stage<'_>, running: &[Running], case: &Case) -> Result<Table> {
    let title = format!("{}; closed loop, {CONNECTIONS} connections, spinning", case.title);
    let mut table = Table::new(title, &COLUMNS);
    for order in stage.rounds(running.len()) {
        for proxy in order.into_iter().map(|place| &running[place]) {
            let requests = case.requests.iter().map(Vec::as_slice).cycle();
            let stream = Stream {
                to: &proxy.endpoint,
                connections: CONNECTIONS,
                pace: Pace::Closed,
                body: BODY,
                requests: stage.for_a_round(requests),
            };
            let sample = stage.load(Some(proxy), Mode::Spin, stream)?;
            let passed = sample.load.count(200);
            ensure!(
                sample.load.only(&[case.status, 200]) && passed <= PASSED,
                "{} let {passed} pass and answered {:?}",
                proxy.proxy,
                sample.load.others
            );
            table
                .add(proxy.proxy.name(), vec![sample.cpu_us(), sample.per_second(), sample.busy()]);
        }
    }
    Ok(table)
}
