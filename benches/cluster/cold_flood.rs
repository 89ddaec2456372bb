//! Known keys at a steady rate while 2,000 others are used for the first time, all at once.
//!
//! Known keys have weak hashes, the others Argon2 at its default strength. Each round has a fresh
//! gateway, measures the known keys alone and then in the flood. Who is told to come again does so
//! when told. On a SQLite file, so that nobody else is on the two cores: see [`crate::pinned`].

use std::cmp::Reverse;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use keygate::key::hash::Argon2Strength;

use crate::stage::outcome::{Fared, Outcome};
use crate::stage::pinned::{Stage, target};
use crate::stage::plans::{
    During, Insistent, Requests, Steady, any_of, requests, statuses, warm_up,
};
use crate::stage::report::{Table, Times, median, ms, say};
use crate::support::{Kind, bulk};

const KNOWN: usize = 64;
const COLD: usize = 2_000;
const ROUNDS: usize = 3;
const PER_SECOND: u32 = 2_000;
const CONNECTIONS: usize = 64;
/// How long known keys are alone.
const ALONE: Duration = Duration::from_secs(10);
/// All must be let in by then; that is when a flood is over.
const PATIENCE: Duration = Duration::from_mins(3);
const FOR_EVER: Duration = Duration::from_hours(1);

/// Measures and prints.
pub fn run(quick: bool) -> Result<()> {
    let (cold, rounds) = if quick { (400, 2) } else { (COLD, ROUNDS) };
    let mut stage = Stage::new(Kind::Sqlite, "")?;
    let known = requests(&stage.keys(KNOWN, bulk::WEAK)?);
    let cold = requests(&stage.keys(cold, Argon2Strength::default())?);
    let mut done = Vec::new();
    for _ in 0..rounds {
        done.push(Round::measure(&mut stage, &known, &cold)?);
    }
    report_known(&done, cold.len());
    report_cold(&done)
}

struct Round {
    alone: Fared,
    flooded: Fared,
    /// What became of the first uses, and when the flood began.
    cold: Vec<Outcome>,
    begun: Instant,
    runs: u64,
}

impl Round {
    fn measure(stage: &mut Stage, known: &Requests, cold: &Requests) -> Result<Self> {
        let gateway = stage.gateway()?;
        let (few, many) = (target(&gateway, CONNECTIONS), target(&gateway, cold.len()));
        warm_up(&mut stage.clients, few, known)?;
        let steady = |length| Steady::new(PER_SECOND, length, any_of(known.clone(), 0));

        let alone = stage.clients.run(&[few], || steady(ALONE))?;
        let before = gateway.metrics().total("keygate_argon2_runs_total");
        let flood = || {
            let flood = Insistent::new(cold.clone(), 1, known.len(), PATIENCE);
            During { plan: steady(FOR_EVER), flood }
        };
        let all = stage.clients.run(&[few, many], flood)?;
        let runs = gateway.metrics().total("keygate_argon2_runs_total") - before;

        let (flooded, cold): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|outcome| outcome.target == 0);
        for outcomes in [&alone, &flooded] {
            let statuses = statuses(outcomes);
            ensure!(statuses.keys().eq([&200]), "known keys were answered with {statuses:?}");
        }
        let let_in = cold.iter().filter(|outcome| outcome.status == 200).count();
        ensure!(let_in == many.connections, "only {let_in} were let in within {PATIENCE:?}");
        let begun = cold.iter().map(|outcome| outcome.due).min().unwrap_or_else(Instant::now);
        Ok(Self { alone: Fared::of(&alone), flooded: Fared::of(&flooded), cold, begun, runs })
    }
}

