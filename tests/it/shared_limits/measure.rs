//! What Redis costs a request: `cargo test --release --test it measure -- --ignored --nocapture`.

use std::thread;
use std::time::Duration;

use tokio::time::Instant;

use super::{Instances, ROUTES, crowd, passed};
use crate::support::load::get;
use crate::support::{MintedKey, Origin, Redis, TestGateway, TestStore, Wire, until};

/// The gateway's own time of each request, from its access log, in microseconds, sorted.
fn overheads(gateway: &TestGateway, requests: usize) -> Vec<u64> {
    let lines = || {
        let log = gateway.access_log();
        let micros = |line: &str| {
            let line: serde_json::Value = serde_json::from_str(line).expect("a line is JSON");
            let ms = line["overhead_ms"].as_f64().expect("a number");
            #[expect(clippy::cast_sign_loss, reason = "a length of time")]
            let micros = (ms * 1_000.0).round() as u64;
            (line["path"] == "/a").then_some(micros)
        };
        log.lines().filter_map(micros).collect::<Vec<u64>>()
    };
    until("all is logged", || lines().len() >= requests);
    let mut overheads = lines();
    overheads.sort_unstable();
    overheads
}

fn print(what: &str, micros: &[u64]) {
    let at = |per_mille: usize| micros[(micros.len() * per_mille / 1_000).min(micros.len() - 1)];
    println!(
        "{what}: p50 {} us, p99 {} us, p99.9 {} us, max {} us of {}",
        at(500),
        at(990),
        at(999),
        at(1_000),
        micros.len()
    );
}

fn send(wire: &mut Wire, key: &MintedKey) {
    wire.send(get("/a", key.secret()));
    let _ = wire.answer();
}

#[test]
#[ignore = "a measurement"]
fn measure_what_a_draw_adds_to_a_request() {
    let origin = Origin::start();
    let Some(redis) = Redis::start() else { return };
    for (what, cluster, limit, requests, pace) in [
        ("no Redis", "", "4000000000/min", 20_000, Duration::ZERO),
        ("batches", "redis", "4000000000/min", 20_000, Duration::ZERO),
        ("a draw each", "redis", "90/s", 500, Duration::from_millis(12)),
    ] {
        let setting = if cluster.is_empty() { String::new() } else { redis.setting() };
        let gateway = TestGateway::with(TestStore::sqlite())
            .config(ROUTES)
            .config(&setting)
            .upstream("api", &origin)
            .start();
        let key = gateway.key(&format!("--name a --limit {limit}"));
        let mut wire = Wire::connect(gateway.address());
        for _ in 0..requests {
            let next = Instant::now() + pace;
            send(&mut wire, &key);
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        print(what, &overheads(&gateway, requests));
        let metrics = gateway.metrics();
        let calls = metrics.total("keygate_redis_calls_total");
        println!("    {calls} calls, {} late", metrics.total("keygate_redis_late_total"));
    }
}

#[test]
#[ignore = "a measurement"]
fn measure_what_a_key_costs_redis() {
    let origin = Origin::start();
    let Some(redis) = Redis::start() else { return };
    let Some(instances) = Instances::start(3, &redis, &origin) else { return };
    let key = instances.key("--limit 1000/min --limit 100000/hour");
    let memory = |seconds: &str| {
        redis.ask(&["MEMORY", "USAGE", &format!("keygate:{{{}}}:all:{seconds}", key.id())])
    };
    let end = Instant::now() + Duration::from_secs(61);
    let answers = crowd(&instances, &[1, 1, 1], &key, "/a", |_, sent| {
        if sent == 1 {
            println!("after a request: {} and {} bytes", memory("60"), memory("3600"));
        }
        thread::sleep(Duration::from_millis(150));
        Instant::now() < end
    });
    println!("after a minute: {} and {} bytes", memory("60"), memory("3600"));
    let calls = instances.total("keygate_redis_calls_total");
    println!("{} passed of {}, {calls} calls", passed(&answers), answers.len());
    let statistics = redis.ask(&["INFO", "commandstats"]);
    let evalsha = statistics.lines().find(|line| line.starts_with("cmdstat_evalsha"));
    println!("{}", evalsha.unwrap_or_default());
}

#[test]
#[ignore = "a measurement"]
fn measure_what_is_waited_for_while_redis_goes() {
    for (what, limit) in [("batches", "4000000000/min"), ("a draw each", "90/s")] {
        for fault in ["nothing", "killed", "frozen"] {
            let origin = Origin::start();
            let Some(redis) = Redis::start() else { return };
            let Some(instances) = Instances::start(1, &redis, &origin) else { return };
            let key = instances.key(&format!("--limit {limit}"));
            let end = Instant::now() + Duration::from_secs(3);
            let sent: usize = thread::scope(|scope| {
                let client = || {
                    let (mut wire, mut sent) = (Wire::connect(instances.0[0].address()), 0);
                    while Instant::now() < end {
                        send(&mut wire, &key);
                        sent += 1;
                        thread::sleep(Duration::from_millis(20));
                    }
                    sent
                };
                let clients: Vec<_> = (0..4).map(|_| scope.spawn(client)).collect();
                until("some have passed", || origin.count() >= 40);
                match fault {
                    "killed" => redis.kill(),
                    "frozen" => redis.freeze(),
                    _ => {}
                }
                clients.into_iter().map(|client| client.join().expect("no panic")).sum()
            });
            let late = instances.total("keygate_redis_late_total");
            print(&format!("{what}, {fault} ({late} late)"), &overheads(&instances.0[0], sent));
        }
    }
}
