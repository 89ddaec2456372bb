//! Bodies on their way: nothing is held back, in either direction.

use std::io::{BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};

use super::{OPEN, open};
use crate::support::message::{Framing, read_head, read_piece};
use crate::support::{Origin, PATIENCE, TestGateway, TestStore, Wire};

/// An origin that answers in pieces, each sent when the test says so; it ends when the test does.
fn told(pieces: Receiver<&'static str>, content_type: &'static str) -> Origin {
    let pieces = Mutex::new(pieces);
    Origin::scripted(move |call| {
        let pieces = pieces.lock().expect("no script panics");
        call.begin_answer(200, &[("content-type", content_type)])?;
        for piece in pieces.iter() {
            call.piece(piece.as_bytes())?;
        }
        call.end_answer()
    })
}

#[test]
fn each_piece_of_an_answer_arrives_before_the_next_is_sent() {
    for content_type in ["application/octet-stream", "text/event-stream"] {
        let (say, pieces) = channel();
        let origin = told(pieces, content_type);
        let gateway = open(&origin);
        let key = gateway.key("--name a");
        let mut wire = Wire::connect(gateway.address());
        wire.send(crate::support::load::get("/a", key.secret()));
        let (answer, mut framing) = wire.answer_head();
        assert_eq!(answer.status, 200);
        answer.says("content-type", content_type);
        for piece in ["data: one\n\n", "data: two\n\n", "data: three\n\n"] {
            say.send(piece).expect("the origin listens");
            let got = wire.piece(&mut framing).expect("a piece comes").expect("the body goes on");
            assert_eq!(String::from_utf8_lossy(&got), piece);
        }
        drop(say);
        assert_eq!(wire.piece(&mut framing).expect("the body ends well"), None);
    }
}

#[test]
fn each_piece_of_a_request_arrives_before_the_next_is_sent() {
    let origin = Origin::start();
    let gateway = open(&origin);
    let key = gateway.key("--name a");
    let mut wire = Wire::connect(gateway.address());
    wire.send(format!(
        "POST /a HTTP/1.1\r\nHost: a\r\nX-API-Key: {}\r\nTransfer-Encoding: chunked\r\n\r\n",
        key.secret()
    ));
    for length in 1..=3 {
        wire.send("5\r\nhello\r\n");
        let is_there = |body: &[u8]| body == "hello".repeat(length).as_bytes();
        origin.wait_for("the piece", |received| received.iter().any(|r| is_there(&r.body)));
    }
    wire.send("0\r\n\r\n");
    assert_eq!(wire.answer().status, 200);
}

#[test]
fn an_answer_that_breaks_off_upstream_breaks_off_for_the_client() {
    let origin = Origin::scripted(|call| {
        call.begin_answer(200, &[])?;
        call.piece(b"half")?;
        Err(std::io::ErrorKind::Other.into())
    });
    let gateway = open(&origin);
    let key = gateway.key("--name a");
    let mut wire = Wire::connect(gateway.address());
    wire.send(crate::support::load::get("/a", key.secret()));
    let bytes = String::from_utf8_lossy(&wire.rest()).into_owned();
    assert!(bytes.contains("half") && !bytes.ends_with("0\r\n\r\n"), "{bytes:?}");
}

#[test]
fn an_early_answer_reaches_a_client_that_is_still_sending() {
    let origin = Origin::scripted(|call| call.answer(409, &[], b"enough"));
    let gateway = open(&origin);
    let key = gateway.key("--name a");
    let mut wire = Wire::connect(gateway.address());
    wire.send(format!(
        "POST /a HTTP/1.1\r\nHost: a\r\nX-API-Key: {}\r\nContent-Length: 1000000\r\n\r\nbegun",
        key.secret()
    ));
    let answer = wire.answer();
    assert_eq!((answer.status, answer.text().as_str()), (409, "enough"));
}

#[test]
fn a_client_that_leaves_ends_its_request_upstream() {
    let (left, is_gone) = channel();
    let left = Mutex::new(left);
    let origin = Origin::scripted(move |call| {
        call.begin_answer(200, &[])?;
        loop {
            if let Err(error) = call.piece(&[b'x'; 16 * 1024]) {
                left.lock().expect("no script panics").send(()).expect("the test waits");
                return Err(error);
            }
        }
    });
    let gateway = open(&origin);
    let key = gateway.key("--name a");
    let mut wire = Wire::connect(gateway.address());
    wire.send(crate::support::load::get("/a", key.secret()));
    assert_eq!(wire.answer_head().0.status, 200);
    drop(wire);
    is_gone.recv_timeout(PATIENCE).expect("the upstream is told that the client has left");
}

