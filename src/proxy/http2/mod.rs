//! A client connection that speaks HTTP/2: many requests at a time, each in a task of its own.
//!
//! The one rule: a request is served as HTTP/1.1's are, by the same [`serve`], and looks to it like
//! one on a connection of its own: each has a [`Connection`] that the worker's sweep looks after, so
//! timeouts need no timers here either. What one connection can make the gateway hold is bounded
//! below, each bound by its name.

mod head;

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::error::Error as _;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::spawn_local;

use super::body::{ClientStream, Outgoing};
use super::connection::{Connection, Waiting};
use super::serve::{Handler, serve};
use super::websocket;
use super::worker::Worker;
use crate::domain::Refusal;
use crate::telemetry::metrics::Http2Cut;

/// Requests under way at a time. RFC 9113 section 6.5.2 recommends no fewer than 100.
const MAX_STREAMS: u32 = 128;
/// What a client may send of one body before anybody has read it, and of all bodies together. With
/// [`SEND_BUFFER`] and a frame on its way, a stream holds less than 1 MiB.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// What is held of one answer that its client does not read.
const SEND_BUFFER: usize = 256 * 1024;
/// The smallest that RFC 9113 allows: a frame is held whole before anything is made of it.
const FRAME: u32 = 16 * 1024;
/// The dynamic table of HPACK, as RFC 9113 has it where nothing is said.
const HEADER_TABLE: u32 = 4 * 1024;
/// The library's bound for a head counts 32 bytes a field more than is sent. It stands so far above
/// ours that a head a little too large is answered in our own words; one beyond it gets a bare 431,
/// and one that goes on and on in CONTINUATION frames ends its connection.
const HEAD_ALLOWANCE: usize = 2;
/// Streams that were reset before they were even looked at (rapid reset, CVE-2023-44487): all that a
/// client may have open.
const MAX_PENDING_RESETS: usize = MAX_STREAMS as usize;
/// Streams that a client's faults made the library reset (`MadeYouReset`, CVE-2025-8671).
const MAX_ERROR_RESETS: usize = 256;
/// A client that does not answer a PING is gone.
const PING_EVERY: Duration = Duration::from_secs(30);
const PONG_WITHIN: Duration = Duration::from_secs(20);
/// Requests cancelled right after they were made: so many at once, and so many a second for ever.
/// Each costs the upstream a connection, and no honest client has use for more.
const CANCELS: u64 = 256;
const CANCELS_PER_SECOND: u64 = 32;
/// A request cancelled later than this was waited for, as one is whose client has a timeout.
const RIGHT_AFTER_MS: u64 = 1_000;
/// How long a client has that is told to go, until it is cut off.
const GOODBYE_MS: u64 = 1_000;

/// Serves a connection until it ends, by its client or by the worker. The preface is still to be
/// read.
pub async fn serve_stream<S: AsyncRead + AsyncWrite + Unpin>(
    worker: Rc<Worker>,
    stream: S,
    connection: Rc<Connection>,
    handler: impl Handler,
) {
    let max_head = worker.max_header_bytes();
    connection.wait_for(Waiting::Request, worker.now_ms());
    let streams = Rc::new(Streams::new(Rc::clone(&worker), Rc::clone(&connection)));
    let service = service_fn(|mut request: Request<Incoming>| {
        let is_websocket = websocket::from_connect(&mut request, rand::random());
        let upgrade = is_websocket.then(|| hyper::upgrade::on(&mut request));
        let refused = head::inspect(&request, max_head).err();
        head::join_cookies(request.headers_mut());
        streams.begin(refused, request.map(ClientStream::Http2), upgrade, handler)
    });
    let builder = builder(&streams, max_head);
    let mut serving = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let (mut told, mut cut_at_ms) = (false, None);
    poll_fn(|cx| {
        connection.runs_in(cx);
        if streams.flooded.get() {
            worker.metrics().http2_cut(Http2Cut::Cancels);
            return Poll::Ready(());
        }
        if connection.is_ended() {
            let now_ms = worker.now_ms();
            let is_over = *cut_at_ms.get_or_insert(now_ms + GOODBYE_MS) <= now_ms;
            if is_over && streams.open.get() == 0 {
                return Poll::Ready(());
            }
        }
        if (worker.is_draining() || connection.is_ended()) && !told {
            told = true;
            serving.as_mut().graceful_shutdown();
        }
        serving.as_mut().poll(cx).map(|outcome| note(&worker, outcome))
    })
    .await;
}

