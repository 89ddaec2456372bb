use std::io::{Read as _, Write as _};
use std::net::{IpAddr, TcpStream};

use arc_swap::ArcSwap;
use http::{Request, Response};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::Notify;

use super::super::body::{ClientStream, Outgoing};
use super::super::connection::Connection;
use super::super::headers::Trace;
use super::super::meter::Meter;
use super::super::plan::Plan;
use super::super::serve::serve;
use super::accept::{Place, serve_connection};
use super::*;
use crate::auth::pool::Argon2Pool;
use crate::auth::sync::Sync;
use crate::config::{self, Environment, StoreLocation};
use crate::domain::{Clock, JournalId, Refusal};
use crate::key::hash::DigestKey;
use crate::spend::{Keeper, Now};
use crate::store;
use crate::usage::Sizes;

/// Told when the panic has happened.
static PANICKED: Notify = Notify::const_new();

/// A way that breaks down at `/panic`, and at `/waits` goes on only after that.
async fn touchy(
    _: &Worker,
    _: &Adopted,
    request: Request<ClientStream>,
    _: &Trace,
    _: &mut Meter,
) -> Result<Response<Outgoing>, Refusal> {
    match request.uri().path() {
        "/panic" => {
            PANICKED.notify_one();
            panic!("as the test asked");
        }
        "/waits" => PANICKED.notified().await,
        _ => {}
    }
    Ok(Response::new(Outgoing::full("fine".into())))
}

fn shared(directory: &std::path::Path) -> Arc<Shared> {
    let text = "[access_log]\nsample = 0.0\n";
    let loaded = config::parse(text, "keygate.toml".as_ref(), &Environment::default()).unwrap();
    let plan = Plan::new(Arc::new(loaded.config), 1).unwrap();
    let metrics = Metrics::new(1, "test");
    let location = StoreLocation::Sqlite(directory.join("keygate.db"));
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let store = runtime.block_on(store::open(&location)).unwrap();
    let (sync, _) = Sync::new(
        Arc::clone(&store),
        plan.policy.clone(),
        Clock::system(),
        10,
        Arc::clone(&metrics),
    );
    let now = || Now { wall_ms: 0, monotonic_ms: 0 };
    let (_, alone) = watch::channel(1);
    let (spender, _) =
        Keeper::new(store, JournalId::mint(), alone, now, Duration::ZERO, Arc::clone(&metrics));
    let pool = Argon2Pool::start(1, Arc::clone(&metrics)).unwrap();
    Arc::new(Shared {
        generation: AtomicU64::new(plan.generation),
        access_log: AccessLog::start(&plan.config.access_log, Arc::clone(&metrics)).unwrap(),
        plan: ArcSwap::from_pointee(plan),
        auth: Authenticator::new(sync, pool, DigestKey::random().unwrap()),
        limits: None,
        spender,
        desk: Desk::new().0,
        refusals: Refusals::of(1),
        journal: Journal::start(directory, 1, Sizes::of(1)).unwrap(),
        metrics,
        tls: ArcSwapOption::empty(),
        https_port: 443,
        connections_by_address: ConnectionCounts::default(),
        open_connections: AtomicUsize::new(0),
    })
}

/// Sends a request on a kept connection, without waiting for its answer.
fn send(stream: &mut TcpStream, path: &str) {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
}

/// Reads one answer, whose body ends as expected.
fn answer(stream: &mut TcpStream, end: &str) -> String {
    let mut answer = String::new();
    let mut byte = [0];
    while !answer.ends_with(end) {
        stream.read_exact(&mut byte).unwrap_or_else(|error| panic!("{error} behind {answer:?}"));
        answer.push(char::from(byte[0]));
    }
    answer
}

#[test]
fn a_panic_answers_500_is_counted_and_harms_no_other_request() {
    let directory = tempfile::tempdir().unwrap();
    let shared = shared(directory.path());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let listener = Listener { socket: listener, is_inherited: false };
    let (orders, order) = watch::channel(Order::Serve);
    let served = Arc::clone(&shared);
    let worker = std::thread::spawn(move || {
        let mut builder = Builder::new_current_thread();
        let runtime = builder.enable_all().build_local(LocalOptions::default()).unwrap();
        runtime
            .block_on(run_with(
                0,
                served,
                Listeners { serve: vec![listener], redirect: None },
                order,
                touchy,
            ))
            .unwrap();
    });

    let mut other = TcpStream::connect(address).unwrap();
    send(&mut other, "/waits");
    let mut unlucky = TcpStream::connect(address).unwrap();
    send(&mut unlucky, "/panic");
    let body = r#"{"error":{"code":"internal_error","message":"Internal error"}}"#;
    let head = answer(&mut unlucky, body);
    assert!(head.starts_with("HTTP/1.1 500 "), "{head}");
    assert!(head.contains("content-type: application/json\r\n"), "{head}");
    // The request beside it goes on, and so does the connection that it happened on.
    assert!(answer(&mut other, "fine").starts_with("HTTP/1.1 200 "));
    send(&mut unlucky, "/");
    assert!(answer(&mut unlucky, "fine").starts_with("HTTP/1.1 200 "));

    drop((other, unlucky));
    orders.send_replace(Order::Drain(Instant::now() + Duration::from_secs(10)));
    worker.join().unwrap();
    let metrics = shared.metrics.encode();
    assert!(metrics.contains("keygate_panics_total 1\n"), "{metrics}");
    assert!(metrics.contains("keygate_refusals_total{reason=\"internal_error\"} 1\n"), "{metrics}");
}

#[test]
fn a_connection_takes_little_more_room_than_the_request_on_it() {
    fn task<R>(_: impl FnOnce(Place, tokio::net::TcpStream, IpAddr) -> R) -> usize {
        size_of::<R>()
    }
    fn request<R>(_: impl FnOnce(Rc<Worker>, Rc<Connection>, Request<ClientStream>) -> R) -> usize {
        size_of::<R>()
    }
    let task = task(|place, stream, peer| serve_connection(place, stream, peer, false, handle));
    let request =
        request(|worker, connection, request| serve(worker, connection, None, request, handle));
    assert!(task <= request + 1024, "{task} and {request}");
}
