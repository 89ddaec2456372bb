//! WebSockets by a client and a server that know nothing of the gateway, and what is none.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};

use rustix::process::Signal;
use tungstenite::handshake::client::{Request, Response};
use tungstenite::handshake::server;
use tungstenite::http::HeaderValue;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::frame::{CloseFrame, Frame, coding::Data, coding::OpCode};
use tungstenite::{Message, WebSocket};

use super::{OPEN, open};
use crate::support::{MintedKey, Origin, PATIENCE, TestGateway, TestStore, Wire};

type Socket = WebSocket<TcpStream>;

/// A server that takes one WebSocket, with a subprotocol, and does with it what the test says.
fn server(script: impl FnOnce(Socket) + Send + 'static) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("a listener has an address");
    let serve = move || {
        let (stream, _) = listener.accept().expect("a connection comes");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket has timeouts");
        #[expect(clippy::result_large_err, reason = "the library's own type")]
        let choose = |request: &server::Request, mut response: server::Response| {
            assert!(!request.headers().contains_key("x-api-key"), "the key stays here");
            assert!(request.headers().contains_key("x-auth-key-id"));
            if let Some(wanted) = request.headers().get("sec-websocket-protocol") {
                assert_eq!(wanted, "chat, other");
                let chosen = HeaderValue::from_static("chat");
                response.headers_mut().insert("sec-websocket-protocol", chosen);
            }
            Ok(response)
        };
        script(tungstenite::accept_hdr(stream, choose).expect("a handshake comes"));
    };
    (address, thread::spawn(serve))
}

fn gateway(address: SocketAddr, more: &str) -> TestGateway {
    let upstream = format!("[upstreams.api]\ntargets = [\"http://{address}\"]\n{more}");
    TestGateway::with(TestStore::sqlite()).config(OPEN).config(&upstream).start()
}

fn connect(gateway: &TestGateway, key: &MintedKey) -> (Socket, Response) {
    let stream = TcpStream::connect(gateway.address()).expect("the gateway listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket has timeouts");
    let request = Request::builder()
        .uri(format!("ws://{}/chat", gateway.address()))
        .header("host", "api.example.com")
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", tungstenite::handshake::client::generate_key())
        .header("sec-websocket-protocol", "chat, other")
        .header("x-request-id", "the-chat")
        .header("x-api-key", key.secret())
        .body(());
    let request = request.expect("a request is made");
    tungstenite::client(request, stream).expect("the handshake is answered")
}

fn close(code: u16, reason: &'static str) -> CloseFrame {
    CloseFrame { code: CloseCode::from(code), reason: reason.into() }
}

fn code_of(message: &Message) -> u16 {
    match message {
        Message::Close(Some(frame)) => frame.code.into(),
        other => panic!("{other:?} is no close frame"),
    }
}

#[test]
fn a_thousand_messages_go_each_way_and_the_close_code_passes() {
    let (address, served) = server(|mut socket| {
        for number in 0..1_000 {
            let message = socket.read().expect("a message comes");
            assert_eq!(message, said(number));
            socket.send(message).expect("the client reads");
        }
        assert_eq!(code_of(&socket.read().expect("a close frame comes")), 4_001);
        while socket.read().is_ok() {}
    });
    let gateway = gateway(address, "");
    let key = gateway.key("--name a");
    let (mut socket, response) = connect(&gateway, &key);
    assert_eq!(response.status(), 101);
    assert_eq!(response.headers()["sec-websocket-protocol"], "chat");
    assert_eq!(response.headers()["x-request-id"], "the-chat");
    assert!(response.headers().contains_key("x-ratelimit-remaining"));
    for number in 0..1_000 {
        socket.send(said(number)).expect("the server reads");
        assert_eq!(socket.read().expect("a message comes back"), said(number));
    }
    assert_eq!(gateway.metrics().total("keygate_tunnels"), 1);
    socket.close(Some(close(4_001, "enough"))).expect("the server reads");
    assert_eq!(code_of(&socket.read().expect("the close is answered")), 4_001);
    while socket.read().is_ok() {}
    served.join().expect("the server is content");
    let line = gateway.access_line("the-chat");
    assert_eq!(line["status"], 101);
    assert_eq!(line["key_id"], key.id());
    let payload: u64 = (0..1_000).map(|number| said(number).len() as u64).sum();
    assert!(line["bytes_in"].as_u64() > Some(payload), "{line}");
    assert!(line["bytes_out"].as_u64() > Some(payload), "{line}");
    assert_eq!(gateway.metrics().total("keygate_tunnels"), 0);
}

