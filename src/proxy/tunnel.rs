//! A WebSocket's way through: bytes both ways, counted and bounded, until either side ends it or
//! the gateway must.
//!
//! The frames pass untouched. They are followed only so that, when it is the gateway that ends a
//! tunnel, both sides are told by a close frame where one may stand. Whatever ends a tunnel from
//! here is decided in one place (`Running::must_end`), looked at whenever the connection's task
//! is woken.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;
use tokio_util::io::poll_read_buf;

use super::connection::Connection;
use super::meter::Meter;
use super::upstream::Upgraded;
use super::websocket::{CloseCode, Frames};
use super::worker::Worker;

/// Held of each direction at most.
const HELD: usize = 16 * 1024;
/// Once one side has sent its last byte, the other ends too if it is silent for longer.
const LAST_WORDS_MS: u64 = 10_000;
/// For the close frames of a tunnel that is cut, and for the client to have read its own. A drain
/// cuts this much before its end.
pub const FAREWELL: Duration = Duration::from_millis(500);

/// A granted upgrade that waits for its answer to be written.
pub struct Tunnel {
    upstream: Upgraded,
    idle_ms: u64,
    meter: Option<Box<Meter>>,
}

impl Tunnel {
    /// To an upstream that has answered 101. `idle_ms`: how long nothing may be said.
    pub fn new(upstream: Upgraded, idle_ms: u64) -> Self {
        Self { upstream, idle_ms, meter: None }
    }

    /// Hands it the request's account, which ends with it.
    pub fn account(&mut self, meter: Box<Meter>) {
        self.meter = Some(meter);
    }

    /// Carries bytes until it is over. `early`: what the client sent before it was answered.
    pub async fn run(self, client: impl AsyncRead + AsyncWrite + Unpin, early: Bytes) {
        let Some(meter) = self.meter else { return };
        let mut upstream = self.upstream;
        let (worker, connection) = (Rc::clone(meter.worker()), Rc::clone(meter.connection()));
        worker.metrics().tunnel_opened();
        let mut running = Running {
            client,
            up: Way::new(early),
            down: Way::new(upstream.take_early()),
            upstream,
            idle_ms: self.idle_ms,
            until_ms: 0,
            meter,
        };
        running.said_something();
        let ended = poll_fn(|cx| {
            connection.runs_in(cx);
            running.poll(cx)
        });
        if let Ended::Cut(code) = ended.await {
            running.cut(code).await;
        }
        worker.metrics().tunnel_closed();
    }
}

enum Ended {
    /// By one of its sides, or with the connection.
    Over,
    /// By the gateway.
    Cut(CloseCode),
}

struct Running<C, U> {
    client: C,
    upstream: U,
    up: Way,
    down: Way,
    idle_ms: u64,
    until_ms: u64,
    meter: Box<Meter>,
}

impl<C: AsyncRead + AsyncWrite + Unpin, U: AsyncRead + AsyncWrite + Unpin> Running<C, U> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        if let Some(ended) = self.must_end() {
            return Poll::Ready(ended);
        }
        let before = (self.up.moved, self.down.moved, self.one_is_done());
        if let Poll::Ready(Err(_)) = self.up.poll(&mut self.client, &mut self.upstream, cx) {
            // An upstream that reads no more may still have something to say.
            self.up.give_up();
        }
        let got = self.down.poll(&mut self.upstream, &mut self.client, cx);
        self.meter.upload().add(self.up.moved - before.0);
        self.meter.sent_out(self.down.moved - before.1);
        if (self.up.moved, self.down.moved, self.one_is_done()) != before {
            self.said_something();
        }
        let is_over = self.down.is_done && (self.up.is_done || self.is_closed());
        if is_over || matches!(got, Poll::Ready(Err(_))) {
            return Poll::Ready(Ended::Over);
        }
        Poll::Pending
    }

    /// Both sides have said their last frame; the server then ends the connection.
    fn is_closed(&self) -> bool {
        self.up.frames.is_closed() && self.down.frames.is_closed()
    }

    fn one_is_done(&self) -> bool {
        self.up.is_done || self.down.is_done
    }

    /// Whether the tunnel is to end now, whatever its sides want.
    fn must_end(&self) -> Option<Ended> {
        let connection: &Connection = self.meter.connection();
        let worker: &Worker = self.meter.worker();
        if connection.is_ended() {
            return Some(Ended::Over);
        }
        if connection.cut().is_some() {
            return Some(Ended::Cut(CloseCode::POLICY_VIOLATION));
        }
        let now_ms = worker.now_ms();
        connection.set_deadline(self.until_ms.min(worker.cut_at_ms()));
        connection.is_overdue(now_ms).then_some(Ended::Cut(CloseCode::GOING_AWAY))
    }

    fn said_something(&mut self) {
        let idle_ms =
            if self.one_is_done() { self.idle_ms.min(LAST_WORDS_MS) } else { self.idle_ms };
        let worker = self.meter.worker();
        self.until_ms = worker.now_ms() + idle_ms;
        self.meter.connection().set_deadline(self.until_ms.min(worker.cut_at_ms()));
    }

    /// Tells both sides, neither waiting for the other.
    async fn cut(&mut self, code: CloseCode) {
        let (to_client, to_upstream) = (code.frame(false), code.frame(true));
        let farewell = async {
            tokio::join!(
                self.down.say_farewell(&to_client, &mut self.client),
                self.up.say_farewell(&to_upstream, &mut self.upstream),
            )
        };
        // Whoever does not read by then is cut all the same.
        let _ = timeout(FAREWELL, farewell).await;
    }
}

