//! Clients that send whatever they like, fed from memory piece by piece.

mod answers;
mod inputs;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use futures_util::FutureExt as _;
use http::Response;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadBuf, duplex};
use tokio::time::Instant;

use self::inputs::{BAD_CHUNKS, GOOD_LAST, bad_heads, chunked, good_bodies, good_heads, head};
use super::linger::{LINGER, LINGER_BYTES};
use super::*;
use crate::domain::{Reason, Refusal};

const MAX_HEAD: usize = 1024;
const GOOD: &str = "GET /next HTTP/1.1\r\nHost: a\r\n\r\n";

type Answer = Response<UnsyncBoxBody<Bytes, io::Error>>;

/// A client that sends these pieces, each at one reading, and closes its side.
struct Pieces {
    pieces: VecDeque<Vec<u8>>,
    answers: Rc<RefCell<Vec<u8>>>,
}

impl Pieces {
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

impl AsyncRead for Pieces {
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

impl AsyncWrite for Pieces {
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

fn client<S: AsyncRead + AsyncWrite + Unpin + 'static>(stream: S) -> Client<S> {
    Client::new(stream, BytesMut::new(), MAX_HEAD, Rc::new(Stock::new(0)))
}

/// Serves a connection as the gateway does, with `handle` in the place of the gateway's own way.
async fn converse<S: AsyncRead + AsyncWrite + Unpin + 'static>(
    stream: S,
    handle: impl AsyncFn(Result<Request<Option<Body>>, Refusal>) -> Answer,
) {
    let client = client(stream);
    loop {
        let Ok(next) = poll_fn(|cx| client.poll_next(cx)).await else { return };
        let (request, terms) = match next {
            Next::Request(Head { request, framing, terms }) => {
                (Ok(request.map(|()| client.body(framing))), terms)
            }
            Next::Refused(refusal) => (Err(refusal), UNREADABLE),
            Next::End => break,
        };
        let answer = handle(request).await;
        let written: Result<_, io::Error> =
            client.answer(answer, terms, terms.keep_alive, |_| ()).await;
        let Ok(is_last) = written else { return };
        if !client.settled().await || is_last {
            break;
        }
    }
    client.close().await;
}

fn answer(status: u16, body: &'static str) -> Answer {
    let mut answer = Response::builder().status(status);
    if status == 400 {
        answer = answer.header("connection", "close");
    }
    answer.body(Full::from(body).map_err(|never| match never {}).boxed_unsync()).unwrap()
}

/// Names and values in their order.
type Fields = Vec<(String, Vec<u8>)>;

/// A request as it was served.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    line: String,
    fields: Fields,
    /// With the trailers; `Err` where it did not come to its end.
    body: Result<(Bytes, Fields), ()>,
}

/// What becomes of a client's bytes.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    seen: Vec<Seen>,
    /// How many requests came before, and why the next was refused.
    refused: Option<(usize, Refusal)>,
    answers: String,
}

fn fields(map: &http::HeaderMap) -> Fields {
    map.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect()
}

fn outcome(pieces: Pieces) -> Outcome {
    let answers = Rc::clone(&pieces.answers);
    let (seen, refused) = (RefCell::new(Vec::new()), RefCell::new(None));
    let serving = converse(pieces, async |request| {
        let request = match request {
            Ok(request) => request,
            Err(refusal) => {
                *refused.borrow_mut() = Some((seen.borrow().len(), refusal));
                return answer(400, "refused");
            }
        };
        let (head, body) = request.into_parts();
        let line = format!("{} {} {:?}", head.method, head.uri, head.version);
        let body = match body {
            None => Ok((Bytes::new(), Vec::new())),
            Some(body) => body.collect().await.map_err(drop).map(|all| {
                let trailers = all.trailers().map(fields).unwrap_or_default();
                (all.to_bytes(), trailers)
            }),
        };
        let status = if body.is_ok() { 200 } else { 400 };
        seen.borrow_mut().push(Seen { line, fields: fields(&head.headers), body });
        answer(status, "")
    });
    run(serving);
    let answers = String::from_utf8(answers.take()).unwrap();
    Outcome { seen: seen.take(), refused: refused.take(), answers }
}

/// Runs something that must come to its end.
fn run(future: impl Future<Output = ()>) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let future = async { tokio::time::timeout(Duration::from_mins(1), future).await };
    runtime.unwrap().block_on(future).expect("it ends");
}

