//! One process takes another's place, and nobody who calls can tell.

use std::io::{self, Read as _};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixDatagram;
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};

use rstest::rstest;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::support::database::Kind::{self, Postgres, Sqlite};
use crate::support::installation::Installation;
use crate::support::load::{Load, get};
use crate::support::{MintedKey, Origin, PATIENCE, TestGateway, TestStore, Wire};

const CONFIG: &str = r#"
[limits]
per_key = ["100000000/min"]
[scopes]
"agents:read" = "Read agent information"
[[routes]]
path = "/**"
upstream = "api"
"#;
/// How many upgrades in a row.
const UPGRADES: usize = 5;

/// Clients that keep their connections, and clients that make one for each request.
fn start_load(address: SocketAddr, key: &MintedKey) -> Load {
    let kept = get("/a", key.secret());
    let line = "GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer";
    let fresh = format!("{line} {}\r\n\r\n", key.secret()).into_bytes();
    let load = Load::start(address, [vec![kept; 4], vec![fresh; 4]].concat());
    load.wait_for_more(200);
    load
}

/// Replaces the gateway again and again, while it is called all the time.
fn upgrade(mut gateway: TestGateway, successor: impl Fn(&TestGateway) -> TestGateway) {
    let key = gateway.key("--name a");
    let load = start_load(gateway.address(), &key);
    for _ in 0..UPGRADES {
        let next = successor(&gateway);
        load.wait_for_more(200);
        gateway.signal(Signal::TERM);
        assert_eq!(gateway.wait().code(), Some(0));
        load.wait_for_more(200);
        assert!(next.access_log().contains("\"status\":200"), "the next one has served");
        gateway = next;
    }
    let tally = load.stop();
    assert!(tally.keys().eq([&200]), "{tally:?}");
}

#[rstest]
fn on_the_same_ports_no_request_fails(#[values(Sqlite, Postgres)] kind: Kind) {
    let origin = Origin::start();
    let Some(store) = TestStore::of(kind) else { return };
    let gateway = TestGateway::with(store).config(CONFIG).upstream("api", &origin).start();
    upgrade(gateway, TestGateway::successor);
}

#[test]
fn on_a_socket_that_was_handed_over_no_request_fails() {
    let origin = Origin::start();
    let (socket, address) = listening();
    let (installation, store) = install(&origin, &format!("server.listen = [\"{address}\"]"));
    let gateway = TestGateway::handed(&socket, installation.into(), store.into());
    assert_eq!(gateway.address(), address);
    upgrade(gateway, |gateway| gateway.another_handed(&socket));
}

#[test]
fn an_admin_socket_that_was_handed_over_waits_for_the_next_process() {
    let origin = Origin::start();
    let (socket, address) = listening();
    let (installation, store) = install(&origin, &format!("admin.listen = \"{address}\""));
    let mut gateway = TestGateway::handed(&socket, installation.into(), store.into());
    assert_eq!(gateway.admin("/readyz").status, 200);
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.wait().code(), Some(0));
    let mut asked = Wire::connect(address);
    asked.send("GET /readyz HTTP/1.1\r\nHost: admin\r\n\r\n");
    let _next = gateway.another_handed(&socket);
    assert_eq!(asked.answer().status, 200);
}

#[test]
fn a_socket_that_no_setting_names_is_refused() {
    let origin = Origin::start();
    let (socket, address) = listening();
    let (installation, _store) = install(&origin, "");
    let mut process = installation.serve_handed(&socket);
    assert_eq!(process.wait().code(), Some(1));
    let said = process.err.text();
    assert!(said.contains(&format!("{address} was handed over")), "{said}");
}

#[test]
fn an_address_that_somebody_else_has_is_refused() {
    let origin = Origin::start();
    let (_somebody, address) = listening();
    for listen in
        [format!("server.listen = [\"{address}\"]"), format!("admin.listen = \"{address}\"")]
    {
        let (installation, _store) = install(&origin, &listen);
        let done = installation.try_run(&["serve"]);
        assert_eq!(done.code, 1);
        assert!(done.err.contains(&format!("cannot listen on {address}")), "{}", done.err);
    }
}

fn listening() -> (TcpListener, SocketAddr) {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = socket.local_addr().expect("a listener has an address");
    (socket, address)
}

fn install(origin: &Origin, listen: &str) -> (Installation, TestStore) {
    let setup = TestGateway::with(TestStore::sqlite()).config(CONFIG).upstream("api", origin);
    let (installation, store) = setup.install();
    installation.rewrite(listen);
    (installation, store)
}