/// Text and binary in turn; every hundredth is longer than anything that is held.
fn said(number: usize) -> Message {
    let length = if number.is_multiple_of(100) { 100_000 } else { number };
    let text = format!("{number}:{}", "x".repeat(length));
    if number.is_multiple_of(2) { Message::text(text) } else { Message::binary(text.into_bytes()) }
}

#[test]
fn fragments_and_pings_pass_as_they_are() {
    let (address, served) = server(|mut socket| {
        assert_eq!(socket.read().expect("a ping comes"), Message::Ping("are you there".into()));
        assert_eq!(socket.read().expect("a message comes"), Message::text("one two"));
        socket.send(Message::text("heard")).expect("the client reads");
        socket.close(Some(close(1_000, ""))).expect("the client reads");
        while socket.read().is_ok() {}
    });
    let gateway = gateway(address, "");
    let (mut socket, _) = connect(&gateway, &gateway.key("--name a"));
    socket.send(Message::Ping("are you there".into())).expect("the server reads");
    let part = |text: &'static str, opcode, last| {
        Message::Frame(Frame::message(text, OpCode::Data(opcode), last))
    };
    socket.send(part("one ", Data::Text, false)).expect("the server reads");
    socket.send(part("two", Data::Continue, true)).expect("the server reads");
    assert_eq!(socket.read().expect("a pong comes"), Message::Pong("are you there".into()));
    assert_eq!(socket.read().expect("a message comes"), Message::text("heard"));
    assert_eq!(code_of(&socket.read().expect("a close frame comes")), 1_000);
    while socket.read().is_ok() {}
    served.join().expect("the server is content");
}

#[test]
fn a_drain_ends_a_websocket_with_going_away() {
    let (address, served) = server(|mut socket| {
        socket.send(Message::text("hello")).expect("the client reads");
        assert_eq!(code_of(&socket.read().expect("a close frame comes")), 1_001);
    });
    let mut gateway = gateway(address, "[server]\ndrain_timeout = \"1s\"");
    let (mut socket, _) = connect(&gateway, &gateway.key("--name a"));
    assert_eq!(socket.read().expect("a message comes"), Message::text("hello"));
    gateway.signal(Signal::TERM);
    assert_eq!(code_of(&socket.read().expect("a close frame comes")), 1_001);
    drop(socket);
    served.join().expect("the server is told, too");
    assert!(gateway.wait().success());
}

#[test]
fn a_websocket_on_which_nothing_is_said_ends() {
    let (address, served) = server(|mut socket| {
        assert_eq!(code_of(&socket.read().expect("a close frame comes")), 1_001);
    });
    let routes = "[[routes]]\npath = \"/**\"\nupstream = \"api\"\ntimeout = \"300ms\"";
    let gateway = gateway(address, routes);
    let (mut socket, _) = connect(&gateway, &gateway.key("--name a"));
    assert_eq!(code_of(&socket.read().expect("a close frame comes")), 1_001);
    served.join().expect("the server is told, too");
}

/// A handshake as bytes, with further fields.
fn handshake(fields: &str) -> String {
    format!(
        "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{fields}\r\n"
    )
}

#[test]
fn without_a_key_there_is_no_upgrade() {
    let origin = Origin::start();
    let gateway = open(&origin);
    let mut wire = Wire::connect(gateway.address());
    wire.send(handshake("Upgrade: websocket\r\n"));
    let answer = wire.answer();
    assert_eq!(answer.status, 401);
    answer.lacks("upgrade");
    // It was an ordinary request, and so is the next one.
    wire.send(handshake("Upgrade: websocket\r\n"));
    assert_eq!(wire.answer().status, 401);
    assert_eq!(origin.count(), 0);
}

