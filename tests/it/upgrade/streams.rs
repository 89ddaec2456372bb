//! What is under way when a process is replaced is finished by that process.

use std::io::{self, Read as _};
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};

use rustix::process::Signal;

use super::CONFIG;
use crate::support::{Origin, TestGateway, TestStore, Wire};

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
