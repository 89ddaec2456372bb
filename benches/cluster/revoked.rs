//! A hundred keys under load on three instances, revoked one by one, their change feeds cut at
//! random: which requests that began after a revocation's commit still pass.
//!
//! Half of the requests bring the key whose turn it is, the others any key, revoked ones too: so
//! the time in question is looked at closely, and none comes back later.

use std::rc::Rc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use rand::RngExt as _;
use rand::seq::SliceRandom as _;

use crate::stage::load::{Clients, Target};
use crate::stage::outcome::Outcome;
use crate::stage::plans::{Requests, Steady, random, requests, statuses, warm_up};
use crate::stage::report::{Table, Times, ms, say};
use crate::stage::site::{self, ByHand, Library};
use crate::support::{MintedKey, TestGateway, TestStore, bulk};

const INSTANCES: usize = 3;
const KEYS: usize = 100;
const PER_SECOND: u32 = 3_000;
const CONNECTIONS: usize = 128;
/// Between two revocations.
const REVOKE: std::ops::Range<u64> = 100..200;
/// Between two cuts.
const CUT: std::ops::Range<u64> = 20..200;
/// What the contract allows.
const ALLOWED: Duration = Duration::from_millis(100);
/// Cuts the connection of one instance that listens for changes; none may be there just then.
const CUT_ONE: &str = "SELECT pid FROM (SELECT pid FROM pg_stat_activity \
    WHERE application_name = 'keygate feed' AND datname = current_database() \
    ORDER BY random() LIMIT 1) AS one WHERE pg_terminate_backend(pid)";

/// Measures and prints.
pub fn run(quick: bool) -> Result<()> {
    let count = if quick { 10 } else { KEYS };
    let mut clients = Clients::new(false)?;
    let instances = site::instances(INSTANCES, site::postgres()?, clients.upstream()?);
    let keys = bulk::insert(instances[0].store(), count, |_, _| {});
    let requests = requests(&keys);
    let targets = targets(&instances);
    for target in &targets {
        warm_up(&mut clients, *target, &requests)?;
    }
    let scene = Scene::new(&keys);
    let store = instances[0].store();
    let (outcomes, cuts) = thread::scope(|scope| {
        let revoker = scope.spawn(|| scene.while_it_goes_on(|| scene.revoke_all(store)));
        let cutter = scope.spawn(|| scene.while_it_goes_on(|| scene.cut(store)));
        let outcomes = load(&mut clients, &targets, &scene, &requests);
        scene.over.store(true, Ordering::SeqCst);
        let harness = |_| anyhow!("the harness has failed");
        revoker.join().map_err(harness)??;
        Ok::<_, anyhow::Error>((outcomes?, cutter.join().map_err(harness)??))
    })?;
    let revoked = scene.revoked.into_inner().map_err(|_| anyhow!("the harness has failed"))?;
    report(&outcomes, &revoked, cuts)
}

fn targets(instances: &[TestGateway]) -> Vec<Target> {
    let target =
        |instance: &TestGateway| Target { address: instance.address(), connections: CONNECTIONS };
    instances.iter().map(target).collect()
}

/// A revocation.
#[derive(Clone, Copy)]
struct Revoked {
    begun: Instant,
    committed: Instant,
}

/// What the three who work on it share.
struct Scene<'a> {
    keys: &'a [MintedKey],
    /// The places of the keys in the order of their revocation.
    order: Vec<usize>,
    /// The key whose turn it is.
    turn: AtomicUsize,
    /// By key, when its revocation was begun and when it had been committed.
    revoked: Mutex<Vec<Option<Revoked>>>,
    over: AtomicBool,
}

impl<'a> Scene<'a> {
    fn new(keys: &'a [MintedKey]) -> Self {
        let mut order: Vec<usize> = (0..keys.len()).collect();
        order.shuffle(&mut random());
        Self {
            keys,
            turn: AtomicUsize::new(order[0]),
            order,
            revoked: Mutex::new(vec![None; keys.len()]),
            over: AtomicBool::new(false),
        }
    }

