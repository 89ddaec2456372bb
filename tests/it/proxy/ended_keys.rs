//! What is under way when its key ends, by whatever, is cut within a second; what is not its key's
//! goes on.

use std::net::TcpStream;
use std::time::Duration;

use rstest::rstest;
use tokio::time::Instant;
use tungstenite::handshake::client::{Request, generate_key};
use tungstenite::{Message, WebSocket};

use super::OPEN;
use crate::support::Kind::{self, Postgres, Sqlite};
use crate::support::endless::{Chat, Endless, FIRST_EVENT, FLOOD};
use crate::support::ends::{End, in_time};
use crate::support::load::get;
use crate::support::message::Framing;
use crate::support::{MintedKey, PATIENCE, TestGateway, TestStore, Wire, until};

/// More than all that is held of an answer between an upstream and its client.
const MUCH: usize = 16 << 20;

struct Scene {
    upstream: Endless,
    chat: Chat,
    gateway: TestGateway,
}

impl Scene {
    fn on(kind: Kind) -> Option<Self> {
        let (upstream, chat) = (Endless::start(), Chat::start());
        let config = format!(
            "[upstreams.chat]\ntargets = [\"http://{}\"]\n[limits]\nfailed_auth_per_ip = \"1/hour\"",
            chat.address
        );
        let setup = TestGateway::with(TestStore::of(kind)?).config(OPEN).config(&config);
        let routes = "[[routes]]\npath = \"/**\"\nupstream = \"api\"\n\
            [[routes]]\npath = \"/chat\"\nupstream = \"chat\"";
        let gateway = setup.config(routes).upstream("api", &upstream.origin).start();
        Some(Self { upstream, chat, gateway })
    }
}

/// One of everything that can be under way for a key.
struct UnderWay {
    events: (Wire, Framing),
    /// Begun, and not read any more.
    download: (Wire, Framing),
    upload: Wire,
    waiting: Wire,
    socket: WebSocket<TcpStream>,
}

impl UnderWay {
    /// Begins all. `waiting`: what has no answer for now.
    fn begin(scene: &Scene, key: &MintedKey, waiting: &str) -> Self {
        let wire = |method: &str, path: &str, more: &str| {
            let mut wire = Wire::connect(scene.gateway.address());
            let (id, secret) = (key.id(), key.secret());
            wire.send(format!(
                "{method} {path} HTTP/1.1\r\nHost: a\r\nX-API-Key: {secret}\r\n\
                 X-Request-Id: {id}{}\r\n{more}\r\n",
                path.replace('/', "-"),
            ));
            wire
        };
        let upload = wire("POST", "/upload", "Transfer-Encoding: chunked\r\n\r\n5\r\nbegun");
        let waiting = wire("GET", waiting, "");
        let answered = |mut wire: Wire| {
            let (answer, framing) = wire.answer_head();
            assert_eq!(answer.status, 200);
            (wire, framing)
        };
        let mut events = answered(wire("GET", "/events", ""));
        assert_eq!(events.0.piece(&mut events.1).unwrap().unwrap(), FIRST_EVENT.as_bytes());
        let download = answered(wire("GET", "/download", ""));
        let mut socket = connect(&scene.gateway, key);
        says_back(&mut socket);
        Self { events, download, upload, waiting, socket }
    }

    /// Sees each end as it must.
    fn ends(&mut self) {
        let refused = self.waiting.answer();
        refused.is_refusal(401, "unauthorized", "Invalid or missing API key");
        refused.lacks("connection");
        let refused = self.upload.answer();
        refused.is_refusal(401, "unauthorized", "Invalid or missing API key");
        refused.says("connection", "close");
        match self.socket.read().expect("a close frame comes") {
            Message::Close(Some(frame)) => assert_eq!(u16::from(frame.code), 1_008),
            other => panic!("{other:?} is no close frame"),
        }
        let (events, framing) = &mut self.events;
        let broken = events.piece(framing);
        assert!(broken.is_err(), "no last chunk comes: {broken:?}");
        // What had come by then is still to be read.
        let (download, framing) = &mut self.download;
        while download.piece(framing).is_ok_and(|piece| piece.is_some()) {}
        assert!(matches!(framing, Framing::Length(1..)), "it is not whole");
    }

