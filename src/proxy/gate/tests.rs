//! The gate alone, and with the HTTP library behind it, fed from memory piece by piece.

mod inputs;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::convert::Infallible;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Collected, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
use tokio::time::Instant;

use self::inputs::{BAD_CHUNKS, GOOD_LAST, bad_heads, chunked, good_bodies, good_heads, head};
use super::*;
use crate::domain::Reason;

const MAX_HEAD: usize = 1024;
const GOOD: &str = "GET /next HTTP/1.1\r\nHost: a\r\n\r\n";

/// A client that sends these pieces, each at one reading, and closes its side.
struct Client {
    pieces: VecDeque<Vec<u8>>,
    answers: Rc<RefCell<Vec<u8>>>,
}

impl Client {
    fn new(bytes: &[u8], cuts: impl IntoIterator<Item = usize>) -> Self {
        let (mut rest, mut pieces) = (bytes, VecDeque::new());
        for cut in cuts {
            let (piece, behind) = rest.split_at(cut.min(rest.len()));
            pieces.push_back(piece.to_vec());
            rest = behind;
        }
        pieces.push_back(rest.to_vec());
        pieces.retain(|piece| !piece.is_empty());
        Self { pieces, answers: Rc::default() }
    }
}

impl AsyncRead for Client {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(piece) = self.pieces.front_mut() {
            let length = piece.len().min(buf.remaining());
            buf.put_slice(&piece[..length]);
            piece.drain(..length);
            if piece.is_empty() {
                self.pieces.pop_front();
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Client {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.answers.borrow_mut().extend_from_slice(buf);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn gate<S: AsyncRead + AsyncWrite + Unpin>(stream: S) -> (Gate<S>, Rc<Connection>) {
    let connection = Rc::new(Connection::new("192.0.2.1".parse().unwrap(), 0));
    (Gate::new(stream, Rc::clone(&connection), MAX_HEAD, || 1), connection)
}

/// What becomes of a client's bytes.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    passed: Vec<u8>,
    /// The number of the request, and why it was refused.
    refused: Option<(u64, Refusal)>,
    is_broken: bool,
    heads: u64,
}

fn outcome(client: Client, room: usize) -> Outcome {
    let (mut gate, connection) = gate(client);
    let (mut passed, mut buf) = (Vec::new(), vec![0; room]);
    let is_broken = loop {
        match gate.read(&mut buf).now_or_never().expect("the gate never waits for nothing") {
            Ok(0) => break false,
            Ok(read) => passed.extend_from_slice(&buf[..read]),
            Err(_) => break true,
        }
    };
    let heads = gate.messages.heads();
    let refused = (0..=heads).find_map(|number| Some((number, connection.begin_request()?)));
    Outcome { passed, refused, is_broken, heads }
}

/// The outcome, which must be the same however the bytes are cut and whatever the room for them.
fn at_every_split(bytes: &str) -> Outcome {
    let bytes = bytes.as_bytes();
    let whole = outcome(Client::new(bytes, []), 8192);
    for at in 1..bytes.len() {
        let text = bytes.escape_ascii();
        assert_eq!(outcome(Client::new(bytes, [at]), 8192), whole, "cut at {at}: {text}");
    }
    for room in [1, 7] {
        let text = bytes.escape_ascii();
        assert_eq!(outcome(Client::new(bytes, []), room), whole, "in {room}: {text}");
        let single = std::iter::repeat_n(1, bytes.len());
        assert_eq!(outcome(Client::new(bytes, single), room), whole, "single, in {room}: {text}");
    }
    whole
}

#[test]
fn good_messages_pass_unchanged_however_they_are_cut() {
    let passes = |bytes: &str, heads: u64| {
        let passed = bytes.as_bytes().to_vec();
        let expected = Outcome { passed, refused: None, is_broken: false, heads };
        assert_eq!(at_every_split(bytes), expected, "{bytes:?}");
    };
    for message in good_heads().into_iter().chain(good_bodies()) {
        passes(&message, 1);
        passes(&format!("{message}{GOOD}"), 2);
    }
    for message in GOOD_LAST {
        passes(message, 1);
    }
}

#[test]
fn in_the_place_of_a_refused_head_a_harmless_one_passes_and_nothing_behind_it() {
    for head in bad_heads() {
        for behind in [String::new(), GOOD.to_owned()] {
            let bytes = format!("{GOOD}{head}");
            // What breaks off goes on with what follows.
            if !behind.is_empty() && !head.ends_with("\r\n\r\n") {
                continue;
            }
            let outcome = at_every_split(&(bytes + &behind));
            let passed = [GOOD.as_bytes(), PLACEHOLDER].concat();
            assert_eq!((outcome.passed, outcome.heads), (passed, 1), "{head:?}");
            let Some((1, Refusal::BadRequest(_))) = outcome.refused else {
                panic!("{head:?}: {:?}", outcome.refused);
            };
        }
    }
}

#[test]
fn of_a_broken_body_no_end_passes() {
    for body in BAD_CHUNKS {
        let outcome = at_every_split(&format!("{GOOD}{}{GOOD}", chunked(body)));
        assert_eq!(
            (outcome.refused, outcome.is_broken, outcome.heads),
            (None, true, 2),
            "{body:?}"
        );
        assert!(!outcome.passed.ends_with(b"0\r\n\r\n"), "{body:?}");
    }
}

#[test]
fn a_head_has_its_greatest_length_and_no_byte_more() {
    let frame = "GET / HTTP/1.1\r\nHost: a\r\nLong: \r\n\r\n".len();
    let long = |length: usize| {
        format!("GET / HTTP/1.1\r\nHost: a\r\nLong: {}\r\n\r\n", "x".repeat(length - frame))
    };
    assert_eq!(at_every_split(&long(MAX_HEAD)).heads, 1);
    let endless = "GET / HTTP/1.1\r\nLong: ".to_owned() + &"\x01".repeat(MAX_HEAD);
    for head in [long(MAX_HEAD + 1), "A".repeat(MAX_HEAD), endless] {
        let refused = at_every_split(&head).refused;
        assert_eq!(refused, Some((0, Reason::HeadersTooLarge.into())), "{head}");
    }
}

#[test]
fn a_head_has_so_many_fields_and_not_one_more() {
    let with =
        |fields: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "A:\r\n".repeat(fields - 1));
    assert_eq!(at_every_split(&with(100)).heads, 1);
    assert_eq!(at_every_split(&with(101)).refused, Some((0, Reason::HeadersTooLarge.into())));
}

#[test]
fn a_client_that_says_nothing_or_an_empty_line_is_not_refused() {
    for bytes in ["", "\r\n"] {
        let outcome = at_every_split(&format!("{GOOD}{bytes}"));
        assert_eq!((outcome.refused, outcome.heads), (None, 1), "{bytes:?}");
    }
}

/// What the HTTP library makes of a client: bodies as they came to the service, and all answers.
struct Served {
    bodies: Vec<Result<Bytes, ()>>,
    refused: Option<(usize, Refusal)>,
    answers: String,
}

fn serve(client: Client) -> Served {
    let answers = Rc::clone(&client.answers);
    let (gate, connection) = gate(client);
    let (bodies, refused) = (RefCell::new(Vec::new()), RefCell::new(None));
    let service = service_fn(|request: Request<Incoming>| {
        let number = bodies.borrow().len();
        let refusal = connection.begin_request();
        let (bodies, refused) = (&bodies, &refused);
        async move {
            if let Some(refusal) = refusal {
                *refused.borrow_mut() = Some((number, refusal));
                return Ok::<_, Infallible>(answer(400, "refused"));
            }
            let body = request.into_body().collect().await;
            let status = if body.is_ok() { 200 } else { 400 };
            bodies.borrow_mut().push(body.map(Collected::to_bytes).map_err(drop));
            Ok(answer(status, ""))
        }
    });
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let serving = async {
        let serving = http1::Builder::new()
            .half_close(true)
            .auto_date_header(false)
            .serve_connection(TokioIo::new(gate), service);
        let _ = tokio::time::timeout(Duration::from_mins(1), serving).await.expect("it ends");
    };
    runtime.unwrap().block_on(serving);
    let answers = String::from_utf8(answers.take()).unwrap();
    Served { bodies: bodies.take(), refused: refused.take(), answers }
}

fn answer(status: u16, body: &'static str) -> Response<Full<Bytes>> {
    let mut answer = Response::builder().status(status);
    if status == 400 {
        answer = answer.header("connection", "close");
    }
    answer.body(Full::new(Bytes::from_static(body.as_bytes()))).unwrap()
}

/// The statuses of answers, all of which must be the service's own.
fn statuses(answers: &str) -> Vec<&str> {
    answers.split("HTTP/1.").skip(1).map(|answer| &answer[2..5]).filter(|s| *s != "100").collect()
}

#[test]
fn the_library_sees_as_many_requests_as_there_are_and_none_for_a_refused_head() {
    for message in good_heads().into_iter().chain(good_bodies()) {
        let bytes = format!("{message}{GOOD}");
        for cut in [0, 1, message.len() / 2, message.len() - 1, message.len()] {
            let served = serve(Client::new(bytes.as_bytes(), [cut]));
            assert_eq!(statuses(&served.answers), ["200", "200"], "{bytes:?} cut at {cut}");
            assert_eq!((served.bodies.len(), served.refused), (2, None), "{bytes:?}");
        }
    }
    for message in GOOD_LAST {
        let served = serve(Client::new(message.as_bytes(), []));
        assert_eq!(statuses(&served.answers), ["200"], "{message:?}");
    }
    for head in bad_heads() {
        let bytes = format!("{GOOD}{head}");
        let served = serve(Client::new(bytes.as_bytes(), []));
        assert_eq!(statuses(&served.answers), ["200", "400"], "{bytes:?}");
        assert!(served.answers.ends_with("refused"), "{bytes:?}: {}", served.answers);
        assert_eq!(served.bodies.len(), 1, "{bytes:?}");
    }
    for body in BAD_CHUNKS {
        let bytes = format!("{GOOD}{}{GOOD}", chunked(body));
        let served = serve(Client::new(bytes.as_bytes(), []));
        assert_eq!(statuses(&served.answers), ["200", "400"], "{bytes:?}");
        assert_eq!(served.bodies, [Ok(Bytes::new()), Err(())], "{bytes:?}");
    }
}

#[test]
fn a_body_that_its_client_breaks_off_is_a_broken_one() {
    for bytes in [head("Content-Length: 5") + "ab", chunked("5\r\nab"), chunked("2\r\nab\r\n0\r\n")]
    {
        assert_eq!(serve(Client::new(bytes.as_bytes(), [])).bodies, [Err(())], "{bytes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_that_has_begun_is_waited_for_from_then_on() {
    let (mut client, server) = duplex(64);
    let (mut gate, connection) = gate(server);
    connection.wait_for(Waiting::Request, 0);
    let mut buf = [0; 64];
    for (sent, waiting) in [("\r\n", Waiting::Request), ("G", Waiting::Head)] {
        client.write_all(sent.as_bytes()).await.unwrap();
        assert!(gate.read(&mut buf).now_or_never().is_none());
        assert_eq!(connection.waiting().0, waiting, "{sent:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_take_its_answer_is_noticed() {
    let (mut client, server) = duplex(4);
    let (mut gate, connection) = gate(server);
    gate.write_all(b"1234").await.unwrap();
    assert_eq!(connection.stuck_since(), None);
    assert!(gate.write_all(b"5").now_or_never().is_none());
    assert_eq!(connection.stuck_since(), Some(1));
    client.read_exact(&mut [0]).await.unwrap();
    gate.write_all(b"5").await.unwrap();
    assert_eq!(connection.stuck_since(), None);
}

#[tokio::test(start_paused = true)]
async fn behind_a_refusal_so_much_is_read_off_and_the_end_comes_within_a_second() {
    for (sent, whole) in [(LINGER_BYTES / 2, true), (LINGER_BYTES * 2, false)] {
        let (mut client, server) = duplex(LINGER_BYTES * 4);
        let (mut gate, _) = gate(server);
        client.write_all(b"\0").await.unwrap();
        gate.read_exact(&mut [0; PLACEHOLDER.len()]).await.unwrap();
        client.write_all(&vec![b'x'; sent]).await.unwrap();
        let begun = Instant::now();
        gate.shutdown().await.unwrap();
        assert_eq!(begun.elapsed().as_millis().div_ceil(10), LINGER.as_millis().div_ceil(10));
        let mut left = [0; 1];
        let unread = gate.stream.read(&mut left).now_or_never();
        assert_eq!(unread.is_none(), whole, "{sent}");
    }
}

/// Sound messages, each with its body.
fn message() -> impl Strategy<Value = (String, String)> {
    let body = "[a-z\r\n]{0,40}";
    let plain = |body: String| (head(&format!("Content-Length: {}", body.len())) + &body, body);
    let chunks = |parts: Vec<String>| {
        let chunk = |part: &String| format!("{:x};e=f\r\n{part}\r\n", part.len());
        let chunks = parts.iter().map(chunk).collect::<Vec<_>>().concat();
        (chunked(&format!("{chunks}0\r\nTrailer: t\r\n\r\n")), parts.concat())
    };
    prop_oneof![
        Just((GOOD.to_owned(), String::new())),
        body.prop_map(plain),
        proptest::collection::vec("[a-z\r\n]{1,20}", 0..4).prop_map(chunks),
    ]
}

proptest! {
    #[test]
    fn the_library_finds_the_messages_that_were_sent(
        messages in proptest::collection::vec(message(), 1..8),
        cuts in proptest::collection::vec(1usize..60, 0..40),
    ) {
        let bytes: String = messages.iter().map(|(bytes, _)| bytes.as_str()).collect();
        let served = serve(Client::new(bytes.as_bytes(), cuts));
        let bodies: Vec<_> = messages.into_iter().map(|(_, body)| Ok(Bytes::from(body))).collect();
        prop_assert_eq!(served.bodies, bodies);
        prop_assert_eq!(served.refused, None);
    }

    #[test]
    fn the_library_and_the_gate_agree_on_what_a_flaw_makes_of_them(
        messages in proptest::collection::vec(message(), 1..5),
        cuts in proptest::collection::vec(1usize..60, 0..40),
        flaws in proptest::collection::vec((any::<prop::sample::Index>(), flaw()), 1..4),
    ) {
        let mut bytes = messages.into_iter().map(|(bytes, _)| bytes).collect::<String>().into_bytes();
        for (at, byte) in flaws {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        // That version ends its connection.
        prop_assume!(!bytes.windows(8).any(|eight| eight == b"HTTP/1.0"));
        let outcome = outcome(Client::new(&bytes, cuts.clone()), 8192);
        let served = serve(Client::new(&bytes, cuts));
        let number = |(number, refusal): (u64, Refusal)| (number as usize, refusal);
        prop_assert_eq!(served.refused, outcome.refused.map(number));
        prop_assert_eq!(served.bodies.len(), outcome.heads as usize);
        let good = served.bodies.iter().filter(|body| body.is_ok()).count();
        let answered = statuses(&served.answers);
        prop_assert_eq!(answered.iter().filter(|status| **status == "200").count(), good);
        let ends = answered.iter().filter(|status| **status == "400").count();
        prop_assert_eq!(ends, usize::from(good < answered.len()));
        prop_assert_eq!(answered.len(), good + ends);
    }

    #[test]
    fn no_bytes_make_the_gate_panic_or_wait_for_nothing(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        cuts in proptest::collection::vec(1usize..40, 0..20),
    ) {
        let chunks = chunked("").into_bytes();
        for begin in [&b""[..], b"GET / HTTP/1.1\r\n", &chunks] {
            outcome(Client::new(&[begin, &bytes].concat(), cuts.clone()), 64);
        }
    }
}

/// Bytes that matter, and any others.
fn flaw() -> impl Strategy<Value = u8> {
    prop_oneof![proptest::sample::select(&b"\r\n\0 \t:;,0129aF/?#*\x7f\x80"[..]), any::<u8>()]
}
