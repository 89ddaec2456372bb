//! Clients that speak HTTP/2 over TLS, on the thread of the upstream.

use std::cell::RefCell;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use futures_util::future::try_join_all;
use h2::client::SendRequest;
use http::header::{ACCEPT, AUTHORIZATION, HeaderValue, USER_AGENT};
use http::{Request, Version};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, LocalOptions};
use tokio::task::{spawn_local, yield_now};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::{Load, STUCK, Traffic, wait};
use crate::common::peer::BODY;
use crate::proxies::HOST;

/// Clients with so many requests under way on each connection.
pub struct Multiplexed {
    /// Where they connect.
    pub to: SocketAddr,
    /// With what.
    pub tls: Arc<ClientConfig>,
    /// How many.
    pub connections: u32,
    /// On each.
    pub streams: u32,
}

/// What is left to send, and what came.
struct Run<F> {
    next: F,
    load: Load,
    last: Instant,
}

impl Multiplexed {
    /// Has every stream send a request with what `next` gives as soon as its last is answered,
    /// until it gives nothing; `connected` is called before the first. The thread spins.
    pub fn run<'a>(
        &self,
        traffic: &mut Traffic,
        connected: impl FnOnce() -> Result<()>,
        next: impl FnMut() -> Option<&'a HeaderValue>,
    ) -> Result<Load> {
        let runtime =
            Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        runtime?.block_on(async {
            tokio::select! {
                load = self.clients(connected, next) => load,
                never = serve_upstream(traffic) => match never? {},
            }
        })
    }

    async fn clients<'a>(
        &self,
        connected: impl FnOnce() -> Result<()>,
        next: impl FnMut() -> Option<&'a HeaderValue>,
    ) -> Result<Load> {
        let connections = (0..self.connections).map(|_| self.connect());
        let connections = timeout(STUCK, try_join_all(connections)).await??;
        connected()?;
        let begun = Instant::now();
        let run = RefCell::new(Run { next, load: Load::default(), last: begun });
        let streams = connections
            .iter()
            .flat_map(|connection| (0..self.streams).map(|_| stream(connection.clone(), &run)));
        try_join_all(streams).await?;
        let run = run.into_inner();
        Ok(Load { elapsed: run.last - begun, ..run.load })
    }

    async fn connect(&self) -> Result<SendRequest<Bytes>> {
        let socket = TcpStream::connect(self.to).await?;
        socket.set_nodelay(true)?;
        let host = ServerName::try_from(HOST)?;
        let tls = TlsConnector::from(Arc::clone(&self.tls)).connect(host, socket).await?;
        let protocol = tls.get_ref().1.alpn_protocol();
        ensure!(protocol == Some(b"h2"), "the proxy does not speak HTTP/2");
        let (connection, driver) = h2::client::handshake(tls).await?;
        // What ends it is told to those who wait for answers.
        spawn_local(async move { drop(driver.await) });
        Ok(connection)
    }
}

async fn stream<'a, F: FnMut() -> Option<&'a HeaderValue>>(
    connection: SendRequest<Bytes>,
    run: &RefCell<Run<F>>,
) -> Result<()> {
    let mut connection = connection;
    loop {
        let next = (run.borrow_mut().next)();
        let Some(credential) = next else { return Ok(()) };
        let sent = Instant::now();
        connection = connection.ready().await?;
        let (answer, _) = connection.send_request(request(credential)?, true)?;
        let answer = timeout(STUCK, answer).await.context("an answer did not come")??;
        let status = answer.status().as_u16();
        let mut body = answer.into_body();
        let mut length = 0;
        while let Some(data) = body.data().await {
            let data = data?;
            length += data.len();
            body.flow_control().release_capacity(data.len())?;
        }
        if status == 200 && length != BODY {
            bail!("a body of {length} bytes instead of {BODY}");
        }
        let run = &mut *run.borrow_mut();
        run.last = Instant::now();
        run.load.note(status, run.last - sent);
    }
}

fn request(credential: &HeaderValue) -> Result<Request<()>> {
    let request = Request::get(format!("https://{HOST}/v1/items/42"))
        .version(Version::HTTP_2)
        .header(USER_AGENT, "head-to-head")
        .header(ACCEPT, "application/json")
        .header(AUTHORIZATION, credential);
    Ok(request.body(())?)
}

/// Answers what has come, and gives way to the clients; never sleeps, so that the thread does not.
async fn serve_upstream(traffic: &mut Traffic) -> Result<Infallible> {
    let mut events = Vec::with_capacity(256);
    loop {
        wait(&traffic.epoll, &mut events, Duration::ZERO)?;
        for event in events.drain(..) {
            traffic.upstream.handle(&traffic.epoll, event.data.u64())?;
        }
        yield_now().await;
    }
}
