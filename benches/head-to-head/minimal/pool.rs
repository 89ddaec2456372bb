//! Connections to the upstream: the one given back last is lent first.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::spawn_local;

/// Why nothing came of a request. Its connection is closed.
pub type Failed = Box<dyn std::error::Error + Send + Sync>;

type Connection = SendRequest<Incoming>;

/// All that wait for a request.
pub struct Pool {
    upstream: SocketAddr,
    idle: RefCell<Vec<Connection>>,
}

/// The body of an answer, with the connection that it comes over.
pub struct Lent {
    body: Incoming,
    /// Taken when it is given back.
    connection: Option<Connection>,
    pool: Rc<Pool>,
}

impl Pool {
    /// An empty one.
    pub fn to(upstream: SocketAddr) -> Rc<Self> {
        Rc::new(Self { upstream, idle: RefCell::default() })
    }

    /// Sends a request over a free connection, or over a new one.
    pub async fn send(
        self: &Rc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Lent>, Failed> {
        let mut connection = self.take().await?;
        let answer = connection.send_request(request).await?;
        let pool = Rc::clone(self);
        Ok(answer.map(|body| Lent { body, connection: Some(connection), pool }))
    }

    async fn take(&self) -> Result<Connection, Failed> {
        loop {
            let idle = self.idle.borrow_mut().pop();
            let Some(mut connection) = idle else { return self.connect().await };
            // One that was closed meanwhile is dropped.
            if connection.ready().await.is_ok() {
                return Ok(connection);
            }
        }
    }

    async fn connect(&self) -> Result<Connection, Failed> {
        let stream = TcpStream::connect(self.upstream).await?;
        stream.set_nodelay(true)?;
        let (mut connection, driver) = handshake(TokioIo::new(stream)).await?;
        spawn_local(driver);
        connection.ready().await?;
        Ok(connection)
    }
}

impl Body for Lent {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Lent {
    /// The server drops it when the last of it has been taken, or when the client is gone; only a
    /// body that has come as a whole leaves a connection that can be used again.
    fn drop(&mut self) {
        if self.body.is_end_stream()
            && let Some(connection) = self.connection.take()
        {
            self.pool.idle.borrow_mut().push(connection);
        }
    }
}
