//! A key that ends takes its own streams with it, and leaves the others of their connection alone.

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::ext::Protocol;
use h2::{Reason, RecvStream, SendStream};
use http::{Method, Request, Version};
use rstest::rstest;

use super::client::{head, piece, whole};
use super::{Client, OPEN};
use crate::support::endless::{Chat, Endless, FIRST_EVENT};
use crate::support::ends::{End, in_time};
use crate::support::{MintedKey, TestGateway, TestStore, block_on};

/// A short text's frame, masked with zeros, and as a server says it.
const HELLO: &[u8] = b"\x81\x85\0\0\0\0hello";
const HELLO_BACK: &[u8] = b"\x81\x05hello";
/// The close frame of a key that has ended: 1008.
const POLICY_VIOLATION: &[u8] = &[0x88, 2, 0x03, 0xf0];

struct Scene {
    upstream: Endless,
    chat: Chat,
    gateway: TestGateway,
}

impl Scene {
    fn start() -> Self {
        let (upstream, chat) = (Endless::start(), Chat::start());
        let config = format!(
            "[[routes]]\npath = \"/**\"\nupstream = \"api\"\n\
             [[routes]]\npath = \"/chat\"\nupstream = \"chat\"\n\
             [upstreams.chat]\ntargets = [\"http://{}\"]",
            chat.address
        );
        let setup = TestGateway::with(TestStore::sqlite()).config(OPEN).config(&config);
        let gateway = setup.upstream("api", &upstream.origin).start();
        Self { upstream, chat, gateway }
    }
}

/// One of everything that can be under way for a key.
struct UnderWay {
    events: RecvStream,
    call: RecvStream,
    upload: (ResponseFuture, SendStream<Bytes>),
    waiting: ResponseFuture,
    socket: (RecvStream, SendStream<Bytes>),
}

impl UnderWay {
    /// Begins all on one connection. `waiting`: what has no answer for now.
    async fn begin(client: &Client, key: &MintedKey, waiting: &str) -> Self {
        let mut upload = begin(client, request("POST", "/upload", key, "upload")).await;
        upload.1.send_data("begun".into(), false).expect("the stream is open");
        let (waiting, _) = begin(client, request("GET", waiting, key, "waiting")).await;
        let events = begin(client, request("GET", "/events", key, "events")).await;
        let mut call = request("POST", "/events", key, "call");
        call.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
        let call = begin(client, call).await;
        let mut socket = request("CONNECT", "/chat", key, "chat");
        socket.headers_mut().insert("sec-websocket-version", "13".parse().unwrap());
        socket.extensions_mut().insert(Protocol::from_static("websocket"));
        let (answer, sending) = begin(client, socket).await;
        let mut socket = (body(answer).await, sending);
        says_back(&mut socket).await;
        let (mut events, mut call) = (body(events.0).await, body(call.0).await);
        for stream in [&mut events, &mut call] {
            assert_eq!(piece(stream).await.unwrap().unwrap(), FIRST_EVENT);
        }
        Self { events, call, upload, waiting, socket }
    }

    /// Sees each end as it must.
    async fn ends(self) {
        let mut socket = self.socket;
        assert_eq!(frame(&mut socket.0, POLICY_VIOLATION.len()).await, POLICY_VIOLATION);
        for refused in [self.waiting, self.upload.0] {
            let refused = whole(refused).await.expect("an answer comes");
            assert_eq!(refused.status, 401);
            assert!(refused.text().contains("Invalid or missing API key"), "{}", refused.text());
        }
        assert_eq!(reset(self.events).await, Some(Reason::CANCEL));
        let mut call = self.call;
        assert_eq!(piece(&mut call).await.expect("a call ends with its status"), None);
        let trailers = call.trailers().await.expect("a call ends well").expect("it has trailers");
        assert_eq!(trailers["grpc-status"], "16");
        assert_eq!(trailers["grpc-message"], "Invalid or missing API key");
    }

    /// Sees each go on, and end well where it can.
    async fn go_on(self, upstream: &Endless) {
        upstream.beat();
        for mut stream in [self.events, self.call] {
            let event = piece(&mut stream).await.expect("it goes on").expect("it goes on");
            assert!(event.starts_with(b"data: "), "{event:?}");
        }
        assert_eq!(whole(self.waiting).await.expect("an answer comes").text(), "released");
        let (answer, mut sending) = self.upload;
        sending.send_data(" and done".into(), true).expect("the stream is open");
        assert_eq!(whole(answer).await.expect("an answer comes").status, 200);
        let mut socket = self.socket;
        says_back(&mut socket).await;
    }
}

