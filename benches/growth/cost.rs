//! CPU per request: of several gateways, or of one over several connections, in interleaved rounds.
//!
//! What is counted is all that the process computes while it answers a closed loop of known keys, its
//! control plane included, divided by the answers. The ratio is to the first case of the same round, so
//! that what else the machine does cancels out as far as it does to both.

use std::rc::Rc;

use anyhow::Result;

use super::scene::{Place, Scene};
use crate::stage::cpu;
use crate::stage::pinned::target;
use crate::stage::plans::{Closed, Requests, any_of};
use crate::stage::report::{Table, median, say};
use crate::support::TestGateway;

const CONNECTIONS: usize = 64;
/// Requests under way at most: a worker has 1,024 connections to a target, and lets few wait for one.
const UNDER_WAY: usize = 1_000;
const ROUNDS: usize = 5;
/// Requests of one case in one round.
const REQUESTS: usize = 100_000;

/// One row.
struct Case<'a> {
    name: String,
    gateway: &'a TestGateway,
    requests: Requests,
    connections: usize,
}

/// How much is measured.
struct Extent {
    rounds: usize,
    requests: usize,
}

/// By the keys in the store, and by how many of them are in use.
pub fn of_keys(quick: bool) -> Result<()> {
    let mut scene = Scene::new()?;
    let many = if quick { [1_000, 10_000, 20_000] } else { [1_000, 100_000, 1_000_000] };
    let places = [
        scene.place(many[0], 1_000, "")?,
        scene.place(many[1], 10_000, "")?,
        scene.place(many[2], 10_000, "")?,
    ];
    let mut cases = Vec::new();
    for (place, size) in places.iter().zip(many) {
        for used in [1_000, 10_000] {
            if used <= place.requests.len() {
                cases.push(Case {
                    name: format!("{size} keys, {used} in use"),
                    gateway: &place.gateway,
                    requests: place.requests[..used].to_vec(),
                    connections: CONNECTIONS,
                });
            }
        }
    }
    for Place { gateway, requests } in &places {
        scene.use_once(gateway, requests)?;
    }
    measure(&mut scene, "keys in the store, keys in use", &cases, &Extent::of(quick))
}

/// By the routes of the configuration.
pub fn of_routes(quick: bool) -> Result<()> {
    const KEYS: usize = 1_000;
    let mut scene = Scene::new()?;
    let many: [usize; 2] = [10, 10_000];
    let places = many.map(|routes| scene.place(KEYS, KEYS, &routes_of(routes)));
    let [few, many_routes] = places;
    let places = [few?, many_routes?];
    let mut cases = Vec::new();
    for (place, routes) in places.iter().zip(many) {
        let requests = over_routes(&place.requests, routes);
        // The first of them bring each key once.
        scene.use_once(&place.gateway, &requests[..KEYS])?;
        cases.push(Case {
            name: format!("{routes} routes"),
            gateway: &place.gateway,
            requests,
            connections: CONNECTIONS,
        });
    }
    measure(&mut scene, "routes", &cases, &Extent::of(quick))
}

/// By the connections.
pub fn of_connections(quick: bool) -> Result<()> {
    const KEYS: usize = 1_000;
    let mut scene = Scene::new()?;
    let place = scene.place(KEYS, KEYS, "")?;
    scene.use_once(&place.gateway, &place.requests)?;
    let cases = [10, 64, 1_000, 5_000].map(|connections| Case {
        name: format!("{connections} connections"),
        gateway: &place.gateway,
        requests: place.requests.clone(),
        connections,
    });
    measure(&mut scene, "connections", &cases, &Extent::of(quick))
}

impl Extent {
    fn of(quick: bool) -> Self {
        if quick {
            Self { rounds: 1, requests: REQUESTS / 5 }
        } else {
            Self { rounds: ROUNDS, requests: REQUESTS }
        }
    }
}

fn measure(scene: &mut Scene, what: &str, cases: &[Case<'_>], extent: &Extent) -> Result<()> {
    let mut rounds: Vec<Vec<f64>> = Vec::new();
    for _ in 0..extent.rounds {
        let each = cases.iter().map(|case| per_request_us(scene, case, extent.requests));
        rounds.push(each.collect::<Result<_>>()?);
    }
    say(&format!(
        "\ncost: {} requests a case and round, medians of {} rounds (least to most)\n",
        extent.requests, extent.rounds
    ));
    let mut table = Table::new([what, "CPU µs/request", "ratio to the first"]);
    for (place, case) in cases.iter().enumerate() {
        let us = median(rounds.iter().map(|round| round[place]));
        let mut ratios: Vec<f64> = rounds.iter().map(|round| round[place] / round[0]).collect();
        ratios.sort_by(f64::total_cmp);
        let (least, most) = (ratios[0], ratios[ratios.len() - 1]);
        let ratio = format!("{:.2} ({least:.2} to {most:.2})", median(ratios));
        table.row([case.name.clone(), format!("{us:.2}"), ratio]);
    }
    say(&table.to_string());
    Ok(())
}

/// What all of the gateway's threads compute for a request, in microseconds.
fn per_request_us(scene: &mut Scene, case: &Case<'_>, count: usize) -> Result<f64> {
    let (process, to) = (case.gateway.process_id(), target(case.gateway, case.connections));
    let plan = |count| Closed::new(count, UNDER_WAY, any_of(case.requests.clone(), 0));
    // Connections to the upstream are made, and caches are as this case has them.
    scene.ask(to, || plan(count / 10))?;
    let mut before = None;
    let answered = scene.ask(to, || {
        before = Some(cpu::of_process(process));
        plan(count)
    })?;
    let after = cpu::of_process(process)?;
    let before = before.transpose()?.unwrap_or_default();
    Ok(after.saturating_sub(before).as_secs_f64() * 1e6 / answered as f64)
}

/// So many routes with a name in their path; what is asked lies below one of them.
fn routes_of(count: usize) -> String {
    let route = |n: usize| {
        format!(
            "[[routes]]\npath = \"/v1/things{n}/{{id}}\"\nscopes = [\"agents:read\"]\n\
             upstream = \"api\"\n"
        )
    };
    (0..count).map(route).collect()
}

/// Each key's request on a route of its own, as far as there are some.
fn over_routes(requests: &Requests, routes: usize) -> Requests {
    let to_route = |place: usize| -> Rc<[u8]> {
        let request = &requests[place % requests.len()];
        let head = String::from_utf8_lossy(request);
        let (_, rest) = head.split_once(" HTTP/1.1").unwrap_or_default();
        format!("GET /v1/things{}/42 HTTP/1.1{rest}", place % routes).into_bytes().into()
    };
    (0..requests.len().max(routes)).map(to_route).collect()
}
