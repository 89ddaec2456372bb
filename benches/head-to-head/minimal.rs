//! The floor that keygate holds itself to: a proxy on hyper that does the same work and nothing else.
//!
//! One thread, a map from secrets to keys, one counter a key with a fixed window, a pool of upstream
//! connections held by hand. No timeouts, no limits of size, no logs: what is shipped needs them, a
//! floor does not. It is this very program started with `--be-minimal`, so that it is compiled as
//! keygate is.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONNECTION, HeaderMap, HeaderName};
use http::{Request, Response, StatusCode};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions};
use tokio::task::spawn_local;

mod keys;
mod pool;

use keys::{Key, Keys};
use pool::{Lent, Pool};

const KEY_ID: HeaderName = HeaderName::from_static("x-auth-key-id");
/// Of one connection only (RFC 9110, section 7.6.1), beside what `Connection` names. Framing is
/// hyper's: it writes `Transfer-Encoding` where there is no length.
const HOP_BY_HOP: [HeaderName; 6] = [
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("te"),
    HeaderName::from_static("trailer"),
    HeaderName::from_static("transfer-encoding"),
    HeaderName::from_static("upgrade"),
];

/// What it is started with.
#[derive(Serialize, Deserialize)]
pub struct Config {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// What stands behind it.
    pub upstream: SocketAddr,
    /// So many requests of each key in a minute.
    pub limit_per_minute: u32,
    /// Secrets and ids.
    pub keys: Vec<(String, String)>,
}

struct Floor {
    keys: Keys,
    pool: Rc<Pool>,
}

type Answer = Response<Either<Lent, Full<Bytes>>>;

/// Serves until it is ended.
pub fn run(file: &Path) -> Result<()> {
    let config = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let config: Config = serde_json::from_slice(&config)?;
    let runtime = Builder::new_current_thread().enable_io().build_local(LocalOptions::default())?;
    runtime.block_on(serve(config))
}

async fn serve(config: Config) -> Result<()> {
    let listener = TcpListener::bind(config.listen).await?;
    let floor = Rc::new(Floor {
        keys: Keys::new(config.keys, config.limit_per_minute)?,
        pool: Pool::to(config.upstream),
    });
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        spawn_local(connection(Rc::clone(&floor), stream));
    }
}

async fn connection(floor: Rc<Floor>, stream: TcpStream) {
    let service = service_fn(move |request| {
        let floor = Rc::clone(&floor);
        async move { floor.handle(request).await }
    });
    // A client that leaves is no news.
    let http1 = hyper::server::conn::http1::Builder::new();
    let _ = http1.serve_connection(TokioIo::new(stream), service).await;
}

impl Floor {
    async fn handle(&self, mut request: Request<Incoming>) -> Result<Answer, pool::Failed> {
        let Some(key) = self.key(request.headers()) else {
            return Ok(refusal(StatusCode::UNAUTHORIZED));
        };
        if !self.keys.count(key) {
            return Ok(refusal(StatusCode::TOO_MANY_REQUESTS));
        }
        let headers = request.headers_mut();
        remove_hop_by_hop(headers);
        headers.remove(AUTHORIZATION);
        headers.insert(KEY_ID, key.id.clone());
        let mut answer = self.pool.send(request).await?;
        remove_hop_by_hop(answer.headers_mut());
        Ok(answer.map(Either::Left))
    }

    fn key(&self, headers: &HeaderMap) -> Option<&Key> {
        self.keys.find(headers.get(AUTHORIZATION)?.as_bytes().strip_prefix(b"Bearer ")?)
    }
}

fn refusal(status: StatusCode) -> Answer {
    let mut answer = Response::new(Either::Right(Full::new(Bytes::from_static(b"refused\n"))));
    *answer.status_mut() = status;
    answer
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<_> = headers.get_all(CONNECTION).iter().cloned().collect();
    for name in named.iter().flat_map(|named| named.to_str().unwrap_or_default().split(',')) {
        headers.remove(name.trim());
    }
    headers.remove(CONNECTION);
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}