fn report_known(rounds: &[Round], cold: usize) {
    say(&format!(
        "\ncold_flood: {KNOWN} known keys at {PER_SECOND} requests/s while {cold} others are first \
         used at once, Argon2 at its default strength; medians over {} rounds\n",
        rounds.len()
    ));
    let columns = ["known keys", "p50 ms", "p99 ms", "max ms", "a second's p99 ms", "count"];
    let mut table = Table::new(columns);
    let middle = |figure: &dyn Fn(&Round) -> Duration| {
        median(rounds.iter().map(|round| figure(round).as_secs_f64()))
    };
    let in_ms = |figure: &dyn Fn(&Round) -> Duration| ms(Duration::from_secs_f64(middle(figure)));
    let mut row = |name: &str, pick: fn(&Round) -> &Fared| {
        let all = |percent| in_ms(&|round| pick(round).all.percentile(percent));
        let count = rounds.iter().map(|round| pick(round).all.count()).sum::<usize>();
        let second = in_ms(&|round| pick(round).typical_p99());
        table.row([name.to_owned(), all(50), all(99), all(100), second, count.to_string()]);
    };
    row("alone", |round| &round.alone);
    row("in the flood", |round| &round.flooded);
    let first = |percent| in_ms(&|round| round.flooded.seconds[0].percentile(percent));
    let count = rounds.iter().map(|round| round.flooded.seconds[0].count()).sum::<usize>();
    let [p50, p99, max] = [first(50), first(99), first(100)];
    table.row(["in its first second".to_owned(), p50, p99, max, String::new(), count.to_string()]);
    say(&table.to_string());
    say(&format!("p99 in the flood / alone: {}", ratios(rounds, |it| it.all.percentile(99))));
    say(&format!("a second's p99 in the flood / alone: {}", ratios(rounds, Fared::typical_p99)));
}

/// In the flood to alone, within each round.
fn ratios(rounds: &[Round], figure: impl Fn(&Fared) -> Duration) -> String {
    let ratio = |round: &Round| figure(&round.flooded).div_duration_f64(figure(&round.alone));
    let all: Vec<f64> = rounds.iter().map(ratio).collect();
    let each: Vec<_> = all.iter().map(|ratio| format!("{ratio:.2}")).collect();
    format!("{:.2} (rounds: {})", median(all), each.join(", "))
}

fn report_cold(rounds: &[Round]) -> Result<()> {
    let mut table = Table::new(["first uses", "p50 ms", "p99 ms", "max ms", "count"]);
    let mut row = |name: &str, times: Times| {
        table.row([name.to_owned()].into_iter().chain(times.cells()));
    };
    let all = || rounds.iter().flat_map(|round| &round.cold);
    let told = |status| all().filter(move |outcome| outcome.status == status);
    row("200, from the attempt that was let in", told(200).map(Outcome::took).collect());
    row("503, until told to come again", told(503).map(Outcome::took).collect());
    let since = |round: &Round| {
        let let_in = round.cold.iter().filter(|outcome| outcome.status == 200);
        let_in.map(|outcome| outcome.done - round.begun).collect::<Vec<_>>()
    };
    row("200, from the flood's beginning", rounds.iter().flat_map(since).collect());
    say(&format!("\n{table}"));
    say(&format!("answers to first uses: {:?}", statuses(all())));
    let runs = rounds.iter().map(|round| round.runs).sum::<u64>();
    say(&format!("Argon2 runs: {runs} for {} keys let in", told(200).count()));
    let lead = rounds.iter().map(overtaken).max().unwrap_or_default();
    say(&format!("the most by which one was overtaken by a later one: {} ms", ms(lead)));
    let silent = told(503).filter(|outcome| outcome.retry_after.is_none()).count();
    ensure!(silent == 0, "{silent} of the 503 have no Retry-After");
    let statuses = statuses(all());
    ensure!(statuses.keys().all(|it| [200, 503].contains(it)), "first uses got {statuses:?}");
    Ok(())
}

/// The most by which an attempt that was let in had been sent after one that had to wait longer.
/// What comes within one turn of the worker's loop has no order.
fn overtaken(round: &Round) -> Duration {
    let mut let_in: Vec<_> = round.cold.iter().filter(|outcome| outcome.status == 200).collect();
    let_in.sort_by_key(|outcome| Reverse(outcome.done));
    let mut earliest = Instant::now();
    let mut most = Duration::ZERO;
    for outcome in let_in {
        most = most.max(outcome.sent.saturating_duration_since(earliest));
        earliest = earliest.min(outcome.sent);
    }
    most
}