fn request(method: &str, path: &str, key: &MintedKey, name: &str) -> Request<()> {
    let request = Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap());
    let request = request.uri(format!("http://api.example{path}")).version(Version::HTTP_2);
    let request = request.header("x-request-id", format!("{}-{name}", key.id()));
    request.header("x-api-key", key.secret()).body(()).expect("a well-formed head")
}

/// Sends a head, and nothing more where nothing more is to come.
async fn begin(client: &Client, request: Request<()>) -> (ResponseFuture, SendStream<Bytes>) {
    let goes_on = request.uri().path() == "/upload" || request.method() == Method::CONNECT;
    client.send(request, !goes_on).await.expect("it is sent")
}

async fn body(answer: ResponseFuture) -> RecvStream {
    let answer = head(answer).await.expect("an answer comes");
    assert_eq!(answer.status(), 200);
    answer.into_body()
}

async fn frame(body: &mut RecvStream, length: usize) -> Vec<u8> {
    let mut frame = Vec::new();
    while frame.len() < length {
        frame.extend(piece(body).await.expect("it goes well").expect("it goes on"));
    }
    frame
}

async fn says_back((said, sending): &mut (RecvStream, SendStream<Bytes>)) {
    sending.send_data(HELLO.into(), false).expect("the stream is open");
    assert_eq!(frame(said, HELLO_BACK.len()).await, HELLO_BACK);
}

/// Reads on until a stream is reset; why it was.
async fn reset(mut stream: RecvStream) -> Option<Reason> {
    loop {
        match piece(&mut stream).await {
            Ok(piece) => assert!(piece.is_some(), "it did not end well"),
            Err(error) => return error.reason().filter(|_| error.is_reset()),
        }
    }
}

#[rstest]
#[case(End::Revoked)]
#[case(End::Disabled)]
#[case(End::Expired)]
#[case(End::OwnerDisabled)]
fn its_streams_are_cut_within_a_second_and_others_beside_them_go_on(#[case] end: End) {
    in_time(|| {
        let scene = Scene::start();
        let doomed = end.key(&scene.gateway);
        let other = scene.gateway.key("--name other");
        let after = block_on(async {
            let client = Client::connect_extended(scene.gateway.address()).await;
            let cut = UnderWay::begin(&client, &doomed.key, "/waiting").await;
            let going_on = UnderWay::begin(&client, &other, "/held").await;
            scene.upstream.origin.wait_for("the uploads", |received| {
                received.iter().filter(|request| request.body == b"begun").count() == 2
            });
            let ended = doomed.end(&scene.gateway);
            cut.ends().await;
            let after = ended.elapsed();
            going_on.go_on(&scene.upstream).await;
            after
        });
        assert_eq!(scene.chat.closed_with(), 1_008, "so is the upstream told");
        let reason = end.reason();
        for (name, status) in
            [("events", 200), ("call", 200), ("upload", 401), ("waiting", 401), ("chat", 101)]
        {
            let line = scene.gateway.access_line(&format!("{}-{name}", doomed.key.id()));
            let (status, reason) = (status.into(), reason.into());
            assert_eq!((&line["status"], &line["reason"]), (&status, &reason), "{line}");
        }
        let label = format!("reason=\"{reason}\"");
        let counts = |name| scene.gateway.metrics().matching(name, &[&label]);
        assert_eq!(counts("keygate_requests_cut_total"), 3);
        assert_eq!(counts("keygate_refusals_total"), 2);
        scene.upstream.sees_broken_off(&["/events", "/upload", "/waiting"]);
        Some(after)
    });
}

#[test]
fn a_stream_that_its_client_does_not_read_is_cut_too() {
    in_time(|| {
        let scene = Scene::start();
        let doomed = End::Revoked.key(&scene.gateway);
        Some(block_on(async {
            let client = Client::connect(scene.gateway.address()).await;
            let download = begin(&client, request("GET", "/download", &doomed.key, "a")).await;
            let stream = body(download.0).await;
            let ended = doomed.end(&scene.gateway);
            scene.upstream.sees_broken_off(&["/download"]);
            let after = ended.elapsed();
            assert_eq!(reset(stream).await, Some(Reason::CANCEL));
            after
        }))
    });
}