fn builder(streams: &Rc<Streams>, max_head: usize) -> http2::Builder<Tasks> {
    let mut builder = http2::Builder::new(Tasks(Rc::clone(streams)));
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_frame_size(FRAME)
        .header_table_size(HEADER_TABLE)
        .enable_connect_protocol()
        .max_header_list_size((max_head * HEAD_ALLOWANCE) as u32)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(MAX_ERROR_RESETS)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PONG_WITHIN);
    builder
}

/// How a connection broke is its client's business, unless the library took it for an attack.
fn note(worker: &Worker, outcome: hyper::Result<()>) {
    let Err(error) = outcome else { return };
    let cause = error.source().and_then(|source| source.downcast_ref::<h2::Error>());
    if cause.is_some_and(|cause| {
        cause.is_library() && cause.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM)
    }) {
        worker.metrics().http2_cut(Http2Cut::Flood);
    }
}

/// What the streams of one connection have in common.
struct Streams {
    worker: Rc<Worker>,
    connection: Rc<Connection>,
    open: Cell<usize>,
    /// The stream that was begun and whose task is about to be.
    begun: RefCell<Option<Rc<Stream>>>,
    cancels: Cell<Cancels>,
    flooded: Cell<bool>,
}

/// One request and its answer.
struct Stream {
    /// What a connection is to a request of HTTP/1.1.
    connection: Rc<Connection>,
    answered: Cell<bool>,
    /// The client's side of a WebSocket that it asks for, once that is granted.
    upgrade: Cell<Option<OnUpgrade>>,
}

impl Streams {
    fn new(worker: Rc<Worker>, connection: Rc<Connection>) -> Self {
        let cancels = Cell::new(Cancels::new(worker.now_ms()));
        Self {
            worker,
            connection,
            open: Cell::new(0),
            begun: RefCell::new(None),
            cancels,
            flooded: Cell::new(false),
        }
    }

    /// Begins a request; the library makes its task right behind this.
    fn begin<H: Handler>(
        &self,
        refused: Option<Refusal>,
        request: Request<ClientStream>,
        upgrade: Option<OnUpgrade>,
        handler: H,
    ) -> impl Future<Output = Result<Response<Outgoing>, Infallible>> + use<H> {
        let connection = Rc::new(self.connection.stream(self.worker.now_ms()));
        let upgrade = Cell::new(upgrade);
        let stream = Rc::new(Stream { connection, answered: Cell::new(false), upgrade });
        self.worker.look_after(&stream.connection);
        *self.begun.borrow_mut() = Some(Rc::clone(&stream));
        let connection = Rc::clone(&stream.connection);
        let serving = serve(Rc::clone(&self.worker), connection, refused, request, handler);
        serving.map(move |answer| {
            stream.answered.set(true);
            let is_granted = stream.connection.is_switched();
            answer.map(|answer| if is_granted { granted(answer) } else { answer })
        })
    }

    fn opened(&self) {
        self.open.set(self.open.get() + 1);
        self.connection.wait_for(Waiting::Nothing, self.worker.now_ms());
    }

    fn closed(&self) {
        self.open.set(self.open.get() - 1);
        if self.open.get() == 0 {
            self.connection.wait_for(Waiting::Request, self.worker.now_ms());
        }
    }

