//! Many requests at once, on connections that are kept.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::{Answer, PATIENCE, Wire};

/// Between an answer and the next request: clients that never rest keep every core, and starve the
/// servers that a test starts beside them.
const PAUSE: Duration = Duration::from_millis(1);

/// How many answers had which status; 0 stands for a connection that broke instead, and [`REFUSED`]
/// for one that nobody took.
pub(crate) type Tally = BTreeMap<u16, u64>;

/// Nobody listened; no answer has this status.
pub(crate) const REFUSED: u16 = 1;

/// A request with a key, as bytes.
pub(crate) fn get(path: &str, secret: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {secret}\r\n\r\n")
        .into_bytes()
}

/// Sends requests on so many connections, all beginning together, each one its share of `requests`
/// one after the other. `request` makes the bytes of the nth.
pub(crate) fn send_all(
    address: SocketAddr,
    connections: usize,
    requests: usize,
    request: impl Fn(usize) -> Vec<u8> + Sync,
) -> Vec<Answer> {
    let start = Barrier::new(connections);
    let answers = Mutex::new(Vec::with_capacity(requests));
    thread::scope(|scope| {
        for connection in 0..connections {
            let (start, answers, request) = (&start, &answers, &request);
            scope.spawn(move || {
                let mut wire = Wire::connect(address);
                start.wait();
                for number in (connection..requests).step_by(connections) {
                    wire.send(request(number));
                    let answer = wire.answer();
                    answers.lock().expect("no client panics").push(answer);
                }
            });
        }
    });
    answers.into_inner().expect("no client panics")
}

/// Counts answers by their status.
pub(crate) fn tally(answers: &[Answer]) -> Tally {
    let mut tally = Tally::new();
    for answer in answers {
        *tally.entry(answer.status).or_default() += 1;
    }
    tally
}

/// Requests that go on until they are told to stop.
pub(crate) struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    tally: Mutex<Tally>,
    answered: Condvar,
}

impl Shared {
    fn count(&self, status: u16) {
        *self.tally.lock().expect("no client panics").entry(status).or_default() += 1;
        self.answered.notify_all();
    }
}

impl Load {
    /// Sends each of the requests again and again, on a connection of its own.
    pub(crate) fn start(address: SocketAddr, requests: Vec<Vec<u8>>) -> Self {
        let shared = Arc::new(Shared::default());
        let client = |request: Vec<u8>| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || send_on(address, &request, &shared))
        };
        let clients = requests.into_iter().map(client).collect();
        Self { shared, clients }
    }

    /// Waits until so many more were answered.
    pub(crate) fn wait_for_more(&self, more: u64) {
        let tally = self.shared.tally.lock().expect("no client panics");
        let until = tally.values().sum::<u64>() + more;
        let waited = self
            .shared
            .answered
            .wait_timeout_while(tally, PATIENCE, |tally| tally.values().sum::<u64>() < until);
        assert!(!waited.expect("no client panics").1.timed_out(), "the load has come to a stop");
    }

    /// Stops, and says how it went.
    pub(crate) fn stop(self) -> Tally {
        self.shared.stop.store(true, Ordering::SeqCst);
        for client in self.clients {
            client.join().expect("no client panics");
        }
        self.shared.tally.lock().expect("no client panics").clone()
    }
}

/// As a client does that keeps its connections: where an answer says that it was a connection's
/// last, the next request goes on a fresh one. It ends where nobody listens.
fn send_on(address: SocketAddr, request: &[u8], shared: &Shared) {
    let mut kept = None;
    while !shared.stop.load(Ordering::SeqCst) {
        let Ok(mut wire) = kept.take().map_or_else(|| Wire::try_connect(address), Ok) else {
            return shared.count(REFUSED);
        };
        let answer = wire.try_send(request).and_then(|()| wire.try_answer()).ok().flatten();
        shared.count(answer.as_ref().map_or(0, |answer| answer.status));
        kept = answer.filter(keeps_its_connection).map(|_| wire);
        thread::park_timeout(PAUSE);
    }
}

fn keeps_its_connection(answer: &Answer) -> bool {
    answer.header("connection") != Some("close")
}
