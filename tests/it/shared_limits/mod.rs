//! Limits over several instances with Redis: one limit is one limit, and Redis away is survived as
//! written.

mod measure;
mod places;
mod steady;
mod without;

use std::thread;

use tokio::time::Instant;

use crate::support::load::get;
use crate::support::{Answer, MintedKey, Origin, Redis, TestGateway, TestStore, Wire, until};

const ROUTES: &str = r#"
[scopes]
"agents:read" = "Read agent information"
[[routes]]
path = "/read"
scopes = ["agents:read"]
upstream = "api"
[[routes]]
path = "/**"
upstream = "api"
[[routes]]
path = "/limited"
limits = ["10/min"]
upstream = "api"
"#;

/// Instances on one store and one Redis.
struct Instances(Vec<TestGateway>);

impl Instances {
    /// `None` where Postgres is not installed. They all reach Redis.
    fn start(count: usize, redis: &Redis, origin: &Origin) -> Option<Self> {
        let first = TestGateway::with(TestStore::postgres()?)
            .config(ROUTES)
            .config(&redis.setting())
            .upstream("api", origin)
            .start();
        let mut instances = vec![first];
        for _ in 1..count {
            instances.push(instances[0].another());
        }
        let instances = Self(instances);
        instances.wait_until_all_share();
        for gateway in &instances.0 {
            let known = || gateway.metrics().total("keygate_instances");
            until("each knows of the others", || known() == count as u64);
        }
        Some(instances)
    }

    /// A key that every instance knows.
    fn key(&self, flags: &str) -> MintedKey {
        let key = self.0[0].key(&format!("--name a {flags}"));
        for gateway in &self.0 {
            // Refused behind the credential and before the limits, it counts nowhere.
            until("the key is known", || gateway.curl("/read").bearer(&key).send().status == 403);
        }
        key
    }

    fn wait_until_all_share(&self) {
        self.wait_until_all_are("up");
    }

    fn wait_until_all_are(&self, state: &str) {
        for gateway in &self.0 {
            until(&format!("Redis is {state}"), || redis_is(gateway) == state);
        }
    }

    /// A metric's sum over all instances.
    fn total(&self, metric: &str) -> u64 {
        self.0.iter().map(|gateway| gateway.metrics().total(metric)).sum()
    }
}

/// An answer, with when it was asked for and when it came.
struct Timed {
    asked: Instant,
    came: Instant,
    answer: Answer,
}

/// Sends a request again and again on so many connections to each instance, each of them while
/// `more` says so of its instance and its turn.
fn crowd(
    instances: &Instances,
    connections: &[usize],
    key: &MintedKey,
    path: &str,
    more: impl Fn(usize, usize) -> bool + Sync,
) -> Vec<Timed> {
    let client = |instance: usize| {
        let mut wire = Wire::connect(instances.0[instance].address());
        let mut answers = Vec::new();
        while more(instance, answers.len()) {
            let asked = Instant::now();
            wire.send(get(path, key.secret()));
            let answer = wire.answer();
            answers.push(Timed { asked, came: Instant::now(), answer });
        }
        answers
    };
    thread::scope(|scope| {
        let client = &client;
        let clients = connections.iter().enumerate().flat_map(|(instance, connections)| {
            (0..*connections).map(move |_| scope.spawn(move || client(instance)))
        });
        let clients: Vec<_> = clients.collect();
        clients.into_iter().flat_map(|client| client.join().expect("no client panics")).collect()
    })
}

/// After one more request each time, an instance says that so many are left, and one less each time.
/// Where Redis is late, which a busy machine makes it, it may say more before, or refuse. Gives what is
/// left.
fn says_left(gateway: &TestGateway, key: &MintedKey, mut left: u64) -> u64 {
    until("the answer is Redis's", || {
        let answer = gateway.curl("/a").bearer(key).send();
        if answer.status == 429 {
            return false;
        }
        let said = answer.number("x-ratelimit-remaining");
        assert!(said >= left, "{said} are left of {left}");
        left -= 1;
        said == left + 1
    });
    left + 1
}

/// How many passed.
fn passed(answers: &[Timed]) -> usize {
    answers.iter().filter(|timed| timed.answer.status == 200).count()
}

/// What `/readyz` says of Redis.
fn redis_is(gateway: &TestGateway) -> String {
    let ready = gateway.admin("/readyz");
    assert_eq!(ready.status, 200, "Redis is nobody's readiness");
    ready.json()["redis"].as_str().expect("it says so").to_owned()
}
