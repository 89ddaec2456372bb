//! One attempt: a connection to an address that the guard let pass, one POST, the answer's status.
//!
//! No redirect is followed, no proxy is asked, no cookie kept; all of it ends within [`ATTEMPT`].

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HOST, USER_AGENT};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::guard::{Guard, GuardError};
use crate::domain::WebhookUrl;

/// How long an attempt may take, from the resolver's question to the answer's end.
pub(super) const ATTEMPT: Duration = Duration::from_secs(5);
/// How much of an answer is read, of its head and of its body each.
const READ: usize = 64 * 1024;
const AGENT: &str = concat!("keygate/", env!("CARGO_PKG_VERSION"));

/// Sends messages.
#[derive(Clone)]
pub(super) struct Sender {
    guard: Guard,
    tls: Arc<ClientConfig>,
}

/// What is sent.
#[derive(Clone, Debug)]
pub(super) struct Message {
    /// The event's id: `webhook-id`.
    pub(super) id: String,
    /// When it is sent, in seconds since the epoch: `webhook-timestamp`.
    pub(super) timestamp: i64,
    /// `webhook-signature`.
    pub(super) signature: String,
    /// JSON.
    pub(super) body: Bytes,
}

/// Why a message was not taken. Says nothing of the answer but its status.
#[derive(Debug, Error)]
pub(super) enum SendError {
    /// The endpoint says that it wants no more: 410 Gone.
    #[error("answered 410: the endpoint is gone")]
    Gone,
    /// It answered with another status than 2xx.
    #[error("answered {0}")]
    Answered(StatusCode),
    /// No connection was made.
    #[error(transparent)]
    Guard(#[from] GuardError),
    /// The connection could not be made secure.
    #[error("no TLS: {0}")]
    Tls(io::Error),
    /// What came was no answer.
    #[error("no proper answer: {0}")]
    Answer(hyper::Error),
    /// Nothing came in time.
    #[error("no answer within {} s", ATTEMPT.as_secs())]
    Late,
}

impl Sender {
    /// Sends to where `guard` lets it, with TLS by `tls`.
    pub(super) fn new(guard: Guard, tls: Arc<ClientConfig>) -> Self {
        Self { guard, tls }
    }

    /// Whether it sends to every address, and in clear.
    pub(super) fn allows_private_networks(&self) -> bool {
        self.guard.allow_private_networks
    }

    /// Sends a message once.
    pub(super) async fn send(&self, url: &WebhookUrl, message: &Message) -> Result<(), SendError> {
        timeout(ATTEMPT, self.attempt(url, message)).await.unwrap_or(Err(SendError::Late))
    }

    async fn attempt(&self, url: &WebhookUrl, message: &Message) -> Result<(), SendError> {
        let stream = self.guard.connect(url, ATTEMPT * 4 / 5).await?;
        let status = if url.is_tls() {
            let name = ServerName::try_from(url.host().to_owned());
            let name = name.map_err(|error| SendError::Tls(io::Error::other(error)))?;
            let connector = TlsConnector::from(Arc::clone(&self.tls));
            let stream = connector.connect(name, stream).await.map_err(SendError::Tls)?;
            exchange(stream, url, message).await?
        } else {
            exchange(stream, url, message).await?
        };
        match status {
            StatusCode::GONE => Err(SendError::Gone),
            status if status.is_success() => Ok(()),
            status => Err(SendError::Answered(status)),
        }
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    url: &WebhookUrl,
    message: &Message,
) -> Result<StatusCode, SendError> {
    let mut builder = http1::Builder::new();
    let handshake = builder.max_buf_size(READ).handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.map_err(SendError::Answer)?;
    let asked = async {
        let answer = sender.send_request(request(url, message)).await.map_err(SendError::Answer)?;
        Ok(read_off(answer).await)
    };
    tokio::pin!(connection, asked);
    tokio::select! {
        status = &mut asked => status,
        // Whatever ended it, the answer or its absence is with who asked.
        _ = &mut connection => asked.await,
    }
}

fn request(url: &WebhookUrl, message: &Message) -> Request<Full<Bytes>> {
    Request::post(url.target())
        .header(HOST, url.authority())
        .header(USER_AGENT, AGENT)
        .header(CONTENT_TYPE, "application/json")
        .header(CONNECTION, "close")
        .header("webhook-id", &message.id)
        .header("webhook-timestamp", message.timestamp)
        .header("webhook-signature", &message.signature)
        .body(Full::new(message.body.clone()))
        .expect("a checked URL, an id and base64 are good in a request")
}

/// Takes what comes of the body, so that the endpoint can end in peace; what is beyond the bound, or
/// late, changes nothing of what the status said.
async fn read_off(answer: Response<Incoming>) -> StatusCode {
    let status = answer.status();
    let mut body = answer.into_body();
    let mut read = 0;
    let all = async {
        while let Some(Ok(frame)) = body.frame().await {
            read += frame.data_ref().map_or(0, Bytes::len);
            if read > READ {
                break;
            }
        }
    };
    // Within the attempt's time, of which the rest is the endpoint's.
    let _ = timeout(ATTEMPT / 5, all).await;
    status
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;
    use std::net::SocketAddr;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::webhooks::guard::Network;

    /// Answers a public address first and the loopback's at every second look; connects to neither.
    #[derive(Default)]
    struct Rebinding {
        asked: AtomicUsize,
        connected: Mutex<Vec<SocketAddr>>,
    }

    #[async_trait]
    impl Network for Rebinding {
        async fn resolve(&self, _: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
            let turn = self.asked.fetch_add(1, Ordering::Relaxed);
            let address = if turn.is_multiple_of(2) { [1, 1, 1, 1] } else { [127, 0, 0, 1] };
            Ok(vec![SocketAddr::from((address, port))])
        }

        async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
            self.connected.lock().unwrap().push(address);
            Err(io::ErrorKind::ConnectionRefused.into())
        }
    }

