//! `echo`: a small upstream that answers with the request it got.
//!
//! Behind the gateway it shows what an upstream learns of a client: the identity headers, and no
//! credential.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;

use bytes::Bytes;
use clap::Args;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::signal::ctrl_c;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Duration, sleep};

use super::failure::{Failure, Result};

/// The most of a body that is sent back, in bytes.
const SHOWN: usize = 64 * 1024;

/// `echo`.
#[derive(Debug, Args)]
pub(crate) struct Echo {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9000")]
    listen: SocketAddr,
}

/// Answers until it is interrupted.
pub(crate) async fn run(echo: Echo) -> Result {
    let listener = bind(echo.listen).await?;
    let address = listener.local_addr().map_err(|error| Failure::failed(error.to_string()))?;
    super::output::say(&format!("echo listens on http://{address}"))?;
    let mut terminated = signal(SignalKind::terminate())
        .map_err(|error| Failure::failed(format!("can't listen for signals: {error}")))?;
    serve(listener, async {
        tokio::select! {
            _ = ctrl_c() => {}
            _ = terminated.recv() => {}
        }
    })
    .await;
    Ok(())
}

/// Takes an address to listen on; what is wrong with it is said with the address.
pub(crate) async fn bind(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        Failure::failed(format!("can't listen on {address}: {error}"))
            .with_hint("is something else listening there? `--listen` takes another address")
    })
}

/// Answers every request on `listener` until `shutdown` is done. A connection that breaks harms no
/// other.
pub async fn serve(listener: TcpListener, shutdown: impl Future<Output = ()>) {
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut shutdown => return,
        };
        let Ok((stream, _)) = accepted else {
            // Out of file descriptors, most likely: some will be free again soon.
            sleep(Duration::from_millis(10)).await;
            continue;
        };
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(stream), service_fn(answer));
        tokio::spawn(async move {
            // A client that breaks off is nothing that an echo has to tell anybody.
            let _ = connection.await;
        });
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let (body, length) = read(body).await?;
    let echoed = json!({
        "method": head.method.as_str(),
        "path": head.uri.path(),
        "query": head.uri.query(),
        "headers": headers(&head.headers),
        "body": body,
        "body_bytes": length,
    });
    let mut text = serde_json::to_vec_pretty(&echoed).expect("a JSON value can be written");
    text.push(b'\n');
    let mut response = Response::new(Full::new(Bytes::from(text)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// The body as text, where it is short enough and text at all, and its whole length.
async fn read(mut body: Incoming) -> Result<(Option<String>, u64), hyper::Error> {
    let (mut kept, mut length) = (Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        length += data.len() as u64;
        if length <= SHOWN as u64 {
            kept.extend_from_slice(&data);
        }
    }
    let whole = kept.len() as u64 == length;
    Ok((whole.then(|| String::from_utf8(kept).ok()).flatten(), length))
}

/// Each name with its value, or with all of them where there are several.
fn headers(headers: &HeaderMap) -> Value {
    let text = |value: &HeaderValue| Value::from(String::from_utf8_lossy(value.as_bytes()));
    let mut echoed = Map::new();
    for name in headers.keys() {
        let mut values: Vec<Value> = headers.get_all(name).iter().map(text).collect();
        let value = if values.len() == 1 { values.remove(0) } else { Value::Array(values) };
        echoed.insert(name.as_str().to_owned(), value);
    }
    Value::Object(echoed)
}

/// An upstream in this process; it ends with the returned value.
pub(crate) struct Standing {
    address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Standing {
    /// Starts one on a free port of the loopback address.
    pub(crate) async fn start() -> Result<Self> {
        let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let address = listener.local_addr().map_err(|error| Failure::failed(error.to_string()))?;
        let task = tokio::spawn(serve(listener, std::future::pending()));
        Ok(Self { address, task })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::*;

    async fn asked(request: &[u8]) -> Value {
        let echo = Standing::start().await.unwrap();
        let mut stream = TcpStream::connect(echo.address()).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        serde_json::from_str(body).unwrap()
    }

    #[tokio::test]
    async fn what_was_asked_comes_back() {
        let request = b"POST /a/b?c=d HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-two: 1\r\n\
                        x-two: 2\r\ncontent-length: 2\r\n\r\nhi";
        assert_eq!(
            asked(request).await,
            json!({
                "method": "POST",
                "path": "/a/b",
                "query": "c=d",
                "headers": {
                    "host": "x",
                    "connection": "close",
                    "x-two": ["1", "2"],
                    "content-length": "2",
                },
                "body": "hi",
                "body_bytes": 2,
            })
        );
    }

    #[tokio::test]
    async fn of_a_body_that_is_no_text_only_the_length_comes_back() {
        let head = b"PUT / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 2\r\n\r\n";
        let echoed = asked(&[head.as_slice(), b"\xff\xfe"].concat()).await;
        assert_eq!((&echoed["body"], &echoed["body_bytes"]), (&Value::Null, &json!(2)));
    }
}