/// MiB that are sent each way: a GiB.
const LONG: usize = 1_024;

/// A MiB of a body at its place, no two alike.
fn mib(number: usize) -> Vec<u8> {
    let word = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
    word.repeat(1024 * 1024 / word.len())
}

/// Compares a body with what it should be, however it comes.
#[derive(Default)]
struct Compared {
    length: usize,
    expected: Vec<u8>,
}

impl Compared {
    fn add(&mut self, mut piece: &[u8]) {
        while !piece.is_empty() {
            let at = self.length % (1024 * 1024);
            if at == 0 {
                self.expected = mib(self.length / (1024 * 1024));
            }
            let length = piece.len().min(self.expected.len() - at);
            assert!(piece[..length] == self.expected[at..at + length], "at {}", self.length);
            self.length += length;
            piece = &piece[length..];
        }
    }
}

#[test]
fn a_long_upload_and_download_need_no_memory() {
    let origin = LongOrigin::start();
    let config = format!(
        "[server]\nmax_body = \"2GiB\"\n[upstreams.api]\ntargets = [\"http://{}\"]",
        origin.address
    );
    let gateway = TestGateway::with(TestStore::sqlite()).config(OPEN).config(&config).start();
    let secret = gateway.key("--name a").secret().to_owned();
    let before = gateway.peak_memory_kib();
    let mut wire = Wire::connect(gateway.address());
    let head = |method: &str, fields: &str| {
        format!("{method} /a HTTP/1.1\r\nHost: a\r\nX-API-Key: {secret}\r\n{fields}\r\n")
    };
    wire.send(head("POST", &format!("Content-Length: {}\r\n", LONG << 20)));
    for number in 0..LONG {
        wire.send(mib(number));
    }
    assert_eq!(wire.answer().status, 200);
    wire.send(head("GET", ""));
    let (answer, mut framing) = wire.answer_head();
    assert_eq!(answer.status, 200);
    let mut compared = Compared::default();
    while let Some(piece) = wire.piece(&mut framing).expect("a piece comes") {
        compared.add(&piece);
    }
    assert_eq!(compared.length, LONG << 20);
    let more = gateway.peak_memory_kib() - before;
    assert!(more < 50 * 1024, "{more} KiB more");
    origin.served.join().expect("the upload was what was sent");
}

/// An upstream that compares one upload and then answers one download, and keeps nothing: the
/// scripted one remembers every byte.
struct LongOrigin {
    address: SocketAddr,
    served: JoinHandle<()>,
}

impl LongOrigin {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("a listener has an address");
        let serve = move || {
            let (stream, _) = listener.accept().expect("a connection comes");
            let mut reader = BufReader::with_capacity(256 * 1024, stream);
            read_head(&mut reader).expect("a request comes");
            let (mut compared, mut framing) =
                (Compared::default(), Framing::Length(LONG as u64 * (1 << 20)));
            while let Some(piece) = read_piece(&mut reader, &mut framing).expect("a piece comes") {
                compared.add(&piece);
            }
            let mut answer = |head: String| reader.get_mut().write_all(head.as_bytes());
            answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned()).expect("it is read");
            read_head(&mut reader).expect("a request comes");
            let mut answer = |bytes: &[u8]| reader.get_mut().write_all(bytes).expect("it is read");
            answer(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", LONG << 20).as_bytes());
            for number in 0..LONG {
                answer(&mib(number));
            }
        };
        Self { address, served: thread::spawn(serve) }
    }
}

#[test]
fn what_an_upstream_sends_faster_than_a_client_reads_waits_upstream() {
    let origin = Origin::scripted(|call| {
        call.begin_answer(200, &[])?;
        for _ in 0..4_096 {
            call.piece(&[b'x'; 16 * 1024])?;
        }
        call.end_answer()
    });
    let gateway = open(&origin);
    let key = gateway.key("--name a");
    let mut wire = Wire::connect(gateway.address());
    wire.send(crate::support::load::get("/a", key.secret()));
    let (_, mut framing) = wire.answer_head();
    let mut length = 0;
    while let Some(piece) = wire.piece(&mut framing).expect("a piece comes") {
        length += piece.len();
    }
    assert_eq!(length, 4_096 * 16 * 1024);
    assert!(gateway.peak_memory_kib() < 200 * 1024, "64 MiB were not held");
}
