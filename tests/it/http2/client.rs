//! A client of HTTP/2 that shows what came of each stream.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response, Version};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::support::PATIENCE;

/// One connection.
pub(super) struct Client {
    sender: SendRequest<Bytes>,
    driver: JoinHandle<Result<(), h2::Error>>,
}

/// An answer that has come to its end.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    pub(super) trailers: Option<HeaderMap>,
}

impl Whole {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next();
        assert!(values.next().is_none(), "{name} is there twice");
        value.map(|value| value.to_str().expect("a header of ASCII"))
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Client {
    /// Connects by prior knowledge.
    pub(super) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("the listener takes connections");
        stream.set_nodelay(true).expect("a socket takes options");
        let (sender, connection) = h2::client::handshake(stream).await.expect("it speaks HTTP/2");
        Self { sender, driver: tokio::spawn(connection) }
    }

    /// Connects, and waits until the gateway has said that it takes extended CONNECTs.
    pub(super) async fn connect_extended(address: SocketAddr) -> Self {
        let client = Self::connect(address).await;
        assert_eq!(client.get("/", &[]).await.status, 404);
        assert!(client.sender.is_extended_connect_protocol_enabled());
        client
    }

    /// Begins a request whose body comes later.
    pub(super) async fn begin(
        &self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
    ) -> (ResponseFuture, SendStream<Bytes>) {
        self.send(request(method, path, fields), false).await.expect("the request can be sent")
    }

    /// Sends a request without a body, whose answer is waited for later.
    pub(super) async fn ask(&self, path: &str, fields: &[(&str, &str)]) -> ResponseFuture {
        let sent = self.send(request("GET", path, fields), true).await;
        sent.expect("the request can be sent").0
    }

    /// Sends a request without a body.
    pub(super) async fn get(&self, path: &str, fields: &[(&str, &str)]) -> Whole {
        whole(self.ask(path, fields).await).await.expect("an answer comes")
    }

    /// Sends a request with a body.
    pub(super) async fn post(&self, path: &str, fields: &[(&str, &str)], body: &[u8]) -> Whole {
        let (answer, mut stream) = self.begin("POST", path, fields).await;
        stream.send_data(Bytes::copy_from_slice(body), true).expect("the stream is open");
        whole(answer).await.expect("an answer comes")
    }

    /// Sends any request's head.
    pub(super) async fn send(
        &self,
        request: Request<()>,
        ends: bool,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
        let ready = timeout(PATIENCE, self.sender.clone().ready()).await;
        ready.expect("the connection takes streams")?.send_request(request, ends)
    }

    /// Waits until the other side has closed the connection; how.
    pub(super) async fn closed(self) -> Result<(), h2::Error> {
        drop(self.sender);
        let ended = timeout(PATIENCE, self.driver).await.expect("the connection is closed");
        ended.expect("the driver does not panic")
    }
}

/// A request's head.
fn request(method: &str, path: &str, fields: &[(&str, &str)]) -> Request<()> {
    let uri = format!("http://api.example{path}");
    let mut request = Request::builder().method(method).uri(uri).version(Version::HTTP_2);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).expect("a well-formed head")
}

/// Reads an answer to its end.
pub(super) async fn whole(answer: ResponseFuture) -> Result<Whole, h2::Error> {
    let (parts, mut stream) = head(answer).await?.into_parts();
    let mut body = Vec::new();
    while let Some(piece) = piece(&mut stream).await? {
        body.extend_from_slice(&piece);
    }
    let trailers = timeout(PATIENCE, stream.trailers()).await.expect("the answer ends")?;
    Ok(Whole { status: parts.status.as_u16(), headers: parts.headers, body, trailers })
}

/// Waits for an answer's head.
pub(super) async fn head(answer: ResponseFuture) -> Result<Response<RecvStream>, h2::Error> {
    timeout(PATIENCE, answer).await.expect("an answer comes")
}

/// The next piece of a body, and room for more.
pub(super) async fn piece(stream: &mut RecvStream) -> Result<Option<Bytes>, h2::Error> {
    let piece = timeout(PATIENCE, stream.data()).await.expect("a piece comes").transpose()?;
    if let Some(piece) = &piece {
        stream.flow_control().release_capacity(piece.len())?;
    }
    Ok(piece)
}