/// A gateway with a request under way whose answer comes in pieces, each when the test says so.
struct Streaming {
    gateway: TestGateway,
    wire: Wire,
    say: Sender<&'static [u8]>,
    _origin: Origin,
}

impl Streaming {
    /// Asks with these fields, and has got as far as the answer's first line.
    fn begin(answer: &'static str, fields: &str, status: &str) -> Self {
        let (say, pieces) = channel::<&[u8]>();
        let pieces = Mutex::new(pieces);
        let origin = Origin::scripted(move |call| {
            call.write(answer.as_bytes())?;
            for piece in pieces.lock().expect("no script panics").iter() {
                call.write(piece)?;
            }
            // It has no other end.
            Err(io::ErrorKind::Other.into())
        });
        let gateway =
            TestGateway::with(TestStore::sqlite()).config(CONFIG).upstream("api", &origin).start();
        let key = gateway.key("--name a");
        let mut wire = Wire::connect(gateway.address());
        let head = "GET /a HTTP/1.1\r\nHost: a\r\nX-API-Key:";
        wire.send(format!("{head} {}\r\n{fields}\r\n", key.secret()));
        assert_eq!(wire.interim(), status);
        Self { gateway, wire, say, _origin: origin }
    }

    /// The upstream says it, and the client hears it.
    fn hears(&mut self, piece: &'static [u8]) {
        self.say.send(piece).expect("the origin listens");
        let mut heard = vec![0; piece.len()];
        self.wire.reader().read_exact(&mut heard).expect("it is heard");
        assert_eq!(heard, piece);
    }

    /// Goes on through an upgrade, in 35 octets.
    fn is_upgraded(&mut self) -> TestGateway {
        self.hears(b"before");
        let successor = self.gateway.successor();
        self.gateway.signal(Signal::TERM);
        self.gateway.wait_for_log("draining");
        self.hears(b"while it drains");
        assert_eq!(successor.curl("/a").send().status, 401, "the next one answers beside it");
        self.hears(b"and after that");
        successor
    }

    /// Ends with the upstream's answer.
    fn ends(self) {
        let Self { mut gateway, mut wire, say, _origin } = self;
        drop(say);
        assert_eq!(wire.rest(), b"");
        drop(wire);
        assert_eq!(gateway.wait().code(), Some(0));
    }
}

#[test]
fn a_stream_of_events_goes_on_in_the_old_process_until_it_ends() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 35\r\nContent-Type: text/event-stream\r\n\r\n";
    let mut streaming = Streaming::begin(answer, "Connection: close\r\n", "HTTP/1.1 200 OK");
    streaming.is_upgraded();
    streaming.ends();
}

#[test]
fn a_websocket_goes_on_in_the_old_process_until_it_ends() {
    let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
        Upgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    let asks = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let mut streaming = Streaming::begin(answer, asks, "HTTP/1.1 101 Switching Protocols");
    streaming.is_upgraded();
    streaming.ends();
}

#[test]
fn who_asks_for_health_while_a_successor_is_there_hears_of_that_one() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 35\r\n\r\n";
    let mut streaming = Streaming::begin(answer, "Connection: close\r\n", "HTTP/1.1 200 OK");
    let successor = streaming.is_upgraded();
    successor.wait_for_log("another process listens there too");
    for _ in 0..20 {
        let answer = successor.admin("/readyz");
        assert!(answer.status == 200 && answer.text().contains("\"draining\":false"), "{answer:?}");
    }
    streaming.ends();
}

#[test]
fn the_service_manager_is_told_what_it_waits_for() {
    let origin = Origin::start();
    let folder = TempDir::new().expect("a directory can be made");
    let socket = folder.path().join("notify");
    let manager = UnixDatagram::bind(&socket).expect("a socket can be made");
    manager.set_read_timeout(Some(PATIENCE)).expect("a socket has timeouts");
    let hears = || {
        let mut message = [0; 256];
        let length = manager.recv(&mut message).expect("the gateway speaks");
        String::from_utf8_lossy(&message[..length]).into_owned()
    };
    let mut gateway = TestGateway::with(TestStore::sqlite())
        .config(CONFIG)
        .upstream("api", &origin)
        .variable("NOTIFY_SOCKET", socket.to_str().expect("the path is text"))
        .start();
    assert_eq!(hears(), "READY=1\n");
    gateway.signal(Signal::HUP);
    let reloading = hears();
    let time = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect("it reloads");
    assert!(time.trim_end().parse::<u64>().is_ok_and(|time| time > 0), "{reloading}");
    assert_eq!(hears(), "READY=1\n");
    gateway.signal(Signal::TERM);
    assert_eq!(hears(), "STOPPING=1\n");
    assert_eq!(gateway.wait().code(), Some(0));
}
