use std::convert::Infallible;

use futures_util::stream::{self, StreamExt as _};
use http::{HeaderMap, HeaderValue};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, Full, StreamBody};
use tokio::io::{AsyncWriteExt as _, DuplexStream, duplex};
use tokio::task::yield_now;

use super::*;

type TestBody = UnsyncBoxBody<Bytes, BoxError>;
type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Client = Connection<DuplexStream, TestBody>;

/// A connection that takes so many bytes at once, and its other end.
fn connected(room: usize) -> (Client, DuplexStream) {
    let (near, far) = duplex(room);
    (Connection::new(near, Rc::default()), far)
}

fn request(method: &str, body: TestBody) -> Box<Request<TestBody>> {
    let request = Request::builder().method(method).uri("/a?b").header("host", "h");
    Box::new(request.body(body).unwrap())
}

fn get() -> Box<Request<TestBody>> {
    request("GET", empty())
}

fn empty() -> TestBody {
    Empty::new().map_err(unfailing).boxed_unsync()
}

fn full(body: &'static [u8]) -> TestBody {
    Full::from(body).map_err(unfailing).boxed_unsync()
}

fn unfailing(never: Infallible) -> BoxError {
    match never {}
}

/// A body of unknown length of these frames, behind which it goes on without anything more, or ends.
fn streamed(frames: Vec<Frame<Bytes>>, ends: bool) -> TestBody {
    let frames = stream::iter(frames).map(Ok);
    let body = if ends { frames.boxed() } else { frames.chain(stream::pending()).boxed() };
    StreamBody::new(body).boxed_unsync()
}

fn data(text: &'static str) -> Frame<Bytes> {
    Frame::data(Bytes::from_static(text.as_bytes()))
}

/// An answer as it was read.
#[derive(Debug, PartialEq)]
struct Read {
    status: u16,
    headers: HeaderMap,
    body: String,
    trailers: Option<HeaderMap>,
}

async fn answer(client: &mut Client, request: Box<Request<TestBody>>) -> Result<Read, Error> {
    let head = client.send(request).await.map_err(|failed| failed.error)?;
    let (status, headers) = (head.status().as_u16(), head.headers().clone());
    let (body, trailers) = rest(client).await?;
    Ok(Read { status, headers, body, trailers })
}