    fn sender(network: &Arc<impl Network>, allow: bool) -> Sender {
        let network = Arc::clone(network) as Arc<dyn Network>;
        Sender::new(Guard::over(network, allow), crate::tls::beside_the_system(None).unwrap())
    }

    fn message() -> Message {
        let (id, signature) = ("evt_1".to_owned(), "v1,x".to_owned());
        Message { id, timestamp: 1, signature, body: Bytes::from_static(b"{}") }
    }

    #[tokio::test]
    async fn a_name_that_moves_to_the_loopback_at_the_second_look_is_never_connected_to_there() {
        let network = Arc::new(Rebinding::default());
        let sender = sender(&network, false);
        let url = WebhookUrl::parse("https://rebinding.example/", false).unwrap();
        for turn in 0..1_000 {
            let error = sender.send(&url, &message()).await.unwrap_err();
            let refused = matches!(error, SendError::Guard(GuardError::Forbidden));
            assert_eq!(refused, turn % 2 == 1, "{error}");
        }
        assert_eq!(network.asked.load(Ordering::Relaxed), 1_000, "each is resolved once");
        let connected = network.connected.lock().unwrap();
        assert_eq!(connected.len(), 500);
        assert!(connected.iter().all(|at| *at == "1.1.1.1:443".parse().unwrap()), "{connected:?}");
    }

    /// Leads every name, also a public one, to one listener of this machine.
    struct Leading(SocketAddr);

    #[async_trait]
    impl Network for Leading {
        async fn resolve(&self, _: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
            Ok(vec![SocketAddr::from(([1, 1, 1, 1], port))])
        }

        async fn connect(&self, _: SocketAddr) -> io::Result<TcpStream> {
            TcpStream::connect(self.0).await
        }
    }

    /// What a send to a public name comes to where the endpoint answers this.
    async fn answered(answer: &'static [u8], stays: bool) -> Result<(), SendError> {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let network = Arc::new(Leading(listener.local_addr().unwrap()));
        let endpoint = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut read = [0; 4096];
            let _ = stream.read(&mut read).await;
            let _ = stream.write_all(answer).await;
            while stays && stream.write_all(answer).await.is_ok() {}
        });
        let url = WebhookUrl::parse("http://public.example/x", true).unwrap();
        let sent = sender(&network, false).send(&url, &message()).await;
        endpoint.abort();
        sent
    }

    #[tokio::test]
    async fn the_status_alone_says_whether_it_was_taken() {
        let taken: &[&[u8]] = &[
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            b"HTTP/1.1 204 No Content\r\n\r\n",
            b"HTTP/1.1 202 Accepted\r\nContent-Length: 999999999\r\n\r\nbroken off",
        ];
        for answer in taken {
            answered(answer, false).await.unwrap();
        }
        let error = |answer| async move { answered(answer, false).await.unwrap_err().to_string() };
        let moved =
            b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(error(moved).await, "answered 302 Found");
        let broken = b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(error(broken).await, "answered 500 Internal Server Error");
        let gone = answered(b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n", false).await;
        assert!(matches!(gone, Err(SendError::Gone)));
        for none in [b"".as_slice(), b"hello\r\n\r\n", b"HTTP/1.1 "] {
            assert!(matches!(answered(none, false).await, Err(SendError::Answer(_))));
        }
    }

    #[tokio::test]
    async fn an_answer_without_an_end_is_read_to_a_bound() {
        let begun = tokio::time::Instant::now();
        answered(b"HTTP/1.1 200 OK\r\n\r\nand on", true).await.unwrap();
        let head = answered(b"x-more: of the head\r\n", true).await;
        assert!(matches!(head, Err(SendError::Answer(_))), "{head:?}");
        assert!(begun.elapsed() < ATTEMPT * 2, "{:?}", begun.elapsed());
    }
}
