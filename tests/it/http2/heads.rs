//! Heads that HTTP/2 alone can get wrong: none reaches the upstream, none harms the connection.

use super::frames::{
    self, DATA, END_STREAM, GOAWAY, HEADERS, NO_ERROR, PROTOCOL_ERROR, RST_STREAM, frame, reset,
};
use super::{Client, Frames, open};
use crate::support::{Origin, block_on};

/// What came of a request: its stream's reset, or the text of its answer's body.
fn outcome(frames: &mut Frames, stream: u32) -> Result<String, u32> {
    let first = frames.next_of(stream);
    match first.kind {
        RST_STREAM | GOAWAY => Err(first.code()),
        HEADERS => Ok(String::from_utf8_lossy(&frames.next_of(stream).payload).into_owned()),
        other => panic!("a frame of kind {other}: {first:?}"),
    }
}

#[test]
fn a_malformed_head_resets_its_stream_or_connection_and_reaches_nobody() {
    let origin = Origin::start();
    let (gateway, key) = open(&origin);
    let secret = ("x-api-key", key.secret());
    let pseudo = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/a")];
    let with = |more: &[(&'static str, &'static str)]| [&pseudo[..], &[secret], more].concat();
    let mut malformed = vec![
        with(&[("connection", "close")]),
        with(&[("keep-alive", "5")]),
        with(&[("proxy-connection", "close")]),
        with(&[("transfer-encoding", "chunked")]),
        with(&[("upgrade", "h2c")]),
        with(&[("te", "gzip")]),
        with(&[("X-Upper", "a")]),
        with(&[("", "a")]),
        with(&[("spa ce", "a")]),
        with(&[("a:b", "a")]),
        with(&[("a", "b\r\nx-auth-key-id: forged")]),
        with(&[("a", "b\nc")]),
        with(&[("a", "b\0c")]),
        with(&[("a\r\nb", "c")]),
        with(&[(":path", "/b")]),
        with(&[(":unknown", "a")]),
        with(&[(":status", "200")]),
        with(&[(":protocol", "websocket")]),
        with(&[("content-length", "+1")]),
        with(&[("content-length", "1, 1")]),
        with(&[("content-length", "5")]),
    ];
    for without in [":method", ":scheme", ":path"] {
        malformed.push(with(&[]).into_iter().filter(|(name, _)| *name != without).collect());
    }
    for path in ["a", "", "/a b", "/a\u{7f}", "/a\rb", "http://a/b"] {
        malformed.push(frames::get(path, &[secret]));
    }
    let mut frames = Frames::connect(gateway.address());
    let mut stream = 1;
    for fields in malformed {
        frames.send(frames::headers(stream, true, &fields));
        let end = frames.next_of(stream);
        match end.kind {
            RST_STREAM => stream += 2,
            GOAWAY => {
                frames = Frames::connect(gateway.address());
                stream = 1;
            }
            other => panic!("a frame of kind {other} for {fields:?}"),
        }
        // The same connection still serves, or another does.
        frames.send(frames::headers(stream, true, &frames::get("/public", &[])));
        assert_eq!(outcome(&mut frames, stream), Ok(r#"{"ok":true}"#.to_owned()), "{fields:?}");
        stream += 2;
    }
    assert!(origin.received().iter().all(|request| request.target == "/public"));
}

#[test]
fn an_ambiguous_head_is_refused_in_words() {
    let origin = Origin::start();
    let (gateway, key) = open(&origin);
    let secret = key.secret();
    let mut frames = Frames::connect(gateway.address());
    let get = |authority: Option<&'static str>, path: &'static str| {
        let authority = authority.map(|authority| (":authority", authority));
        let pseudo = [(":method", "GET"), (":scheme", "http"), (":path", path)];
        authority.into_iter().chain(pseudo).chain([("x-api-key", secret)]).collect::<Vec<_>>()
    };
    let a = Some("a");
    let mut stream = 1;
    for (fields, more, detail) in [
        (get(None, "/a"), vec![], "no Host"),
        (get(a, "/a"), vec![("host", "b")], "Host differs from :authority"),
        (get(None, "/a"), vec![("host", "a"), ("host", "a")], "more than one Host"),
        (get(None, "/a"), vec![("host", "a/b")], "an invalid Host"),
        (get(Some("u@a"), "/a"), vec![], "an invalid Host"),
        (get(a, "?a"), vec![], "the target is no path"),
        (get(a, "/a/../b"), vec![], "a dot segment in the path"),
        (get(a, "//a"), vec![], "an empty segment in the path"),
        (get(a, "/a%2fb"), vec![], "an encoded slash or backslash in the path"),
    ] {
        frames.send(frames::headers(stream, true, &[&fields[..], &more].concat()));
        let answer = outcome(&mut frames, stream).expect("an answer");
        let code = "bad_request";
        assert!(answer.contains(code), "{fields:?}: {answer}");
        assert!(answer.contains(detail), "{detail}: {answer}");
        stream += 2;
    }
    assert_eq!(origin.count(), 0);
}

#[test]
fn what_stands_behind_a_hash_is_neither_matched_nor_sent_on() {
    let origin = Origin::start();
    let (gateway, _) = open(&origin);
    let mut frames = Frames::connect(gateway.address());
    for (stream, path) in [(1, "/public#/../secret"), (3, "/public?a#/secret")] {
        frames.send(frames::headers(stream, true, &frames::get(path, &[])));
        assert_eq!(outcome(&mut frames, stream), Ok(r#"{"ok":true}"#.to_owned()));
        assert_eq!(origin.last().target, path.split('#').next().expect("a path"));
    }
}

#[test]
fn a_length_that_is_not_the_bodys_never_completes_upstream() {
    let origin = Origin::scripted(|call| {
        call.read_body()?;
        call.answer(200, &[], b"completed")
    });
    let (gateway, key) = open(&origin);
    for body in [&b"four"[..], b"sixsix"] {
        let mut frames = Frames::connect(gateway.address());
        let more = [("x-api-key", key.secret()), ("content-length", "5")];
        frames.send(frames::headers(1, false, &frames::get("/a", &more)));
        frames.send(frame(DATA, END_STREAM, 1, body));
        assert_eq!(outcome(&mut frames, 1), Err(PROTOCOL_ERROR));
    }
    let complete = |received: &crate::support::origin::Received| received.body.len() == 5;
    assert!(!origin.received().iter().any(complete), "{:?}", origin.received());
}

#[test]
fn a_body_that_is_broken_off_without_an_error_never_completes_upstream() {
    let origin = Origin::scripted(|call| {
        call.read_body()?;
        call.answer(200, &[], b"completed")
    });
    let (gateway, key) = open(&origin);
    let mut frames = Frames::connect(gateway.address());
    let more = [("x-api-key", key.secret()), ("x-request-id", "broken")];
    let fields: Vec<_> = [(":method", "POST")]
        .into_iter()
        .chain(frames::get("/a", &more).into_iter().skip(1))
        .collect();
    frames.send(frames::headers(1, false, &fields));
    frames.send(frame(DATA, 0, 1, b"some"));
    origin.wait_for("the piece", |received| received.iter().any(|r| r.body == b"some"));
    frames.send(reset(1, NO_ERROR));
    assert_ne!(gateway.access_line("broken")["status"], 200);
    let bytes = origin.bytes();
    assert!(!bytes.ends_with(b"0\r\n\r\n"), "the body was completed");
}

#[test]
fn a_head_that_is_too_large_is_told_so_and_the_connection_goes_on() {
    let origin = Origin::start();
    let (gateway, key) = open(&origin);
    block_on(async {
        let client = Client::connect(gateway.address()).await;
        for (length, has_body) in [(33_000, true), (70_000, false)] {
            let large = "x".repeat(length);
            let fields = [("x-api-key", key.secret()), ("x-large", large.as_str())];
            let answer = client.get("/a", &fields).await;
            assert_eq!(
                (answer.status, answer.text().contains("headers_too_large")),
                (431, has_body)
            );
        }
        let many = vec![("x-many", "a"); 101];
        assert_eq!(client.get("/a", &many).await.status, 431);
        let fields = [("x-api-key", key.secret()), ("x-large", &"x".repeat(30_000))];
        assert_eq!(client.get("/a", &fields).await.status, 200);
    });
    assert_eq!(origin.count(), 1);
}