/// The outcome, which must be the same however the bytes are cut.
fn at_every_split(bytes: &str) -> Outcome {
    let bytes = bytes.as_bytes();
    let text = bytes.escape_ascii();
    let whole = outcome(Pieces::new(bytes, []));
    for at in 1..bytes.len() {
        assert_eq!(outcome(Pieces::new(bytes, [at])), whole, "cut at {at}: {text}");
    }
    let single = std::iter::repeat_n(1, bytes.len());
    assert_eq!(outcome(Pieces::new(bytes, single)), whole, "single: {text}");
    whole
}

/// The statuses of answers.
fn statuses(answers: &str) -> Vec<&str> {
    answers.split("HTTP/1.").skip(1).map(|answer| &answer[2..5]).filter(|s| *s != "100").collect()
}

#[test]
fn good_messages_are_served_however_they_are_cut() {
    for message in good_heads().into_iter().chain(good_bodies()) {
        for (bytes, count) in [(message.clone(), 1), (format!("{message}{GOOD}"), 2)] {
            let outcome = at_every_split(&bytes);
            assert_eq!(outcome.refused, None, "{bytes:?}");
            assert_eq!(statuses(&outcome.answers), vec!["200"; count], "{bytes:?}");
            assert_eq!(outcome.seen.len(), count, "{bytes:?}");
        }
    }
    for message in GOOD_LAST {
        let outcome = at_every_split(&format!("{message}{GOOD}"));
        assert_eq!((outcome.seen.len(), outcome.refused), (1, None), "{message:?}");
        assert_eq!(statuses(&outcome.answers), ["200"], "{message:?}");
    }
}

#[test]
fn a_refused_head_is_answered_and_nothing_behind_it_is_read() {
    for head in bad_heads() {
        for behind in [String::new(), GOOD.to_owned()] {
            // What breaks off goes on with what follows.
            if !behind.is_empty() && !head.ends_with("\r\n\r\n") {
                continue;
            }
            let outcome = at_every_split(&format!("{GOOD}{head}{behind}"));
            assert_eq!(statuses(&outcome.answers), ["200", "400"], "{head:?}");
            assert!(outcome.answers.ends_with("refused"), "{head:?}");
            assert_eq!(outcome.seen.len(), 1, "{head:?}");
            let Some((1, Refusal::BadRequest(_))) = outcome.refused else {
                panic!("{head:?}: {:?}", outcome.refused);
            };
        }
    }
}

#[test]
fn a_broken_body_has_no_end_and_nothing_comes_behind_it() {
    for body in BAD_CHUNKS {
        let outcome = at_every_split(&format!("{GOOD}{}{GOOD}", chunked(body)));
        let bodies: Vec<bool> = outcome.seen.iter().map(|seen| seen.body.is_ok()).collect();
        assert_eq!((bodies, outcome.refused), (vec![true, false], None), "{body:?}");
        assert_eq!(statuses(&outcome.answers), ["200", "400"], "{body:?}");
    }
    for bytes in [head("Content-Length: 5") + "ab", chunked("5\r\nab"), chunked("2\r\nab\r\n0\r\n")]
    {
        assert!(at_every_split(&bytes).seen[0].body.is_err(), "{bytes:?}");
    }
}

#[test]
fn a_head_has_its_greatest_length_and_no_byte_more() {
    let frame = "GET / HTTP/1.1\r\nHost: a\r\nLong: \r\n\r\n".len();
    let long = |length: usize| {
        format!("GET / HTTP/1.1\r\nHost: a\r\nLong: {}\r\n\r\n", "x".repeat(length - frame))
    };
    assert_eq!(at_every_split(&long(MAX_HEAD)).seen.len(), 1);
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
    assert_eq!(at_every_split(&with(100)).seen.len(), 1);
    assert_eq!(at_every_split(&with(101)).refused, Some((0, Reason::HeadersTooLarge.into())));
}

#[test]
fn a_client_that_says_nothing_or_an_empty_line_is_not_refused() {
    for bytes in ["", "\r\n"] {
        let outcome = at_every_split(&format!("{GOOD}{bytes}"));
        assert_eq!((outcome.refused, outcome.seen.len()), (None, 1), "{bytes:?}");
    }
}

#[test]
fn chunks_are_joined_and_trailers_come_behind_them() {
    let body = "3;x=y\r\nabc\r\n1\r\nd\r\n0\r\nSum: 1\r\nsum: 2 \r\n\r\n";
    let outcome = at_every_split(&(chunked(body) + GOOD));
    let trailer = |value: &str| ("sum".to_owned(), value.as_bytes().to_vec());
    let whole = Ok((Bytes::from("abcd"), vec![trailer("1"), trailer("2")]));
    assert_eq!(outcome.seen[0].body, whole);
    assert_eq!(outcome.seen.len(), 2);
}

