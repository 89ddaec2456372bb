//! What a client gets, byte by byte.

use std::cell::Cell;

use http_body::Frame;
use http_body_util::StreamBody;

use super::*;

const DATE: &str = "date: Thu, 01 Jan 1970 00:00:00 GMT\r\n";

/// All that a client gets that sends so much at once and closes its side.
fn answered(sent: &str, handle: impl AsyncFn(Request<Option<Body>>) -> Answer) -> String {
    let pieces = Pieces::new(sent.as_bytes(), []);
    let answers = Rc::clone(&pieces.answers);
    run(converse(pieces, async |request| handle(request.expect("the head is good")).await));
    let answers = String::from_utf8(answers.take()).unwrap();
    assert!(answers.is_empty() || answers.contains(DATE), "{answers}");
    answers.replace(DATE, "")
}

/// An answer in pieces, whose length nobody says; the last may be a failure.
fn stream(pieces: &[Result<Frame<&'static str>, ()>]) -> Answer {
    let frames: Vec<_> = pieces
        .iter()
        .map(|piece| match piece {
            Ok(frame) => match frame.trailers_ref() {
                Some(trailers) => Ok(Frame::trailers(trailers.clone())),
                None => Ok(Frame::data(Bytes::from_static(frame.data_ref().unwrap().as_bytes()))),
            },
            Err(()) => Err(io::ErrorKind::Other.into()),
        })
        .collect();
    Response::new(StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync())
}

fn hello() -> Answer {
    stream(&[Ok(Frame::data("hel")), Ok(Frame::data("")), Ok(Frame::data("lo"))])
}

fn get(line: &str, fields: &str) -> String {
    format!("{line}\r\nHost: a\r\n{fields}\r\n")
}

#[test]
fn an_answer_says_its_length_or_comes_in_chunks() {
    let asked = get("GET / HTTP/1.1", "");
    assert_eq!(
        answered(&asked, async |_| answer(200, "hello")),
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
    );
    assert_eq!(
        answered(&asked, async |_| answer(404, "")),
        "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"
    );
    assert_eq!(
        answered(&asked, async |_| hello()),
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"
    );
    let sized = async |_| {
        let mut answer = hello();
        answer.headers_mut().insert("content-length", HeaderValue::from_static("5"));
        answer
    };
    assert_eq!(answered(&asked, sized), "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello");
}

#[test]
fn much_data_goes_out_as_it_is() {
    let long = "x".repeat(100_000);
    let body = |long: String| {
        let frames = [Ok::<_, io::Error>(Frame::data(Bytes::from(long)))];
        let body = StreamBody::new(futures_util::stream::iter(frames));
        Response::new(body.boxed_unsync())
    };
    let text = answered(&get("GET / HTTP/1.1", "").repeat(2), async |_| body(long.clone()));
    let one = format!(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n186A0\r\n{long}\r\n0\r\n\r\n"
    );
    assert_eq!(text, one.repeat(2));
}

#[test]
fn to_http_1_0_a_body_without_a_length_ends_with_the_connection() {
    let asked = get("GET / HTTP/1.0", "Connection: keep-alive\r\n");
    let hello_until_close = "HTTP/1.0 200 OK\r\n\r\nhello";
    assert_eq!(answered(&asked.repeat(2), async |_| hello()), hello_until_close);
    let kept = "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nhi";
    assert_eq!(answered(&asked.repeat(2), async |_| answer(200, "hi")), kept.repeat(2));
    let plain = get("GET / HTTP/1.0", "").repeat(2);
    let closed = "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nhi";
    assert_eq!(answered(&plain, async |_| answer(200, "hi")), closed);
}

#[test]
fn the_last_answer_says_so() {
    let asked = get("GET / HTTP/1.1", "Connection: close\r\n").repeat(2);
    let closed = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi";
    assert_eq!(answered(&asked, async |_| answer(200, "hi")), closed);
    let told = get("GET / HTTP/1.1", "").repeat(2);
    let closed = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi";
    assert_eq!(answered(&told, async |_| answer(400, "hi")), closed);
}

#[test]
fn what_has_no_content_has_no_body_and_keeps_its_connection() {
    let head = get("HEAD / HTTP/1.1", "").repeat(2);
    let length = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n";
    assert_eq!(answered(&head, async |_| answer(200, "hello")), length.repeat(2));
    let of_get = async |_| {
        let mut answer = answer(200, "");
        answer.headers_mut().insert("content-length", HeaderValue::from_static("5"));
        answer
    };
    assert_eq!(answered(&head, of_get), length.repeat(2));
    let bare = "HTTP/1.1 200 OK\r\n\r\n";
    assert_eq!(answered(&head, async |_| hello()), bare.repeat(2));
    let get = get("GET / HTTP/1.1", "").repeat(2);
    assert_eq!(
        answered(&get, async |_| answer(204, "")),
        "HTTP/1.1 204 No Content\r\n\r\n".repeat(2)
    );
    assert_eq!(
        answered(&get, async |_| answer(304, "no")),
        "HTTP/1.1 304 Not Modified\r\n\r\n".repeat(2)
    );
}

#[test]
fn trailers_pass_that_were_announced_to_who_reads_them() {
    let with_trailers = async |_| {
        let mut trailers = http::HeaderMap::new();
        trailers.insert("x-sum", HeaderValue::from_static("1"));
        trailers.insert("x-other", HeaderValue::from_static("2"));
        let mut answer = stream(&[Ok(Frame::data("hi")), Ok(Frame::trailers(trailers))]);
        answer.headers_mut().insert("trailer", HeaderValue::from_static("X-Sum, content-length"));
        answer
    };
    let head = "HTTP/1.1 200 OK\r\ntrailer: X-Sum, content-length\r\n\
                transfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n";
    let asked = get("GET / HTTP/1.1", "TE: trailers\r\n");
    assert_eq!(answered(&asked, with_trailers), format!("{head}x-sum: 1\r\n\r\n"));
    assert_eq!(answered(&get("GET / HTTP/1.1", ""), with_trailers), format!("{head}\r\n"));
    let old = answered(&get("GET / HTTP/1.0", "TE: trailers\r\n"), with_trailers);
    assert_eq!(old, "HTTP/1.0 200 OK\r\n\r\nhi");
}

#[test]
fn a_body_that_fails_or_is_too_short_ends_the_connection() {
    let asked = get("GET / HTTP/1.1", "").repeat(2);
    let fails = answered(&asked, async |_| stream(&[Ok(Frame::data("hi")), Err(())]));
    let begun = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n";
    assert_eq!(fails, begun);
    let sized = async |pieces: &[Result<Frame<&'static str>, ()>]| {
        let mut answer = stream(pieces);
        answer.headers_mut().insert("content-length", HeaderValue::from_static("3"));
        answer
    };
    let short = answered(&asked, async |_| sized(&[Ok(Frame::data("hi"))]).await);
    assert_eq!(short, "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nhi");
    let long = answered(&asked, async |_| sized(&[Ok(Frame::data("high"))]).await);
    assert_eq!(long, "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nhig".repeat(2));
}

#[test]
fn a_client_is_told_to_continue_when_its_body_is_asked_for_and_only_then() {
    let asked = head("Expect: 100-continue\r\nContent-Length: 2") + "hi";
    let read = async |request: Request<Option<Body>>| {
        assert_eq!(request.into_body().unwrap().collect().await.unwrap().to_bytes(), "hi");
        answer(200, "")
    };
    let fine = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    let told = format!("HTTP/1.1 100 Continue\r\n\r\n{fine}");
    assert_eq!(answered(&asked.repeat(2), read), told.repeat(2));
    // What is there already is read off.
    assert_eq!(answered(&asked.repeat(2), async |_| answer(200, "")), fine.repeat(2));
    let old = asked.replace("HTTP/1.1", "HTTP/1.0");
    assert_eq!(answered(&old, read), "HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n");
}

#[test]
fn of_a_body_that_nobody_reads_a_little_is_read_off() {
    let fine = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    for (length, answers) in [(60_000, 2), (70_000, 1)] {
        let asked = head(&format!("Content-Length: {length}")) + &"x".repeat(length);
        let asked = asked + &get("GET / HTTP/1.1", "");
        assert_eq!(answered(&asked, async |_| answer(200, "")), fine.repeat(answers), "{length}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_next_request_waits_until_the_body_before_it_is_read() {
    let (mut peer, server) = duplex(1024);
    let bodies = Rc::new(RefCell::new(Vec::new()));
    let kept = Rc::clone(&bodies);
    let serving = converse(server, async |request| {
        kept.borrow_mut().extend(request.unwrap().into_body());
        answer(200, "")
    });
    let mut serving = std::pin::pin!(serving);
    peer.write_all((head("Content-Length: 4") + "ab").as_bytes()).await.unwrap();
    assert!(serving.as_mut().now_or_never().is_none());
    let mut body = bodies.borrow_mut().pop().unwrap();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "ab");
    peer.write_all(b"cdGET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    peer.shutdown().await.unwrap();
    assert!(serving.as_mut().now_or_never().is_none(), "it answers nobody");
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "cd");
    assert!(http_body::Body::is_end_stream(&body) && body.frame().await.is_none());
    serving.await;
    let mut answers = String::new();
    peer.read_to_string(&mut answers).await.unwrap();
    assert_eq!(statuses(&answers), ["200", "200"]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_take_its_answer_is_noticed() {
    let (mut peer, server) = duplex(16);
    let client = client(server);
    let stuck = Cell::new(false);
    let writing = client.answer(answer(200, ""), UNREADABLE, true, |is_stuck| stuck.set(is_stuck));
    let mut writing = std::pin::pin!(writing);
    assert!(writing.as_mut().now_or_never().is_none());
    assert!(stuck.get());
    let mut answer = [0; 60];
    let (written, _): (Result<bool, io::Error>, _) =
        tokio::join!(writing, peer.read_exact(&mut answer));
    assert!(written.is_ok() && !stuck.get());
}
