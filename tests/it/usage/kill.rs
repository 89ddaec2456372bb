//! Gateways killed under load, ten times at random moments, each followed by a start: what was answered
//! is on the books once, and nothing is that the upstream has not served.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rand::RngExt as _;
use rustix::process::Signal;

use super::{CONFIG, booked, until_all_is_booked};
use crate::support::origin::Received;
use crate::support::{MintedKey, Origin, TestGateway, TestStore, Wire, until};

const KILLS: usize = 10;
const CONNECTIONS: usize = 8;
/// Between a client's answer and its next request.
const PAUSE: Duration = Duration::from_micros(200);

/// Clients that name each request, and remember which were answered.
struct Named {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

struct Shared {
    address: SocketAddr,
    secret: String,
    round: usize,
    stop: AtomicBool,
    count: AtomicUsize,
    answered: Mutex<BTreeSet<String>>,
}

impl Named {
    fn start(address: SocketAddr, key: &MintedKey, round: usize) -> Self {
        let shared = Arc::new(Shared {
            address,
            secret: key.secret().to_owned(),
            round,
            stop: AtomicBool::new(false),
            count: AtomicUsize::new(0),
            answered: Mutex::default(),
        });
        let client = |client| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.send_on(client))
        };
        let clients = (0..CONNECTIONS).map(client).collect();
        Self { shared, clients }
    }

    fn wait_for(&self, answers: usize) {
        until("requests are answered", || self.shared.count.load(Ordering::SeqCst) >= answers);
    }

    fn wait_for_more(&self, more: usize) {
        self.wait_for(self.shared.count.load(Ordering::SeqCst) + more);
    }

    fn stop(self) -> BTreeSet<String> {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.clients.into_iter().for_each(|client| client.join().expect("no client panics"));
        std::mem::take(&mut *self.shared.answered.lock().expect("no client panics"))
    }
}

impl Shared {
    /// Until the gateway is gone. An answer counts from its head on.
    fn send_on(&self, client: usize) {
        let Ok(mut wire) = Wire::try_connect(self.address) else { return };
        for number in 0.. {
            let id = format!("r{}-{client}-{number}", self.round);
            let request = format!(
                "GET /a HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\nX-Request-Id: {id}\r\n\r\n",
                self.secret
            );
            if self.stop.load(Ordering::SeqCst) || wire.try_send(request).is_err() {
                return;
            }
            let Ok(Some(answer)) = wire.try_answer() else { return };
            assert_eq!(answer.status, 200);
            self.answered.lock().expect("no client panics").insert(id);
            self.count.fetch_add(1, Ordering::SeqCst);
            thread::park_timeout(PAUSE);
        }
    }
}

/// When a round is disturbed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    /// Requests are under way.
    Loaded,
    /// The next gateway has started.
    Started,
}

/// Kills gateways, each under load, and starts the next; `disturb` does more beside it.
fn kill_ten_times(store: TestStore, disturb: impl Fn(When, usize, &TestGateway)) {
    let origin = Origin::start();
    let mut gateway = TestGateway::with(store).config(CONFIG).upstream("api", &origin).start();
    let key = gateway.key("--name a");
    let mut answered = BTreeSet::new();
    for round in 0..KILLS {
        answered.insert(until_served(&gateway, &key, round));
        let load = Named::start(gateway.address(), &key, round);
        load.wait_for(rand::rng().random_range(20..1_000));
        disturb(When::Loaded, round, &gateway);
        load.wait_for_more(rand::rng().random_range(20..500));
        gateway.signal(Signal::KILL);
        answered.extend(load.stop());
        gateway.wait();
        let next = gateway.another();
        disturb(When::Started, round, &next);
        gateway = next;
    }
    until_all_is_booked(&gateway);
    gateway.signal(Signal::TERM);
    gateway.wait();
    assert!(super::journals(&gateway).is_empty(), "a gateway that ends leaves no journal");
    assert!(answered.len() > KILLS * 40);
    compare(&answered, &gateway, &origin);
}

/// Calls until the gateway, which may have started without its store, serves; the request's name.
fn until_served(gateway: &TestGateway, key: &MintedKey, round: usize) -> String {
    let mut served = None;
    let mut number = 0;
    until("the gateway serves", || {
        number += 1;
        let id = format!("first-{round}-{number}");
        let call = gateway.curl("/a").bearer(key).header(&format!("X-Request-Id: {id}"));
        served = (call.send().status == 200).then_some(id);
        served.is_some()
    });
    served.expect("it was just waited for")
}

/// Answered ⊆ booked, each once, ⊆ served.
fn compare(answered: &BTreeSet<String>, gateway: &TestGateway, origin: &Origin) {
    let booked = booked(gateway.store());
    let twice: Vec<_> = booked.iter().filter(|(_, times)| **times != 1).collect();
    assert!(twice.is_empty(), "booked more than once: {twice:?}");
    let booked: BTreeSet<String> = booked.into_keys().collect();
    let missing: Vec<_> = answered.difference(&booked).collect();
    assert!(missing.is_empty(), "{} answered and not booked: {missing:?}", missing.len());
    let id = |request: &Received| request.header("x-request-id").map(str::to_owned);
    let served: BTreeSet<String> = origin.received().iter().filter_map(id).collect();
    let invented: Vec<_> = booked.difference(&served).collect();
    assert!(invented.is_empty(), "booked and not served: {invented:?}");
    let counted =
        super::texts(gateway.store(), "SELECT CAST(sum(requests) AS TEXT) FROM usage_hours");
    assert_eq!(counted, [booked.len().to_string()]);
}

#[test]
fn what_was_answered_is_booked_once_however_often_gateways_are_killed() {
    kill_ten_times(TestStore::sqlite(), |_, _, _| {});
}

#[test]
fn the_same_with_postgres_restarted_under_it() {
    let Some(store) = TestStore::own_postgres() else { return };
    kill_ten_times(store, |when, round, gateway| {
        let server = gateway.store().server();
        match (round % 3, when) {
            (0, When::Loaded) => {
                server.stop();
                server.start();
            }
            // Away from before the kill until after the next start.
            (1, When::Loaded) => server.stop(),
            (1, When::Started) => server.start(),
            _ => {}
        }
    });
}
