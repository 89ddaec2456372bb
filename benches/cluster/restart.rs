//! Known keys on an instance that has just been started in another's place.
//!
//! The first instance knows every key; it is ended with SIGTERM, one more is started, and the same
//! load goes on there. See [`crate::pinned`] for what runs where.

use std::io::Write as _;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use keygate::key::hash::Argon2Strength;
use rustix::process::Signal;
use tempfile::NamedTempFile;

use crate::stage::outcome::{Fared, Outcome, by_second};
use crate::stage::pinned::{Stage, target};
use crate::stage::plans::{Steady, any_of, requests, statuses, warm_up};
use crate::stage::report::{Table, Times, ms, say};
use crate::support::{Kind, TestGateway, bulk};

const PER_SECOND: u32 = 2_000;
/// So many that first uses which wait leave room for the others.
const CONNECTIONS: usize = 2_000;
/// The load on the instance that knows every key.
const BEFORE: Duration = Duration::from_secs(5);
/// What the promise is about.
const FIRST: Duration = Duration::from_secs(1);

/// How one run is prepared.
struct Case {
    kind: Kind,
    hashes: &'static str,
    keys: usize,
    strength: Argon2Strength,
    /// How long the load goes on after the restart.
    after: Duration,
    key_file: bool,
}

/// Measures and prints.
pub fn run(quick: bool) -> Result<()> {
    say(&format!(
        "\nrestart: known keys at random at {PER_SECOND} requests/s; a second is worse where its \
         p99 is more than twice that of a second before, or an answer is not 200\n"
    ));
    let mut table = Table::new([
        "keys, their hashes, store, cache key",
        "p50 ms before",
        "a second's p99 ms before",
        "p50 ms, first second",
        "p99 ms, first second",
        "max ms, first second",
        "Argon2 runs, first second",
        "Argon2 runs in all",
        "seconds worse",
        "answers after",
    ]);
    for key_file in [false, true] {
        for case in cases(quick, key_file) {
            table.row(measure(&case)?);
        }
    }
    say(&table.to_string());
    Ok(())
}

fn cases(quick: bool, key_file: bool) -> [Case; 3] {
    let (weak, strong) = (bulk::WEAK, Argon2Strength::default());
    let case = |kind, hashes, keys, strength, seconds| {
        let (keys, seconds) = if quick { (keys / 10, seconds / 10) } else { (keys, seconds) };
        Case { kind, hashes, keys, strength, after: Duration::from_secs(seconds), key_file }
    };
    [
        case(Kind::Postgres, "64 KiB, t=1", 10_000, weak, 20),
        case(Kind::Sqlite, "64 KiB, t=1", 10_000, weak, 20),
        case(Kind::Sqlite, "19 MiB, t=2", 1_000, strong, 60),
    ]
}

fn measure(case: &Case) -> Result<Vec<String>> {
    let cache_key = cache_key()?;
    let file = cache_key.path().display();
    let config = format!("[cache]\nkey_file = \"{file}\"");
    let mut stage = Stage::new(case.kind, if case.key_file { &config } else { "" })?;
    let requests = requests(&stage.keys(case.keys, case.strength)?);
    let steady = |length| Steady::new(PER_SECOND, length, any_of(requests.clone(), 0));

    let old = stage.gateway()?;
    warm_up(&mut stage.clients, target(&old, CONNECTIONS), &requests)?;
    let before = stage.clients.run(&[target(&old, CONNECTIONS)], || steady(BEFORE))?;
    let statuses_before = statuses(&before);
    ensure!(statuses_before.keys().eq([&200]), "known keys got {statuses_before:?}");
    end(old)?;

    let new = stage.gateway()?;
    let (start, started) = mpsc::channel();
    let (after, first_runs) = thread::scope(|scope| {
        let new = &new;
        let reader = scope.spawn(move || {
            let _ = started.recv();
            thread::sleep(FIRST);
            argon2_runs(new)
        });
        let begin = || {
            let _ = start.send(());
            steady(case.after)
        };
        let after = stage.clients.run(&[target(new, CONNECTIONS)], begin);
        drop(start);
        (after, reader.join())
    });
    let first_runs = first_runs.map_err(|_| anyhow!("the metrics could not be read"))?;
    Ok(row(case, &before, &after?, [first_runs, argon2_runs(&new)]))
}

/// As an operator would make it.
fn cache_key() -> Result<NamedTempFile> {
    let mut file = NamedTempFile::new()?;
    write!(file, "{}", bulk::unknown_secret().expose())?;
    Ok(file)
}

fn end(mut gateway: TestGateway) -> Result<()> {
    gateway.signal(Signal::TERM);
    ensure!(gateway.wait().success(), "the gateway did not end well");
    Ok(())
}

fn argon2_runs(gateway: &TestGateway) -> u64 {
    gateway.metrics().total("keygate_argon2_runs_total")
}

fn row(
    case: &Case,
    before: &[Outcome],
    after: &[Outcome],
    [first_runs, runs]: [u64; 2],
) -> Vec<String> {
    let (seconds, fared) = (by_second(after), Fared::of(after));
    let before = Fared::of(before);
    let first = &fared.seconds[0];
    let worse = |(second, times): &(&Vec<&Outcome>, &Times)| {
        times.percentile(99) > before.typical_p99() * 2
            || second.iter().any(|outcome| outcome.status != 200)
    };
    let worse = seconds.iter().zip(&fared.seconds).filter(worse).count();
    let key = if case.key_file { "yes" } else { "no" };
    vec![
        format!("{}, {}, {:?}, {key}", case.keys, case.hashes, case.kind),
        ms(before.all.percentile(50)),
        ms(before.typical_p99()),
        ms(first.percentile(50)),
        ms(first.percentile(99)),
        ms(first.max()),
        first_runs.to_string(),
        runs.to_string(),
        format!("{worse} of {}", seconds.len()),
        format!("{:?}", statuses(after)),
    ]
}