/// One direction.
struct Way {
    held: BytesMut,
    /// How many of the bytes held are of frames that are held to their end; `None`: the frame of
    /// which a part is gone goes on behind all that is held.
    whole: Option<usize>,
    frames: Frames,
    /// Bytes handed on.
    moved: u64,
    /// Its source has sent its last byte.
    is_over: bool,
    /// And everything is handed on.
    is_done: bool,
}

impl Way {
    fn new(held: Bytes) -> Self {
        let mut way = Self {
            held: held.into(),
            whole: Some(0),
            frames: Frames::default(),
            moved: 0,
            is_over: false,
            is_done: false,
        };
        way.follow();
        way
    }

    /// Takes note of where frames end in what is held now.
    fn follow(&mut self) {
        if let Some(end) = self.frames.advance(&self.held) {
            self.whole = Some(end);
        }
    }

    /// Moves what can be moved; ready when all of it is.
    fn poll(
        &mut self,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            while !self.held.is_empty() {
                let written = ready!(Pin::new(&mut *to).poll_write(cx, &self.held))?;
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.wrote(written);
            }
            if self.is_done {
                return Poll::Ready(Ok(()));
            }
            if self.is_over {
                ready!(Pin::new(&mut *to).poll_shutdown(cx))?;
                self.is_done = true;
                continue;
            }
            self.held.reserve(HELD);
            match poll_read_buf(Pin::new(&mut *from), cx, &mut self.held)? {
                Poll::Ready(0) => self.is_over = true,
                Poll::Ready(_) => self.follow(),
                Poll::Pending => {
                    // A tunnel that waits holds no buffer.
                    self.held = BytesMut::new();
                    ready!(Pin::new(&mut *to).poll_flush(cx))?;
                    return Poll::Pending;
                }
            }
        }
    }

    /// Nobody takes what it brings.
    fn give_up(&mut self) {
        self.held = BytesMut::new();
        self.is_done = true;
    }

    fn wrote(&mut self, written: usize) {
        self.held.advance(written);
        self.moved += written as u64;
        self.whole = self.whole.and_then(|whole| whole.checked_sub(written));
    }

    /// Writes what is held of whole frames, and a close frame behind it, if one may stand there. Then
    /// waits for the other side to end: closed with bytes of its own unread, its connection would be
    /// reset, and the close frame might be lost.
    async fn say_farewell(
        &mut self,
        frame: &[u8],
        to: &mut (impl AsyncRead + AsyncWrite + Unpin),
    ) -> io::Result<()> {
        if let Some(whole) = self.whole.filter(|_| !self.is_done) {
            to.write_all(&self.held[..whole]).await?;
            if !self.frames.is_closed() {
                to.write_all(frame).await?;
            }
        }
        to.flush().await?;
        to.shutdown().await?;
        let mut unread = [0; 1024];
        while to.read(&mut unread).await? > 0 {}
        Ok(())
    }
}
