//! An upstream that speaks HTTP/2, or TLS, or both, by the HTTP library's own server.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;

/// How the upstream is spoken to.
pub(crate) enum Speaks {
    /// HTTP/2 in clear.
    Http2,
    /// TLS with this certificate and key in PEM, choosing among these protocols; clients show a
    /// certificate of this authority, if there is one.
    Tls((String, String), &'static [&'static str], Option<String>),
}

/// A listening upstream.
pub(crate) struct ModernOrigin {
    address: SocketAddr,
    shared: Arc<Shared>,
    _runtime: Runtime,
}

struct Shared {
    received: Mutex<Vec<Request<Bytes>>>,
    connections: AtomicUsize,
    /// Requests to `/held` wait for one of these each.
    released: Semaphore,
    /// Connections of an older generation finish what they have, and close.
    generation: watch::Sender<u64>,
}

impl ModernOrigin {
    pub(crate) fn start(speaks: Speaks) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime can be made");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port is free");
        let address = listener.local_addr().expect("a listener has an address");
        let shared = Arc::new(Shared {
            received: Mutex::default(),
            connections: AtomicUsize::new(0),
            released: Semaphore::new(0),
            generation: watch::Sender::new(0),
        });
        let tls = match speaks {
            Speaks::Http2 => None,
            Speaks::Tls(identity, protocols, clients) => {
                Some(acceptor(&identity, protocols, clients))
            }
        };
        runtime.spawn(accept(listener, tls, Arc::clone(&shared)));
        Self { address, shared, _runtime: runtime }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Everything that has reached it, in order, with its body.
    pub(crate) fn received(&self) -> Vec<Request<Bytes>> {
        self.shared.received.lock().expect("no service panics").clone()
    }

    /// What reached it last.
    pub(crate) fn last(&self) -> Request<Bytes> {
        self.received().pop().expect("a request reached the origin")
    }

    /// How many connections were made to it.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Lets so many requests to `/held` go on.
    pub(crate) fn release(&self, requests: usize) {
        self.shared.released.add_permits(requests);
    }

    /// Has every connection say that it takes nothing more, and end.
    pub(crate) fn close_gracefully(&self) {
        self.shared.generation.send_modify(|generation| *generation += 1);
    }
}

fn acceptor(
    (cert, key): &(String, String),
    protocols: &[&str],
    clients: Option<String>,
) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("the provider has suites");
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            let authority = CertificateDer::from_pem_slice(authority.as_bytes());
            roots.add(authority.expect("it is PEM")).expect("it is a certificate");
            let roots = Arc::new(roots);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build();
            builder.with_client_cert_verifier(verifier.expect("it has a root"))
        }
    };
    let cert = CertificateDer::from_pem_slice(cert.as_bytes());
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
    let chain = vec![cert.expect("a certificate")];
    let mut config = builder.with_single_cert(chain, key).expect("they go together");
    config.alpn_protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
    TlsAcceptor::from(Arc::new(config))
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (shared, tls) = (Arc::clone(&shared), tls.clone());
        shared.connections.fetch_add(1, Ordering::SeqCst);
        // A connection that breaks is over; what had come of it is remembered.
        tokio::spawn(serve(stream, tls, shared));
    }
}

async fn serve(stream: TcpStream, tls: Option<TlsAcceptor>, shared: Arc<Shared>) -> io::Result<()> {
    let Some(tls) = tls else { return speak(stream, true, shared).await };
    let stream = tls.accept(stream).await?;
    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    speak(stream, http2, shared).await
}

async fn speak(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    http2: bool,
    shared: Arc<Shared>,
) -> io::Result<()> {
    let mut generation = shared.generation.subscribe();
    let service = service_fn(move |request| answer(request, Arc::clone(&shared)));
    let io = TokioIo::new(stream);
    if !http2 {
        let served = http1::Builder::new().serve_connection(io, service).await;
        return served.map_err(io::Error::other);
    }
    let builder = http2::Builder::new(TokioExecutor::new());
    let mut connection = std::pin::pin!(builder.serve_connection(io, service));
    tokio::select! {
        served = &mut connection => return served.map_err(io::Error::other),
        _ = generation.changed() => connection.as_mut().graceful_shutdown(),
    }
    connection.await.map_err(io::Error::other)
}

type Pieces = futures_util::stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, Infallible>>>;

/// Answers with the request's body, and a trailer behind it. A piece without a byte is not sent: of
/// those, the library's client takes a hundred on a connection.
async fn answer(
    request: Request<Incoming>,
    shared: Arc<Shared>,
) -> Result<Response<StreamBody<Pieces>>, hyper::Error> {
    let (parts, body) = request.into_parts();
    let held = parts.uri.path() == "/held";
    let body = body.collect().await?.to_bytes();
    let remembered = Request::from_parts(parts, body.clone());
    shared.received.lock().expect("no service panics").push(remembered);
    if held {
        shared.released.acquire().await.expect("it is never closed").forget();
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let mut pieces = vec![Ok(Frame::trailers(trailers))];
    if !body.is_empty() {
        pieces.insert(0, Ok(Frame::data(body)));
    }
    Ok(Response::new(StreamBody::new(futures_util::stream::iter(pieces))))
}