async fn rest(client: &mut Client) -> Result<(String, Option<HeaderMap>), Error> {
    let (mut body, mut trailers) = (String::new(), None);
    while let Some(frame) = poll_fn(|cx| client.poll_frame(cx)).await {
        match frame?.into_data() {
            Ok(data) => body.push_str(std::str::from_utf8(&data).unwrap()),
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    Ok((body, trailers))
}

/// Reads until all of `end` has come.
async fn until(far: &mut DuplexStream, end: &str) -> String {
    let mut got = Vec::new();
    while !got.ends_with(end.as_bytes()) {
        got.push(far.read_u8().await.expect("the request goes on"));
    }
    String::from_utf8(got).unwrap()
}

/// What comes of a GET that is answered with these bytes, whatever the upstream does then.
async fn answered(bytes: &[u8], closes: bool) -> (Result<Read, Error>, Client) {
    let (mut client, mut far) = connected(64 * 1024);
    far.write_all(bytes).await.unwrap();
    let far = if closes {
        drop(far);
        None
    } else {
        Some(far)
    };
    let read = answer(&mut client, get()).await;
    drop(far);
    (read, client)
}

#[tokio::test]
async fn an_answer_is_the_same_wherever_it_is_cut() {
    let plain = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nx: y\r\n\r\nhello";
    let chunked = "HTTP/1.1 103 Early\r\nlink: a\r\n\r\nHTTP/1.1 200 OK\r\ntransfer-encoding: \
        chunked\r\n\r\n3;e\r\nhel\r\n2\r\nlo\r\n0\r\nx-sum: 1\r\n\r\n";
    for (bytes, trailers) in [(plain, 0), (chunked, 1)] {
        for cut in 1..bytes.len() {
            let (mut client, mut far) = connected(1024);
            let (first, second) = bytes.as_bytes().split_at(cut);
            let upstream = async {
                until(&mut far, "\r\n\r\n").await;
                for piece in [first, second] {
                    far.write_all(piece).await.unwrap();
                    yield_now().await;
                }
            };
            let (read, ()) = tokio::join!(answer(&mut client, get()), upstream);
            let read = read.unwrap();
            assert_eq!((read.status, &*read.body), (200, "hello"), "{cut}");
            assert_eq!(read.trailers.unwrap_or_default().len(), trailers, "{cut}");
            assert!(client.is_reusable() && client.is_quiet(), "{cut}");
        }
    }
}

#[tokio::test]
async fn a_connection_carries_one_request_after_the_other() {
    let (mut client, mut far) = connected(1024);
    for method in ["GET", "HEAD", "GET"] {
        let upstream = async {
            let head = until(&mut far, "\r\n\r\n").await;
            assert_eq!(head, format!("{method} /a?b HTTP/1.1\r\nhost: h\r\n\r\n"));
            far.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n").await.unwrap();
            if method != "HEAD" {
                far.write_all(b"ok").await.unwrap();
            }
        };
        let (read, ()) = tokio::join!(answer(&mut client, request(method, empty())), upstream);
        let read = read.unwrap();
        assert_eq!(read.body, if method == "HEAD" { "" } else { "ok" });
        assert_eq!(read.headers["content-length"], "2");
        assert!(client.is_reusable() && client.is_quiet());
    }
}

#[tokio::test]
async fn a_body_goes_out_as_its_size_is_known_however_little_is_taken_at_once() {
    let long: &'static [u8] = Box::leak(vec![b'x'; 40_000].into());
    let framed = "1388\r\n".to_owned() + &"x".repeat(5_000) + "\r\n";
    let piece = || Frame::data(Bytes::from_static(&long[..5_000]));
    let trailers = HeaderMap::from_iter([("x-sum".parse().unwrap(), HeaderValue::from(7))]);
    let bodies = [
        (full(b"hello"), "content-length: 5\r\n\r\nhello".to_owned()),
        (full(long), format!("content-length: 40000\r\n\r\n{}", "x".repeat(40_000))),
        (
            streamed(vec![data("ab"), data(""), piece(), data("c")], true),
            format!("transfer-encoding: chunked\r\n\r\n2\r\nab\r\n{framed}1\r\nc\r\n0\r\n\r\n"),
        ),
        (
            streamed(vec![piece(), Frame::trailers(trailers)], true),
            format!("transfer-encoding: chunked\r\n\r\n{framed}0\r\nx-sum: 7\r\n\r\n"),
        ),
        (streamed(vec![], true), "\r\n".to_owned()),
    ];
    for (body, sent) in bodies {
        let (mut client, mut far) = connected(7);
        let upstream = async {
            let whole = format!("POST /a?b HTTP/1.1\r\nhost: h\r\n{sent}");
            assert_eq!(until(&mut far, &whole).await, whole);
            far.write_all(b"HTTP/1.1 204 None\r\n\r\n").await.unwrap();
        };
        let (read, ()) = tokio::join!(answer(&mut client, request("POST", body)), upstream);
        assert_eq!(read.unwrap().status, 204);
        assert!(client.is_reusable());
    }
}

#[tokio::test]
async fn the_fields_do_not_say_how_the_body_is_framed() {
    let (mut client, mut far) = connected(1024);
    let mut request = request("POST", full(b"hello"));
    for (name, value) in [("content-length", "3"), ("transfer-encoding", "chunked"), ("x", "y")] {
        request.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    let upstream = async {
        let sent = until(&mut far, "hello").await;
        assert!(sent.ends_with("\r\nx: y\r\ncontent-length: 5\r\n\r\nhello"), "{sent}");
        assert!(!sent.contains("chunked"), "{sent}");
        far.write_all(b"HTTP/1.1 204 None\r\n\r\n").await.unwrap();
    };
    assert!(tokio::join!(answer(&mut client, request), upstream).0.is_ok());
}

#[tokio::test]
async fn a_target_has_a_path_even_if_its_uri_has_none() {
    let targets =
        [("http://a?b", "/?b"), ("http://a", "/"), ("/?", "/?"), ("/%61", "/%61"), ("*", "*")];
    for (uri, sent) in targets {
        let (mut client, mut far) = connected(1024);
        let request = Request::options(uri).body(empty()).unwrap();
        far.write_all(b"HTTP/1.1 204 None\r\n\r\n").await.unwrap();
        client.send(Box::new(request)).await.ok().unwrap();
        let got = until(&mut far, "\r\n\r\n").await;
        assert_eq!(got, format!("OPTIONS {sent} HTTP/1.1\r\n\r\n"));
    }
}

#[tokio::test]
async fn an_early_answer_is_read_while_the_request_is_still_sent_and_ends_the_connection() {
    let (mut client, mut far) = connected(1024);
    far.write_all(b"HTTP/1.1 409 No\r\ncontent-length: 6\r\n\r\nenough").await.unwrap();
    let request = request("POST", streamed(vec![data("begun")], false));
    let read = answer(&mut client, request).await.unwrap();
    assert_eq!((read.status, &*read.body), (409, "enough"));
    assert!(!client.is_reusable());
    assert!(until(&mut far, "5\r\nbegun\r\n").await.starts_with("POST "));
}

#[tokio::test]
async fn an_answer_is_read_from_an_upstream_that_takes_no_more_of_the_request() {
    let (near, mut far) = duplex(64);
    // Its own end of the request is closed, the answer lies there.
    far.write_all(b"HTTP/1.1 413 Long\r\n\r\ntoo long").await.unwrap();
    let stream = OneWay { inner: near, left: 10 };
    let mut client = Connection::new(stream, Rc::default());
    let head = client.send(request("POST", full(&[b'x'; 5_000]))).await.ok().unwrap();
    assert_eq!(head.status(), 413);
    let data = poll_fn(|cx| client.poll_frame(cx)).await.unwrap().unwrap();
    assert_eq!(data.into_data().unwrap(), "too long");
    assert!(!client.is_reusable());
}

/// A stream that takes so many bytes and then fails.
struct OneWay {
    inner: DuplexStream,
    left: usize,
}

impl AsyncRead for OneWay {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl AsyncWrite for OneWay {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.left == 0 {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let taken = bytes.len().min(self.left);
        self.left -= taken;
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn a_request_goes_on_being_sent_while_its_answer_streams() {
    let (mut client, mut far) = connected(64);
    let body = streamed((0..50).map(|_| data("0123456789")).collect(), true);
    let upstream = async {
        until(&mut far, "\r\n\r\n").await;
        far.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
        for _ in 0..50 {
            until(&mut far, "0123456789\r\n").await;
            far.write_all(b"1\r\n.\r\n").await.unwrap();
        }
        until(&mut far, "0\r\n\r\n").await;
        far.write_all(b"0\r\n\r\n").await.unwrap();
    };
    let (read, ()) = tokio::join!(answer(&mut client, request("POST", body)), upstream);
    assert_eq!(read.unwrap().body, ".".repeat(50));
    assert!(client.is_reusable());
}

#[tokio::test]
async fn a_body_that_breaks_off_is_not_the_upstreams_fault() {
    let broken = stream::iter([Ok(data("a")), Err("gone".into())]);
    let (mut client, _far) = connected(1024);
    let body = StreamBody::new(broken).boxed_unsync();
    let failed = client.send(request("POST", body)).await.err().unwrap();
    assert!(matches!(failed.error, Error::Upload(_)) && failed.request.is_none());
    assert!(!client.is_reusable());
}

#[tokio::test]
async fn an_answer_that_ends_too_soon_is_none() {
    for (bytes, has_head) in [
        ("", false),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n", false),
        ("HTTP/1.1 100 Continue\r\n\r\n", false),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\na", true),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n", true),
    ] {
        let (near, mut far) = duplex(1024);
        let stream = OneWay { inner: near, left: usize::MAX };
        let mut client = Connection::new(stream, Rc::default());
        far.write_all(bytes.as_bytes()).await.unwrap();
        drop(far);
        let head = client.send(get()).await;
        assert_eq!(head.is_ok(), has_head, "{bytes:?}");
        let error = match head {
            Err(failed) => {
                assert!(failed.request.is_none(), "it has gone out");
                failed.error
            }
            Ok(_) => loop {
                if let Err(error) = poll_fn(|cx| client.poll_frame(cx)).await.unwrap() {
                    break error;
                }
            },
        };
        assert!(matches!(error, Error::Ended), "{bytes:?}: {error}");
        assert!(!client.is_reusable() && client.is_end_stream());
    }
}

#[tokio::test]
async fn what_came_before_a_body_breaks_off_can_be_passed_on_first() {
    let (near, mut far) = duplex(1024);
    let mut client = Connection::new(OneWay { inner: near, left: usize::MAX }, Rc::default());
    far.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf").await.unwrap();
    drop(far);
    client.send(get()).await.ok().unwrap();
    assert!(poll_fn(|cx| client.poll_frame(cx)).await.unwrap().is_ok());
    let first = poll_fn(|cx| Poll::Ready(client.poll_frame(cx).is_pending())).await;
    assert!(first && !client.is_end_stream(), "there is time to write it");
    assert!(poll_fn(|cx| client.poll_frame(cx)).await.unwrap().is_err());
    assert!(poll_fn(|cx| client.poll_frame(cx)).await.is_none());
}

#[tokio::test]
async fn a_body_without_a_length_ends_with_its_connection() {
    let (near, mut far) = duplex(1024);
    let mut client = Connection::new(OneWay { inner: near, left: usize::MAX }, Rc::default());
    far.write_all(b"HTTP/1.1 200 OK\r\n\r\nall of it").await.unwrap();
    drop(far);
    client.send(get()).await.ok().unwrap();
    let frame = poll_fn(|cx| client.poll_frame(cx)).await.unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap(), "all of it");
    assert!(poll_fn(|cx| client.poll_frame(cx)).await.is_none());
    assert!(!client.is_reusable());
}

#[tokio::test]
async fn bytes_behind_an_answer_end_the_connection() {
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let (read, client) = answered(format!("{answer}{answer}").as_bytes(), false).await;
    assert_eq!(read.unwrap().body, "ok");
    assert!(!client.is_reusable());
    let (mut client, mut far) = connected(1024);
    far.write_all(answer.as_bytes()).await.unwrap();
    client.send(get()).await.ok().unwrap();
    rest(&mut client).await.unwrap();
    assert!(client.is_reusable() && client.is_quiet());
    far.write_all(b"H").await.unwrap();
    assert!(!client.is_quiet());
}

#[tokio::test]
async fn too_many_interim_answers_are_none() {
    let interim = "HTTP/1.1 102 Processing\r\n\r\n";
    let last = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    let most = usize::from(MOST_INTERIM);
    let (read, _) = answered((interim.repeat(most) + last).as_bytes(), false).await;
    assert_eq!(read.unwrap().status, 200);
    let (read, _) = answered((interim.repeat(most + 1) + last).as_bytes(), false).await;
    assert!(matches!(read, Err(Error::Malformed(_))));
}

#[tokio::test]
async fn a_101_hands_the_connection_over_with_what_came_behind_it() {
    let (mut client, mut far) = connected(1024);
    far.write_all(b"HTTP/1.1 101 Switching\r\nupgrade: x\r\n\r\nearly").await.unwrap();
    let head = client.send(get()).await.ok().unwrap();
    assert_eq!(head.status(), 101);
    assert!(!client.is_reusable());
    assert_eq!(client.take_early(), "early");
    far.write_all(b"later").await.unwrap();
    let mut later = [0; 5];
    client.stream().read_exact(&mut later).await.unwrap();
    assert_eq!(&later, b"later");
}

#[tokio::test]
async fn a_closed_connection_is_noticed_and_gives_the_request_back() {
    for body in [empty(), full(b"hello")] {
        let (mut client, far) = connected(1024);
        assert!(client.is_quiet() && client.is_reusable());
        drop(far);
        assert!(!client.is_quiet());
        let is_empty = body.is_end_stream();
        let failed = client.send(request("PUT", body)).await.err().unwrap();
        // A body of which something was taken can not be put back.
        assert_eq!(failed.request.is_some(), is_empty);
        let given = failed.request.map(|request| (request.method().clone(), request.uri().clone()));
        assert_eq!(given, is_empty.then(|| (Method::PUT, "/a?b".parse().unwrap())));
    }
}

#[tokio::test]
async fn buffers_are_handed_from_one_connection_to_the_next() {
    let buffers = Rc::<Buffers>::default();
    let mut kept = Vec::new();
    for _ in 0..3 {
        let (near, mut far) = duplex(1024);
        let mut client: Client = Connection::new(near, Rc::clone(&buffers));
        far.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
        client.send(get()).await.ok().unwrap();
        rest(&mut client).await.unwrap();
        assert_eq!((client.input.capacity(), client.output.end().capacity()), (0, 0));
        let (mut input, output) = (buffers.input.take(), buffers.output.take());
        input.reserve(READ);
        kept.push((input.as_ptr(), output.as_ptr()));
        buffers.input.set(input);
        buffers.output.set(output);
        drop(far);
    }
    assert!(kept.iter().all(|one| *one == kept[0]), "nothing was allocated anew");
}