    /// Ends the load with what fails, so that nobody waits for it in vain.
    fn while_it_goes_on<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        work().inspect_err(|_| self.over.store(true, Ordering::SeqCst))
    }

    fn revoke_all(&self, store: &TestStore) -> Result<()> {
        let library = Library::open(store)?;
        let mut random = random();
        for place in &self.order {
            self.turn.store(*place, Ordering::SeqCst);
            thread::sleep(Duration::from_millis(random.random_range(REVOKE)));
            let begun = Instant::now();
            library.revoke(&site::id(&self.keys[*place]))?;
            let done = Revoked { begun, committed: Instant::now() };
            let mut revoked = self.revoked.lock().map_err(|_| anyhow!("the harness has failed"))?;
            revoked[*place] = Some(done);
            drop(revoked);
            // Its requests go on for longer than it is allowed to pass.
            thread::sleep(ALLOWED);
        }
        thread::sleep(Duration::from_secs(1));
        self.over.store(true, Ordering::SeqCst);
        Ok(())
    }

    /// Cuts one feed after the other; how many.
    fn cut(&self, store: &TestStore) -> Result<usize> {
        let mut server = ByHand::connect(store)?;
        let (mut random, mut cuts) = (random(), 0);
        while !self.over.load(Ordering::SeqCst) {
            cuts += server.numbers(CUT_ONE)?.len();
            thread::sleep(Duration::from_millis(random.random_range(CUT)));
        }
        Ok(cuts)
    }
}

fn load(
    clients: &mut Clients,
    targets: &[Target],
    scene: &Scene<'_>,
    requests: &Requests,
) -> Result<Vec<Outcome>> {
    let (mut random, mut number) = (random(), 0);
    let choose = || {
        number += 1;
        let any = random.random_range(0..requests.len());
        let turn = scene.turn.load(Ordering::SeqCst);
        let place = if (number / targets.len()).is_multiple_of(2) { turn } else { any };
        (number % targets.len(), place, Rc::clone(&requests[place]))
    };
    let steady = || Steady::new(PER_SECOND, Duration::from_hours(1), choose).until(&scene.over);
    clients.run(targets, steady)
}

fn report(outcomes: &[Outcome], revoked: &[Option<Revoked>], cuts: usize) -> Result<()> {
    let after = |outcome: &Outcome| {
        Some(outcome.sent.saturating_duration_since(revoked[outcome.tag]?.committed))
    };
    let passed = |outcome: &&Outcome| outcome.status == 200;
    let late: Vec<_> = outcomes.iter().filter(passed).filter_map(after).collect();
    let worst = late.iter().max().copied().unwrap_or_default();
    let beyond = late.iter().filter(|time| **time > ALLOWED).count();
    let in_time = |outcome: &&Outcome| {
        revoked[outcome.tag].is_none_or(|revoked| outcome.done < revoked.begun)
    };
    let refused = outcomes.iter().filter(in_time).filter(|outcome| outcome.status == 401).count();
    let times: Times = outcomes.iter().map(Outcome::took).collect();

    say(&format!(
        "\nrevoked: {} keys on {INSTANCES} instances at {PER_SECOND} requests/s, revoked one by \
         one in random order while the feeds' connections to Postgres are cut\n",
        revoked.len(),
    ));
    let mut table = Table::new(["", ""]);
    table.row(["requests".to_owned(), outcomes.len().to_string()]);
    table.row(["answers by status".to_owned(), format!("{:?}", statuses(outcomes))]);
    table.row(["connections of feeds cut".to_owned(), cuts.to_string()]);
    table.row([format!("begun > {ALLOWED:?} after the commit, let in"), beyond.to_string()]);
    table.row(["last one let in, ms after the commit".to_owned(), ms(worst)]);
    table.row(["refused before its revocation".to_owned(), refused.to_string()]);
    let [p50, p99, max, _] = times.cells();
    table
        .row(["an answer's time, p50 / p99 / max ms".to_owned(), format!("{p50} / {p99} / {max}")]);
    say(&table.to_string());
    ensure!(beyond == 0, "{beyond} requests of revoked keys were let in");
    ensure!(refused == 0, "{refused} requests of good keys were refused");
    Ok(())
}