    /// Sees each go on, and end well where it can.
    fn go_on(mut self, scene: &Scene) {
        let (mut events, mut framing) = self.events;
        scene.upstream.beat();
        let event = events.piece(&mut framing).expect("it goes on").expect("it goes on");
        assert!(event.starts_with(b"data: "), "{event:?}");
        assert_eq!(self.waiting.answer().text(), "released");
        self.upload.send("0\r\n\r\n");
        assert_eq!(self.upload.answer().status, 200);
        says_back(&mut self.socket);
        let (mut download, mut framing) = self.download;
        let mut length = 0;
        while length < MUCH {
            length += download.piece(&mut framing).expect("it goes on").expect("it goes on").len();
        }
    }
}

fn connect(gateway: &TestGateway, key: &MintedKey) -> WebSocket<TcpStream> {
    let stream = TcpStream::connect(gateway.address()).expect("the gateway listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket has timeouts");
    let request = Request::builder()
        .uri(format!("ws://{}/chat", gateway.address()))
        .header("host", "api.example.com")
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", generate_key())
        .header("x-api-key", key.secret())
        .header("x-request-id", format!("{}-chat", key.id()))
        .body(());
    let request = request.expect("a request is made");
    tungstenite::client(request, stream).expect("the handshake is answered").0
}

fn says_back(socket: &mut WebSocket<TcpStream>) {
    socket.send(Message::text("hello")).expect("the gateway reads");
    assert_eq!(socket.read().expect("it comes back"), Message::text("hello"));
}

#[rstest]
#[case(End::Revoked, Sqlite)]
#[case(End::Revoked, Postgres)]
#[case(End::Disabled, Sqlite)]
#[case(End::Expired, Sqlite)]
#[case(End::SecretRevoked, Sqlite)]
#[case(End::GraceOver, Sqlite)]
#[case(End::OwnerDisabled, Sqlite)]
#[case(End::ParentRevoked, Sqlite)]
#[case(End::ParentExpired, Sqlite)]
#[case(End::Deleted, Sqlite)]
fn whatever_is_under_way_is_cut_within_a_second(#[case] end: End, #[case] kind: Kind) {
    in_time(|| {
        let scene = Scene::on(kind)?;
        let doomed = end.key(&scene.gateway);
        let other = scene.gateway.key("--name other");
        let mut cut = UnderWay::begin(&scene, &doomed.key, "/waiting");
        let going_on = UnderWay::begin(&scene, &other, "/held");
        scene.upstream.origin.wait_for("the uploads", |received| {
            received.iter().filter(|request| request.body == b"begun").count() == 2
        });

        let ended = doomed.end(&scene.gateway);
        cut.ends();
        let after = ended.elapsed();

        assert_eq!(scene.chat.closed_with(), 1_008, "so is the upstream told");
        is_told(&scene, &doomed.key, end.reason());
        // A connection whose request was refused goes on, for whoever may call.
        cut.waiting.send(get("/a", other.secret()));
        assert_eq!(cut.waiting.answer().status, 200);
        going_on.go_on(&scene);
        // Beats end what is held.
        scene.upstream.sees_broken_off(&["/events", "/download", "/upload", "/waiting"]);
        Some(after)
    });
}

/// What the access log and the metrics say of it. Nobody has failed: a key of the same address that
/// is not known yet is still let in.
fn is_told(scene: &Scene, key: &MintedKey, reason: &str) {
    for (name, status) in
        [("events", 200), ("download", 200), ("upload", 401), ("waiting", 401), ("chat", 101)]
    {
        let line = scene.gateway.access_line(&format!("{}-{name}", key.id()));
        assert_eq!((&line["status"], &line["reason"]), (&status.into(), &reason.into()), "{line}");
        assert_eq!(line["key_id"], key.id());
    }
    let label = format!("reason=\"{reason}\"");
    let counts = |name| scene.gateway.metrics().matching(name, &[&label]);
    assert_eq!(counts("keygate_requests_cut_total"), 3);
    assert_eq!(counts("keygate_refusals_total"), 2);
    let fresh = scene.gateway.key("--name fresh");
    assert_eq!(scene.gateway.curl("/a").bearer(&fresh).send().status, 200);
}

