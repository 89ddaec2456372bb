//! One process takes another's place, and nobody who calls can tell.

mod ports;
mod schema;
mod streams;
mod systemd;

use std::net::{SocketAddr, TcpListener};

use rustix::process::Signal;

use crate::support::installation::Installation;
use crate::support::load::{Load, get};
use crate::support::{MintedKey, Origin, TestGateway, TestStore};

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
