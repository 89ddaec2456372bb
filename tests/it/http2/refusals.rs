//! Refusals over HTTP/2: the stream ends, and nothing else.

use bytes::Bytes;

use super::client::{head, piece, whole};
use super::frames::{self, DATA, END_STREAM, HEADERS, NO_ERROR, RST_STREAM, frame};
use super::{Client, Frames, open, with};
use crate::support::{Origin, block_on};

const REFUSED: &str = r#"{"error":{"code":"unauthorized","message":"Invalid or missing API key"}}"#;

#[test]
fn a_refusal_ends_its_stream_and_leaves_the_connection_and_the_other_streams() {
    let origin = Origin::start();
    let (gateway, key) = open(&origin);
    block_on(async {
        let client = Client::connect(gateway.address()).await;
        let (waiting, mut body) = client.begin("POST", "/a", &with(&key)).await;
        for _ in 0..20 {
            let (answer, mut unread) = client.begin("POST", "/a", &[]).await;
            unread.send_data(vec![0; 10_000].into(), false).expect("the stream is open");
            let answer = whole(answer).await.expect("an answer comes");
            assert_eq!((answer.status, answer.text().as_str()), (401, REFUSED));
            assert_eq!(answer.header("content-type"), Some("application/json"));
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
            assert_eq!(answer.header("connection"), None);
        }
        body.send_data("late".into(), true).expect("the stream is open");
        assert_eq!(whole(waiting).await.expect("an answer comes").status, 200);
    });
    assert_eq!(origin.count(), 1);
}

#[test]
fn behind_the_answer_to_an_unread_body_comes_a_reset_without_an_error() {
    let origin = Origin::start();
    let (gateway, _) = open(&origin);
    let mut frames = Frames::connect(gateway.address());
    let fields = frames::get("/a", &[("content-length", "100000")]);
    frames.send(frames::headers(1, false, &fields));
    assert_eq!(frames.next_of(1).kind, HEADERS);
    let data = frames.next_of(1);
    assert_eq!((data.kind, data.flags & END_STREAM), (DATA, END_STREAM));
    assert_eq!(String::from_utf8_lossy(&data.payload), REFUSED);
    let reset = frames.next_of(1);
    assert_eq!((reset.kind, reset.code()), (RST_STREAM, NO_ERROR));
    // What was on its way is not taken for anything, and the connection goes on.
    frames.send(frame(DATA, END_STREAM, 1, &[b'x'; 10_000]));
    frames.send(frames::headers(3, true, &frames::get("/a", &[])));
    assert_eq!(frames.next_of(3).kind, HEADERS);
}

#[test]
fn a_body_that_turns_out_too_long_is_refused_and_never_completed() {
    let origin = Origin::scripted(|call| {
        call.read_body()?;
        call.answer(200, &[], b"never")
    });
    let (gateway, key) = open(&origin);
    block_on(async {
        let client = Client::connect(gateway.address()).await;
        let (answer, mut body) = client.begin("POST", "/small", &with(&key)).await;
        body.send_data("ten bytes.".into(), false).expect("the stream is open");
        body.send_data("more".into(), true).expect("the stream is open");
        let answer = whole(answer).await.expect("an answer comes");
        assert_eq!(answer.status, 413, "{}", answer.text());
        let said = [("x-api-key", key.secret()), ("content-length", "11")];
        assert_eq!(client.post("/small", &said, b"eleven byte").await.status, 413);
    });
    assert!(!String::from_utf8_lossy(&origin.bytes()).ends_with("0\r\n\r\n"));
}

#[test]
fn an_answer_that_breaks_off_upstream_breaks_off_for_the_client() {
    let origin = Origin::scripted(|call| {
        call.begin_answer(200, &[])?;
        call.piece(b"half")?;
        Err(std::io::ErrorKind::Other.into())
    });
    let (gateway, key) = open(&origin);
    block_on(async {
        let client = Client::connect(gateway.address()).await;
        let answer = head(client.ask("/a", &with(&key)).await).await.expect("an answer comes");
        let mut body = answer.into_body();
        assert_eq!(piece(&mut body).await.expect("a piece comes"), Some(Bytes::from("half")));
        assert!(piece(&mut body).await.is_err(), "the end must not look like one");
        assert_eq!(client.get("/a", &[]).await.status, 401, "the connection goes on");
    });
}

#[test]
fn connect_is_refused_as_a_method() {
    let origin = Origin::start();
    let (gateway, _) = open(&origin);
    let mut frames = Frames::connect(gateway.address());
    frames.send(frames::headers(1, true, &[(":method", "CONNECT"), (":authority", "a:443")]));
    let answer = frames.next_of(1);
    assert_eq!(answer.kind, HEADERS);
    let body = frames.next_of(1);
    assert!(String::from_utf8_lossy(&body.payload).contains("method_not_allowed"));
    assert_eq!(origin.count(), 0);
}