    /// A client took back the request that it had made at `begun_ms`.
    fn cancelled(&self, begun_ms: u64) {
        let now_ms = self.worker.now_ms();
        let mut cancels = self.cancels.get();
        if now_ms < begun_ms + RIGHT_AFTER_MS && !cancels.take(now_ms) {
            self.flooded.set(true);
            self.connection.wake();
        }
        self.cancels.set(cancels);
    }
}

/// An open stream, counted for as long as its task lasts, however it ends.
struct Open(Rc<Streams>);

impl Open {
    fn new(streams: &Rc<Streams>) -> Self {
        streams.opened();
        Self(Rc::clone(streams))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.closed();
    }
}

/// Where the library's tasks run: on this thread.
#[derive(Clone)]
struct Tasks(Rc<Streams>);

impl<F: Future<Output = ()> + 'static> Executor<F> for Tasks {
    fn execute(&self, task: F) {
        match self.0.begun.take() {
            Some(stream) => drop(spawn_local(run(Rc::clone(&self.0), stream, task))),
            None => drop(spawn_local(task)),
        }
    }
}

/// What grants an extended CONNECT. The library begins the tunnel behind it.
fn granted(mut answer: Response<Outgoing>) -> Response<Outgoing> {
    websocket::to_connect(&mut answer);
    *answer.body_mut() = Outgoing::Full(None);
    answer
}

/// One stream's task, from its head to its answer's last byte, or to the end of its WebSocket. Given
/// up before, the stream is reset.
async fn run(streams: Rc<Streams>, stream: Rc<Stream>, task: impl Future<Output = ()>) {
    let _open = Open::new(&streams);
    let (connection, worker) = (&stream.connection, &streams.worker);
    let (_, begun_ms) = connection.waiting();
    let mut task = pin!(task);
    let is_done = poll_fn(|cx| {
        connection.runs_in(cx);
        if connection.is_ended() {
            return Poll::Ready(false);
        }
        if task.as_mut().poll(cx).is_ready() {
            return Poll::Ready(true);
        }
        // What is overdue or must end has been seen to: it is the client that takes nothing.
        let must_end = || connection.is_overdue(worker.now_ms()) || connection.cut().is_some();
        if stream.answered.get() && must_end() {
            return Poll::Ready(false);
        }
        Poll::Pending
    });
    match (is_done.await, connection.take_tunnel(), stream.upgrade.take()) {
        (true, Some(tunnel), Some(upgrade)) => {
            // Boxed, so that other streams have not its room as well.
            if let Ok(client) = upgrade.await {
                Box::pin(tunnel.run(TokioIo::new(client), Bytes::new())).await;
            }
        }
        // The account of a request that was answered to its end is closed by now.
        (true, ..) if connection.waiting().0 == Waiting::Nothing => streams.cancelled(begun_ms),
        _ => {}
    }
}

/// What is left of the requests that a client may cancel.
#[derive(Clone, Copy)]
struct Cancels {
    thousandths: u64,
    at_ms: u64,
}

impl Cancels {
    fn new(now_ms: u64) -> Self {
        Self { thousandths: CANCELS * 1_000, at_ms: now_ms }
    }

    /// Takes one; whether there was one left.
    fn take(&mut self, now_ms: u64) -> bool {
        let regained = now_ms.saturating_sub(self.at_ms).saturating_mul(CANCELS_PER_SECOND);
        let held = self.thousandths.saturating_add(regained).min(CANCELS * 1_000);
        let left = held.checked_sub(1_000);
        *self = Self { thousandths: left.unwrap_or(held), at_ms: now_ms };
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cancelled_requests_are_forgiven_at_a_steady_rate() {
        let mut cancels = Cancels::new(0);
        let burst = (0..=CANCELS).take_while(|_| cancels.take(0)).count();
        assert_eq!(burst as u64, CANCELS);
        assert!(!cancels.take(1_000 / CANCELS_PER_SECOND - 1));
        assert!(cancels.take(1_000));
        for second in 2..100 {
            assert!((0..CANCELS_PER_SECOND).all(|_| cancels.take(second * 1_000)), "{second}");
        }
    }
}