#[test]
fn requests_that_come_at_once_are_answered_in_turn() {
    let two = head("Content-Length: 3") + "abc" + &chunked("1\r\nd\r\n0\r\n\r\n");
    let outcome = outcome(Pieces::new(two.repeat(50).as_bytes(), []));
    assert_eq!(outcome.seen.len(), 100);
    assert_eq!(statuses(&outcome.answers), ["200"; 100]);
    let body = |seen: &Seen| seen.body.clone().unwrap().0;
    assert!(
        outcome
            .seen
            .chunks(2)
            .all(|two| (body(&two[0]), body(&two[1])) == ("abc".into(), "d".into()))
    );
}

#[tokio::test(start_paused = true)]
async fn a_head_has_begun_from_its_first_byte_but_not_with_an_empty_line() {
    let (mut peer, server) = duplex(64);
    let client = client(server);
    for (sent, begun) in [("\r\n", false), ("G", true)] {
        peer.write_all(sent.as_bytes()).await.unwrap();
        assert!(poll_fn(|cx| client.poll_next(cx)).now_or_never().is_none());
        assert_eq!(client.has_begun(), begun, "{sent:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn behind_a_refusal_so_much_is_read_off_and_the_end_comes_within_a_second() {
    for (sent, whole) in [(LINGER_BYTES / 2, true), (LINGER_BYTES * 2, false)] {
        let (mut peer, server) = duplex(LINGER_BYTES * 4);
        let client = client(server);
        peer.write_all(b"\0").await.unwrap();
        let next = poll_fn(|cx| client.poll_next(cx)).await;
        assert!(matches!(next, Ok(Next::Refused(_))));
        peer.write_all(&vec![b'x'; sent]).await.unwrap();
        let begun = Instant::now();
        client.close().await;
        assert_eq!(begun.elapsed().as_millis().div_ceil(10), LINGER.as_millis().div_ceil(10));
        let (mut stream, _) = client.into_parts().unwrap();
        assert_eq!(stream.read(&mut [0]).now_or_never().is_none(), whole, "{sent}");
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
    fn the_messages_that_were_sent_are_found(
        messages in proptest::collection::vec(message(), 1..8),
        cuts in proptest::collection::vec(1usize..60, 0..40),
    ) {
        let bytes: String = messages.iter().map(|(bytes, _)| bytes.as_str()).collect();
        let outcome = outcome(Pieces::new(bytes.as_bytes(), cuts));
        let found: Vec<_> =
            outcome.seen.into_iter().map(|seen| seen.body.map(|(body, _)| body)).collect();
        let bodies: Vec<_> = messages.into_iter().map(|(_, body)| Ok(Bytes::from(body))).collect();
        prop_assert_eq!(found, bodies);
        prop_assert_eq!(outcome.refused, None);
    }

    #[test]
    fn a_flaw_ends_a_connection_with_one_answer_at_most(
        messages in proptest::collection::vec(message(), 1..5),
        cuts in proptest::collection::vec(1usize..60, 0..40),
        flaws in proptest::collection::vec((any::<prop::sample::Index>(), flaw()), 1..4),
    ) {
        let mut bytes = messages.into_iter().map(|(bytes, _)| bytes).collect::<String>().into_bytes();
        for (at, byte) in flaws {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let whole = outcome(Pieces::new(&bytes, []));
        prop_assert_eq!(&whole, &outcome(Pieces::new(&bytes, cuts)));
        let answered = statuses(&whole.answers);
        let good = whole.seen.iter().filter(|seen| seen.body.is_ok()).count();
        prop_assert_eq!(answered.iter().filter(|status| **status == "200").count(), good);
        prop_assert!(answered.len() <= good + 1);
    }

    #[test]
    fn no_bytes_make_it_panic_or_wait_for_nothing(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        cuts in proptest::collection::vec(1usize..40, 0..20),
    ) {
        let chunks = chunked("").into_bytes();
        for begin in [&b""[..], b"GET / HTTP/1.1\r\n", &chunks] {
            outcome(Pieces::new(&[begin, &bytes].concat(), cuts.clone()));
        }
    }
}

/// Bytes that matter, and any others.
fn flaw() -> impl Strategy<Value = u8> {
    prop_oneof![proptest::sample::select(&b"\r\n\0 \t:;,0129aF/?#*\x7f\x80"[..]), any::<u8>()]
}