#[test]
fn a_key_that_is_only_narrowed_keeps_what_is_under_way() {
    let scene = Scene::on(Sqlite).expect("SQLite is always there");
    let key = scene.gateway.key("--name a --scope agents:read");
    let under_way = UnderWay::begin(&scene, &key, "/held");
    for change in ["--scope agents:write", "--allow-ip 203.0.113.7", "--limit 1/day"] {
        scene.gateway.run(&format!("key update {} {change}", key.id()));
    }
    // By then it would have been cut: another key's stream that ends later has been.
    let doomed = End::Revoked.key(&scene.gateway);
    let mut cut = UnderWay::begin(&scene, &doomed.key, "/waiting");
    doomed.end(&scene.gateway);
    cut.ends();
    until("the narrower key is in force", || {
        scene.gateway.curl("/a").bearer(&key).send().status == 403
    });
    under_way.go_on(&scene);
}

#[test]
fn a_client_that_takes_nothing_is_given_nothing_more() {
    in_time(|| {
        let scene = Scene::on(Sqlite)?;
        let doomed = End::Revoked.key(&scene.gateway);
        let cut = UnderWay::begin(&scene, &doomed.key, "/waiting");
        let ended = doomed.end(&scene.gateway);
        // Nothing is read here: it is the gateway that closes the upstream's connection.
        scene.upstream.sees_broken_off(&["/download"]);
        let after: Duration = ended.elapsed();
        drop(cut);
        Some(after)
    });
}

#[test]
fn an_upstream_is_told_by_1008_although_its_client_reads_nothing() {
    in_time(|| {
        let scene = Scene::on(Sqlite)?;
        let doomed = End::Revoked.key(&scene.gateway);
        let mut socket = connect(&scene.gateway, &doomed.key);
        socket.send(Message::text(FLOOD)).expect("the gateway reads");
        let ended = doomed.end(&scene.gateway);
        assert_eq!(scene.chat.closed_with(), 1_008);
        Some(ended.elapsed())
    });
}

/// What the log of changes has lost, nobody is told of; and the key's secret is no longer in memory.
#[rstest]
#[case(Sqlite, "1")]
#[case(Postgres, "true")]
fn a_stream_is_cut_for_a_change_that_was_missed(#[case] kind: Kind, #[case] yes: &str) {
    in_time(|| {
        let upstream = Endless::start();
        let setup = TestGateway::with(TestStore::of(kind)?).config(OPEN);
        let setup = setup.config("[cache]\ncapacity = 1");
        let gateway = setup.upstream("api", &upstream.origin).start();
        let (key, other) = (gateway.key("--name a"), gateway.key("--name b"));
        let mut wire = Wire::connect(gateway.address());
        wire.send(get("/events", key.secret()));
        let (_, mut framing) = wire.answer_head();
        assert_eq!(wire.piece(&mut framing).unwrap().unwrap(), FIRST_EVENT.as_bytes());
        assert_eq!(gateway.curl("/a").bearer(&other).send().status, 200);
        let id = key.id();
        gateway.store().sql(&format!(
            "BEGIN; UPDATE keys SET disabled = {yes} WHERE id = '{id}'; \
             DELETE FROM changes WHERE kind = 'key' AND id = '{id}'; \
             INSERT INTO changes (kind, id) VALUES ('unheard of', ''); COMMIT"
        ));
        let ended = Instant::now();
        assert!(wire.piece(&mut framing).is_err(), "no last chunk comes");
        let after = ended.elapsed();
        gateway.wait_for_log("too many changes since the last look");
        Some(after)
    });
}
