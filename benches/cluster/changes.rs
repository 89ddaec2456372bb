//! Three instances, keys made, changed and revoked: time from the commit until all answer rightly.
//!
//! All three are asked twice a millisecond on connections of their own, from before the change
//! until each answers as it must. Without any pause the clients would keep every core busy, and
//! what is measured would be how long Postgres waits for one.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use jiff::Timestamp;
use keygate::domain::{Act, Key, Secret};
use keygate::key::SecretText;
use keygate::key::hash::Argon2Strength;

use crate::stage::report::{Table, Times, say};
use crate::stage::site::{self, Library, PATH, SCOPE};
use crate::support::load::get;
use crate::support::{Origin, TestGateway, Wire, bulk};

const INSTANCES: usize = 3;
const ROUNDS: usize = 50;
/// Between an answer and the next question.
const PAUSE: Duration = Duration::from_micros(500);
/// A change that is not in force by then never will be.
const PATIENCE: Duration = Duration::from_secs(10);

/// Measures and prints.
pub fn run(quick: bool) -> Result<()> {
    let rounds = if quick { 5 } else { ROUNDS };
    let origin = Origin::start();
    let instances = site::instances(INSTANCES, site::postgres()?, origin.address());
    let library = Library::open(instances[0].store())?;
    let mut times = [(); 4].map(|()| Vec::new());
    for round in 0..rounds {
        let [created, strong, scopes, revoked] = &mut times;
        let key = bulk::make(round, bulk::WEAK, &|_, _| {});
        created.push(create(&instances, &library, &key)?);
        let key_id = &key.0.id;
        let request = get(PATH, key.2.expose());
        let no_scope = || library.set_scopes(key_id, &[]);
        scopes.push(until_all_answer(&instances, &request, [200, 403], no_scope)?);
        let revoke = || library.revoke(key_id);
        revoked.push(until_all_answer(&instances, &request, [403, 401], revoke)?);
        let key = bulk::make(round, Argon2Strength::default(), &|_, _| {});
        strong.push(create(&instances, &library, &key)?);
    }
    report(rounds, times);
    Ok(())
}

fn create(
    instances: &[TestGateway],
    library: &Library,
    (key, secret, text): &(Key, Secret, SecretText),
) -> Result<Duration> {
    ensure!(key.scopes == [SCOPE], "the harness mints keys with the route's scope");
    let write = || {
        library.run(async |store| {
            store.create_key(&Act::own(Timestamp::UNIX_EPOCH), key, secret).await
        })
    };
    until_all_answer(instances, &get(PATH, text.expose()), [401, 200], write)
}

/// From the return of `change` until the last instance's answers have gone from the one status to
/// the other.
fn until_all_answer(
    instances: &[TestGateway],
    request: &[u8],
    [before, after]: [u16; 2],
    change: impl FnOnce() -> Result<()>,
) -> Result<Duration> {
    let asked = Barrier::new(instances.len() + 1);
    let ask = |instance: &TestGateway| -> Result<Instant> {
        let mut wire = Wire::connect(instance.address());
        let mut status = || {
            wire.send(request);
            wire.answer().status
        };
        let first = status();
        asked.wait();
        ensure!(first == before, "{first} before the change, not {before}");
        let end = Instant::now() + PATIENCE;
        loop {
            match status() {
                status if status == after => return Ok(Instant::now()),
                status if status != before => return Err(anyhow!("{status} in between")),
                _ => ensure!(Instant::now() < end, "still {before} after {PATIENCE:?}"),
            }
            thread::sleep(PAUSE);
        }
    };
    thread::scope(|scope| {
        let askers: Vec<_> =
            instances.iter().map(|instance| scope.spawn(move || ask(instance))).collect();
        asked.wait();
        change()?;
        let committed = Instant::now();
        let mut last = Duration::ZERO;
        for asker in askers {
            let answered = asker.join().map_err(|_| anyhow!("an instance went silent"))??;
            last = last.max(answered.saturating_duration_since(committed));
        }
        Ok(last)
    })
}

fn report(rounds: usize, times: [Vec<Duration>; 4]) {
    say(&format!(
        "\nchanges: {INSTANCES} instances on one Postgres, {rounds} rounds; from a change's commit \
         until all of them, asked twice a millisecond, answer rightly\n"
    ));
    let mut table = Table::new(["change", "p50 ms", "p99 ms", "max ms", "count"]);
    let names = [
        "create (weak hash)",
        "create (Argon2 at its default strength)",
        "change scopes",
        "revoke",
    ];
    let all: Times = times.iter().flatten().copied().collect();
    for (name, times) in names.into_iter().zip(times) {
        let times: Times = times.into_iter().collect();
        table.row([name.to_owned()].into_iter().chain(times.cells()));
    }
    table.row(["all".to_owned()].into_iter().chain(all.cells()));
    say(&table.to_string());
}
