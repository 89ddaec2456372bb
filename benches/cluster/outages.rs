//! Postgres and Redis stopped for a minute each, in every order, under load on three instances: what
//! good and revoked keys are answered, and how long after its return each is in use again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use rand::RngExt as _;

use crate::stage::load::{Clients, Target};
use crate::stage::outcome::Outcome;
use crate::stage::plans::{Steady, random, requests, statuses};
use crate::stage::report::{Table, Times, ms, say};
use crate::stage::site::{self, Library};
use crate::support::{MintedKey, Redis, TestGateway, bulk, until};

const INSTANCES: usize = 3;
const KEYS: usize = 20;
/// The places of those that are revoked before anything is stopped.
const REVOKED: std::ops::Range<usize> = 0..5;
const PER_SECOND: u32 = 1_000;
/// `P` and `R`: Postgres and Redis stop; `p` and `r`: they are back.
const ORDERS: [&str; 6] = ["PpRr", "PRpr", "PRrp", "RrPp", "RPrp", "RPpr"];
/// Longer than all of it takes.
const FOR_EVER: Duration = Duration::from_hours(1);

/// Measures and prints.
pub fn run(quick: bool) -> Result<()> {
    let away = Duration::from_secs(if quick { 2 } else { 60 });
    let mut clients = Clients::new(false)?;
    let mut scene = Scene::start(&clients)?;
    scene.make_known()?;
    say(&format!(
        "\noutages: {INSTANCES} instances at {PER_SECOND} requests/s in all, Postgres (P) and Redis \
         (R) stopped and back (p, r), each away for {} s at least\n",
        away.as_secs()
    ));
    let columns =
        ["order", "good keys", "revoked keys", "p50 ms", "p99 ms", "max ms", "in use again, ms"];
    let mut table = Table::new(columns);
    for order in ORDERS {
        let (outcomes, healed) = scene.play(&mut clients, order, away)?;
        let healed: Vec<String> = healed.into_iter().map(ms).collect();
        let revoked = |outcome: &&Outcome| REVOKED.contains(&outcome.tag);
        let (revoked, good): (Vec<_>, Vec<_>) = outcomes.iter().partition(revoked);
        let times: Times = good.iter().map(|outcome| outcome.took()).collect();
        let (good, revoked) = (statuses(good), statuses(revoked));
        let [p50, p99, max, _] = times.cells();
        let answers = [format!("{good:?}"), format!("{revoked:?}")];
        table.row([order.to_owned()].into_iter().chain(answers).chain([
            p50,
            p99,
            max,
            healed.join(", "),
        ]));
        ensure!(good.keys().eq([&200]), "good keys got {good:?}");
        ensure!(revoked.keys().eq([&401]), "revoked keys got {revoked:?}");
    }
    say(&table.to_string());
    Ok(())
}

struct Scene {
    redis: Redis,
    instances: Vec<TestGateway>,
    keys: Vec<MintedKey>,
    /// Of each order one that nobody has used yet.
    unseen: Vec<MintedKey>,
}

impl Scene {
    fn start(clients: &Clients) -> Result<Self> {
        let redis = Redis::start().context("Debian's redis-server is needed")?;
        let setup = site::setup(site::postgres()?, clients.upstream()?).config(&redis.setting());
        let mut instances = vec![setup.start()];
        while instances.len() < INSTANCES {
            let another = instances[0].another();
            instances.push(another);
        }
        let keys = bulk::insert(instances[0].store(), KEYS, |_, _| {});
        let unseen = bulk::insert(instances[0].store(), ORDERS.len(), |_, _| {});
        Ok(Self { redis, instances, keys, unseen })
    }

    /// Every instance knows every key, and that some are revoked.
    fn make_known(&self) -> Result<()> {
        // The upstream answers only while the load runs; what is not let in never comes to it.
        let library = Library::open(self.instances[0].store())?;
        for place in REVOKED {
            library.revoke(&site::id(&self.keys[place]))?;
        }
        for key in &self.keys[REVOKED] {
            self.everywhere("the key is refused", |it| status(it, key) == 401);
        }
        Ok(())
    }

    /// Plays an order under load; what was answered, and how long after its return each was in use by
    /// every instance.
    fn play(
        &mut self,
        clients: &mut Clients,
        order: &str,
        away: Duration,
    ) -> Result<(Vec<Outcome>, Vec<Duration>)> {
        let unseen = self.unseen.pop().context("there is one for each order")?;
        let connections = 8;
        let target = |it: &TestGateway| Target { address: it.address(), connections };
        let targets: Vec<Target> = self.instances.iter().map(target).collect();
        let (requests, over) = (requests(&self.keys), AtomicBool::new(false));
        let mut random = random();
        let choose = || {
            let place = random.random_range(0..requests.len());
            (random.random_range(0..INSTANCES), place, requests[place].clone())
        };
        thread::scope(|scope| {
            let conductor = scope.spawn(|| {
                let healed = self.conduct(order, away, &unseen);
                over.store(true, Ordering::SeqCst);
                healed
            });
            let plan = || Steady::new(PER_SECOND, FOR_EVER, choose).until(&over);
            let outcomes = clients.run(&targets, plan)?;
            let healed = conductor.join().map_err(|_| anyhow!("the harness has failed"))?;
            Ok((outcomes, healed))
        })
    }

    fn conduct(&self, order: &str, away: Duration, unseen: &MintedKey) -> Vec<Duration> {
        let server = self.instances[0].store().server();
        // Every key has been used everywhere by then.
        thread::sleep(Duration::from_secs(2));
        let mut healed = Vec::new();
        for event in order.chars() {
            let back = match event {
                'P' => {
                    server.stop();
                    continue;
                }
                'R' => {
                    self.redis.kill();
                    continue;
                }
                'p' => {
                    thread::sleep(away);
                    server.start();
                    let back = Instant::now();
                    self.everywhere("a new key is let in", |it| status(it, unseen) == 200);
                    back
                }
                _ => {
                    thread::sleep(away);
                    self.redis.run();
                    let back = Instant::now();
                    let is_up = |it: &TestGateway| it.metrics().total("keygate_redis_up") == 1;
                    self.everywhere("limits are shared", is_up);
                    back
                }
            };
            healed.push(back.elapsed());
        }
        healed
    }

    fn everywhere(&self, what: &str, is_so: impl Fn(&TestGateway) -> bool) {
        for instance in &self.instances {
            until(what, || is_so(instance));
        }
    }
}

fn status(gateway: &TestGateway, key: &MintedKey) -> u16 {
    gateway.curl(site::PATH).bearer(key).send().status
}
