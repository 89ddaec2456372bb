//! WebSockets by extended CONNECT (RFC 8441).

use std::net::{SocketAddr, TcpListener};
use std::thread;

use h2::ext::Protocol;
use h2::{RecvStream, SendStream};
use http::{Method, Request, Response, Version};
use rustix::process::Signal;
use tungstenite::Message;
use tungstenite::handshake::server;

use super::client::{head, piece, whole};
use super::{Client, OPEN, open, with};
use crate::support::{MintedKey, Origin, PATIENCE, TestGateway, TestStore, block_on};

/// The close frame of a server that goes away, and of one that was asked to.
const GOING_AWAY: &[u8] = &[0x88, 2, 0x03, 0xe9];
const NORMAL: &[u8] = &[0x88, 2, 0x03, 0xe8];

/// Takes one WebSocket and says every text back in capitals.
fn server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("a listener has an address");
    thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a connection comes");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket has timeouts");
        #[expect(clippy::result_large_err, reason = "the library's own type")]
        let look = |request: &server::Request, response: server::Response| {
            assert_eq!(request.method(), "GET");
            assert!(!request.headers().contains_key("x-api-key"), "the key stays here");
            assert!(request.headers().contains_key("x-auth-key-id"));
            Ok(response)
        };
        let mut socket = tungstenite::accept_hdr(stream, look).expect("a handshake comes");
        while let Ok(message) = socket.read() {
            if let Message::Text(text) = message {
                let said = Message::text(text.to_uppercase());
                socket.send(said).expect("the client reads");
            }
        }
    });
    address
}

fn gateway(address: SocketAddr, more: &str) -> (TestGateway, MintedKey) {
    let upstream = format!("[upstreams.api]\ntargets = [\"http://{address}\"]\n{more}");
    let gateway = TestGateway::with(TestStore::sqlite()).config(OPEN).config(&upstream).start();
    let key = gateway.key("--name a");
    (gateway, key)
}

fn connect(path: &str, fields: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::builder().method(Method::CONNECT).version(Version::HTTP_2);
    request = request.uri(format!("http://api.example{path}"));
    request = request.extension(Protocol::from_static("websocket"));
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.header("sec-websocket-version", "13").body(()).expect("a well-formed head")
}

/// A short text's frame, masked with zeros.
fn text(text: &str) -> bytes::Bytes {
    [&[0x81, 0x80 | text.len() as u8, 0, 0, 0, 0], text.as_bytes()].concat().into()
}

async fn opened(
    client: &mut Client,
    key: &MintedKey,
) -> (Response<()>, SendStream<bytes::Bytes>, RecvStream) {
    let (answer, sending) = client.send(connect("/chat", &with(key)), false).await.expect("sent");
    let (parts, body) = head(answer).await.expect("an answer comes").into_parts();
    (Response::from_parts(parts, ()), sending, body)
}

async fn frame(body: &mut RecvStream, length: usize) -> Vec<u8> {
    let mut frame = Vec::new();
    while frame.len() < length {
        frame.extend(piece(body).await.expect("it goes well").expect("it goes on"));
    }
    frame
}

#[test]
fn messages_go_both_ways_and_other_streams_go_on() {
    let (gateway, key) = gateway(server(), "");
    block_on(async {
        let mut client = Client::connect_extended(gateway.address()).await;
        let (answer, mut sending, mut body) = opened(&mut client, &key).await;
        assert_eq!(answer.status(), 200);
        for name in ["connection", "upgrade", "sec-websocket-accept", "content-length"] {
            assert!(!answer.headers().contains_key(name), "{name}");
        }
        for number in 0..1_000 {
            let message = format!("message {number}");
            sending.send_data(text(&message), false).expect("the stream is open");
            let said = frame(&mut body, 2 + message.len()).await;
            assert_eq!(said[2..], *message.to_uppercase().as_bytes());
        }
        assert_eq!(client.get("/a", &[]).await.status, 401, "another stream");
        assert_eq!(gateway.metrics().total("keygate_tunnels"), 1);
        let close = [&[0x88, 0x82, 0, 0, 0, 0], &NORMAL[2..]].concat();
        sending.send_data(close.into(), true).expect("the stream is open");
        assert_eq!(frame(&mut body, 4).await, NORMAL);
        assert!(piece(&mut body).await.expect("it ends well").is_none_or(|p| p.is_empty()));
        assert_eq!(client.get("/a", &[]).await.status, 401, "the connection goes on");
    });
}

#[test]
fn a_drain_ends_it_with_a_close_frame() {
    let (mut gateway, key) = gateway(server(), "[server]\ndrain_timeout = \"2s\"");
    block_on(async {
        let mut client = Client::connect_extended(gateway.address()).await;
        let (_, _sending, mut body) = opened(&mut client, &key).await;
        gateway.signal(Signal::TERM);
        assert_eq!(frame(&mut body, 4).await, GOING_AWAY);
    });
    assert!(gateway.wait().success());
}

#[test]
fn what_is_not_granted_opens_nothing() {
    let origin = Origin::start();
    let (gateway, key) = open(&origin);
    block_on(async {
        let client = Client::connect_extended(gateway.address()).await;
        for (fields, status) in [(&[][..], 401), (&with(&key)[..], 502)] {
            let sent = client.send(connect("/chat", fields), false).await.expect("it is sent");
            let answer = whole(sent.0).await.expect("an answer comes");
            assert_eq!(answer.status, status, "{}", answer.text());
        }
        let mut other = connect("/chat", &with(&key));
        other.extensions_mut().insert(Protocol::from_static("connect-udp"));
        let sent = client.send(other, false).await.expect("it is sent");
        assert_eq!(whole(sent.0).await.expect("an answer comes").status, 405);
    });
}
