//! Bytes as an upstream's answer, read by our client half and by the HTTP library's.

use std::future::{pending, poll_fn};
use std::rc::Rc;

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body::Frame;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::task::yield_now;

use crate::proxy::upstream::http1::{Connection, Error};

/// Why our reader refuses what the library takes.
const STRICTER: [&str; 9] = [
    "an empty line before the status line",
    "a line does not end with CRLF",
    "its head is too long",
    "its Content-Length is no number",
    "it has more than one Content-Length",
    "it has a Transfer-Encoding other than chunked",
    "it has a Transfer-Encoding in HTTP/1.0",
    "it has both Content-Length and Transfer-Encoding",
    "its body is badly chunked",
];
/// Answers before the last, of which the library takes any number.
const MOST_INTERIM: &str = "too many interim answers";

/// A scripted upstream: the first byte says what it is asked, the next three how long the pieces are
/// that the rest comes in. Then it closes its side.
struct Script<'a> {
    method: Method,
    pieces: [usize; 3],
    answer: &'a [u8],
}

/// A whole answer.
#[derive(Debug, PartialEq)]
struct Read {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
    trailers: Option<HeaderMap>,
}

/// What both take, both read alike; what the library refuses, so do we; what we refuse and the
/// library does not, for one of the reasons that are meant.
pub fn check(bytes: &[u8]) {
    let Some((&[method, first, second, third], answer)) = bytes.split_first_chunk() else { return };
    let method = if method % 4 == 3 { Method::HEAD } else { Method::GET };
    let pieces = [first, second, third].map(|length| usize::from(length).max(1));
    let script = Script { method, pieces, answer };
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let (ours, theirs) = runtime.block_on(async { (read(&script).await, library(&script).await) });
    match (ours, theirs) {
        (Ok(ours), theirs) => assert_eq!(Some(ours), theirs),
        (Err(_), None) => {}
        (Err(Error::Malformed(why)), Some(theirs)) => {
            let meant = STRICTER.contains(&why) || why == MOST_INTERIM;
            assert!(meant, "refused, since {why}: {theirs:?}");
        }
        (Err(error), Some(theirs)) => panic!("{error}: {theirs:?}"),
    }
}

impl Script<'_> {
    fn request(&self) -> Request<Empty<Bytes>> {
        let request = Request::builder().method(self.method.clone()).uri("/").header("host", "h");
        request.body(Empty::new()).expect("a request")
    }

    /// Plays the upstream; never ends.
    async fn play(&self, mut far: DuplexStream) {
        let mut asked = Vec::new();
        while !asked.ends_with(b"\r\n\r\n") {
            match far.read_u8().await {
                Ok(byte) => asked.push(byte),
                Err(_) => return pending().await,
            }
        }
        let (mut rest, mut pieces) = (self.answer, self.pieces.iter().cycle());
        while let Some(length) = pieces.next().filter(|_| !rest.is_empty()) {
            let (piece, behind) = rest.split_at(rest.len().min(*length));
            // Nobody reads on behind what is refused.
            if far.write_all(piece).await.is_err() {
                return pending().await;
            }
            rest = behind;
            yield_now().await;
        }
        far.shutdown().await.expect("it is in memory");
        pending::<()>().await;
    }
}

async fn read(script: &Script<'_>) -> Result<Read, Error> {
    let (near, far) = duplex(1024);
    let mut client = Connection::new(near, Rc::default());
    let reading = async {
        let head = client.send(Box::new(script.request())).await.map_err(|failed| failed.error)?;
        let (parts, ()) = head.into_parts();
        let mut read = Read::new(parts.status.as_u16(), parts.headers);
        while let Some(frame) = poll_fn(|cx| client.poll_frame(cx)).await {
            read.add(frame?);
        }
        Ok(read)
    };
    tokio::select! {
        biased;
        read = reading => read,
        () = script.play(far) => unreachable!("it never ends"),
    }
}

async fn library(script: &Script<'_>) -> Option<Read> {
    let (near, far) = duplex(1024);
    let (mut sender, connection) = http1::handshake(TokioIo::new(near)).await.ok()?;
    let reading = async {
        let head = sender.send_request(script.request()).await.ok()?;
        let (parts, mut body) = head.into_parts();
        let mut read = Read::new(parts.status.as_u16(), parts.headers);
        while let Some(frame) = body.frame().await {
            read.add(frame.ok()?);
        }
        Some(read)
    };
    let running = async {
        let _ = connection.await;
        pending::<()>().await;
    };
    tokio::select! {
        biased;
        read = reading => read,
        () = running => unreachable!("it never ends"),
        () = script.play(far) => unreachable!("it never ends"),
    }
}

impl Read {
    fn new(status: u16, headers: HeaderMap) -> Self {
        Self { status, headers, body: Vec::new(), trailers: None }
    }

    fn add(&mut self, frame: Frame<Bytes>) {
        match frame.into_data() {
            Ok(data) => self.body.extend_from_slice(&data),
            Err(frame) => self.trailers = frame.into_trailers().ok(),
        }
    }
}