#[test]
fn every_other_upgrade_is_an_ordinary_request_without_it() {
    let origin = Origin::start();
    let gateway = open(&origin);
    let key = format!("X-API-Key: {}\r\n", gateway.key("--name a").secret());
    let mut wire = Wire::connect(gateway.address());
    for fields in [
        "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
        "Upgrade: websocket, h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
        "Upgrade: websocket\r\nUpgrade: h2c\r\n",
        "Upgrade: TLS/1.0\r\n",
        "Upgrade: websocket\r\nContent-Length: 2\r\n",
        "Upgrade: websocket\r\nSec-WebSocket-Key: second\r\n",
    ] {
        let body = if fields.contains("Content-Length") { "hi" } else { "" };
        wire.send(format!("{}{body}", handshake(&format!("{key}{fields}"))));
        assert_eq!(wire.answer().status, 200, "{fields}");
        let received = origin.last();
        for gone in ["upgrade", "connection", "http2-settings"] {
            assert_eq!(received.header(gone), None, "{fields}");
        }
    }
    assert_eq!(origin.count(), 6);
}

#[test]
fn a_route_may_take_no_websockets() {
    let origin = Origin::start();
    let routes = "[[routes]]\npath = \"/**\"\nupstream = \"api\"\nwebsocket = false";
    let gateway =
        TestGateway::with(TestStore::sqlite()).config(routes).upstream("api", &origin).start();
    let key = format!("X-API-Key: {}\r\n", gateway.key("--name a").secret());
    let mut wire = Wire::connect(gateway.address());
    wire.send(handshake(&format!("{key}Upgrade: websocket\r\n")));
    assert_eq!(wire.answer().status, 200);
    assert_eq!(origin.last().header("upgrade"), None);
}

#[test]
fn an_upstream_that_declines_or_switches_to_something_else_opens_no_tunnel() {
    for (status, upgrade, answered) in [(426, "websocket", 426), (101, "h2c", 502)] {
        let origin = Origin::scripted(move |call| {
            let fields = [("connection", "upgrade"), ("upgrade", upgrade)];
            call.close = true;
            if status == 101 {
                let head = "HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n";
                return call.write(head.as_bytes());
            }
            call.answer(status, &fields, b"")
        });
        let gateway = open(&origin);
        let key = format!("X-API-Key: {}\r\n", gateway.key("--name a").secret());
        let mut wire = Wire::connect(gateway.address());
        wire.send(handshake(&format!("{key}Upgrade: websocket\r\n")));
        let answer = wire.answer();
        assert_eq!(answer.status, answered);
        answer.lacks("upgrade");
        assert_eq!(gateway.metrics().total("keygate_tunnels"), 0);
    }
}

#[test]
fn what_a_client_sends_without_waiting_is_never_taken_for_a_request() {
    let (address, served) = server(|mut socket| {
        assert_eq!(socket.read().expect("a ping comes"), Message::Ping("GET".into()));
        socket.flush().expect("the client reads the pong");
        socket.close(Some(close(1_000, ""))).expect("the client reads");
        while socket.read().is_ok() {}
    });
    let gateway = gateway(address, "");
    let key = format!("X-API-Key: {}\r\n", gateway.key("--name a").secret());
    let mut wire = Wire::connect(gateway.address());
    let ping = b"\x89\x83\0\0\0\0GET";
    let bye = b"\x88\x82\0\0\0\0\x03\xe8";
    let head = handshake(&format!("{key}Upgrade: websocket\r\n"));
    wire.send([head.as_bytes(), ping, bye].concat());
    let answer = wire.rest();
    assert!(answer.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&answer));
    assert!(answer.ends_with(b"\x8a\x03GET\x88\x02\x03\xe8"), "{answer:?}");
    served.join().expect("the server is content");
}
