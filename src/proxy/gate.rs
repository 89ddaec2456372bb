//! Between the socket and the HTTP library: lets in only what [`super::head`] finds unambiguous.
//!
//! The library forgives heads that RFC 9112 calls ambiguous, and answers others without a body. So
//! every head is looked at here first, and exactly the bytes of one message at a time go on. In the
//! place of a head that is refused, the library is given a harmless one, and its request finds the
//! refusal in the [`Connection`]: refusals are answered in one place, whoever found them. Nothing is
//! read behind a refused head but to throw it away.

use std::cell::{Cell, RefCell};
use std::future::Future as _;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use http::HeaderValue;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};
use tokio_util::io::poll_read_buf;

use super::chunks::Chunks;
use super::head::{self, Framing};
use crate::domain::{Reason, Refusal};

/// What the library reads in the place of a refused head.
const PLACEHOLDER: &[u8] = b"UNREADABLE * HTTP/1.1\r\nHost: -\r\nConnection: close\r\n\r\n";
/// Read off behind a refused request, so that its client sees the answer and no reset.
const LINGER_BYTES: usize = 64 * 1024;
const LINGER: Duration = Duration::from_secs(1);
/// Room for an ordinary head, and for a good piece of a chunked body.
const READ: usize = 8 * 1024;

/// What a connection waits for, for the sweep that ends those that wait too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// The next request.
    Request,
    /// The rest of a head, or the first one.
    Head,
    /// Nothing from the client: a request is under way.
    Nothing,
}

/// What the gate, the requests and the sweep know of one client connection. Lives on one thread.
pub struct Connection {
    /// The client's address; an IPv4-mapped one in its IPv4 form.
    pub client: IpAddr,
    /// The same as a header's value.
    pub client_value: HeaderValue,
    /// Whether it speaks TLS.
    pub secure: bool,
    /// Whether it came to the listener that sends everybody to TLS.
    pub redirected: bool,
    waiting: Cell<(Waiting, u64)>,
    /// When what the upstream owes is overdue, by the worker's clock; `u64::MAX`: nothing is.
    deadline: Cell<u64>,
    task: RefCell<Option<Waker>>,
    refused: RefCell<Option<(u64, Refusal)>>,
    served: Cell<u64>,
    ended: Cell<bool>,
}

impl Connection {
    /// A connection that was accepted at `now_ms` and owes its first head.
    pub fn new(client: IpAddr, now_ms: u64) -> Self {
        let client = client.to_canonical();
        let value = HeaderValue::from_str(&client.to_string());
        Self {
            client,
            client_value: value.expect("an address is a header's value"),
            secure: false,
            redirected: false,
            waiting: Cell::new((Waiting::Head, now_ms)),
            deadline: Cell::new(u64::MAX),
            task: RefCell::new(None),
            refused: RefCell::new(None),
            served: Cell::new(0),
            ended: Cell::new(false),
        }
    }

    /// The same, over TLS or not, to be served or sent there.
    #[must_use]
    pub fn over_tls(mut self, secure: bool, redirected: bool) -> Self {
        (self.secure, self.redirected) = (secure, redirected);
        self
    }

    /// What a malformed request gets for an answer: in clear, where TLS is spoken, nothing but that.
    pub fn refusal(&self, found: Refusal) -> Refusal {
        if self.redirected { Reason::HttpsRequired.into() } else { found }
    }

    /// Says what is waited for from now on.
    pub fn wait_for(&self, waiting: Waiting, now_ms: u64) {
        self.waiting.set((waiting, now_ms));
    }

    /// What is waited for, and since when.
    pub fn waiting(&self) -> (Waiting, u64) {
        self.waiting.get()
    }

    /// Takes note of one more request; the refusal, if its head was refused.
    pub fn begin_request(&self) -> Option<Refusal> {
        let number = self.served.get();
        self.served.set(number + 1);
        let mut refused = self.refused.borrow_mut();
        refused.take_if(|(refused, _)| *refused == number).map(|(_, refusal)| refusal)
    }

    /// Sets when what is awaited is overdue.
    pub fn set_deadline(&self, at_ms: u64) {
        self.deadline.set(at_ms);
    }

    /// Nothing is awaited any more.
    pub fn clear_deadline(&self) {
        self.deadline.set(u64::MAX);
    }

    /// Whether what is awaited is overdue. The sweep wakes the connection's task when it is.
    pub fn is_overdue(&self, now_ms: u64) -> bool {
        self.deadline.get() <= now_ms
    }

    /// Notes the task that everything of this connection runs in.
    pub fn runs_in(&self, cx: &Context<'_>) {
        let mut task = self.task.borrow_mut();
        if !task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            *task = Some(cx.waker().clone());
        }
    }

    /// Has the task look around.
    pub fn wake(&self) {
        if let Some(task) = &*self.task.borrow() {
            task.wake_by_ref();
        }
    }

    /// Ends the connection without another word.
    pub fn end(&self) {
        self.ended.set(true);
        self.wake();
    }

    /// Whether it is to end now.
    pub fn is_ended(&self) -> bool {
        self.ended.get()
    }
}

/// The state of a body or head that is being read.
enum Phase {
    Head { scanned: usize },
    Length(u64),
    Chunked(Chunks),
    Refused,
}

/// A client's stream, message by message.
pub struct Gate<S> {
    stream: S,
    connection: Rc<Connection>,
    max_head: usize,
    now_ms: Box<dyn Fn() -> u64>,
    pending: BytesMut,
    /// How many of the pending bytes may go on.
    passing: usize,
    phase: Phase,
    heads: u64,
    linger: Option<(Pin<Box<Sleep>>, usize)>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Gate<S> {
    /// A gate for a fresh connection. `now_ms` is the worker's clock.
    pub fn new(
        stream: S,
        connection: Rc<Connection>,
        max_head: usize,
        now_ms: impl Fn() -> u64 + 'static,
    ) -> Self {
        Self {
            stream,
            connection,
            max_head,
            now_ms: Box::new(now_ms),
            pending: BytesMut::new(),
            passing: 0,
            phase: Phase::Head { scanned: 0 },
            heads: 0,
            linger: None,
        }
    }

    fn hand_over(&mut self, buf: &mut ReadBuf<'_>) {
        let length = self.passing.min(buf.remaining());
        buf.put_slice(&self.pending[..length]);
        self.pending.advance(length);
        self.passing -= length;
    }

    /// Looks at what has come of a head; whether more is needed.
    fn look_at_head(&mut self, scanned: usize) -> bool {
        // An empty line before a request is skipped (RFC 9112 section 2.2).
        while self.pending.starts_with(b"\r\n") {
            self.pending.advance(2);
        }
        match self.complete_head(scanned.min(self.pending.len())) {
            Ok(Some((length, framing))) => {
                self.pass_head(length, framing);
                false
            }
            Ok(None) if self.pending.len() >= self.max_head => {
                self.refuse(Reason::HeadersTooLarge.into());
                false
            }
            Ok(None) => {
                self.phase = Phase::Head { scanned: self.pending.len().saturating_sub(3) };
                true
            }
            Err(refusal) => {
                self.refuse(refusal);
                false
            }
        }
    }

    fn complete_head(&self, scanned: usize) -> Result<Option<(usize, Framing)>, Refusal> {
        let Some(length) = head::find_end(&self.pending, scanned)? else {
            return Ok(None);
        };
        if length > self.max_head {
            return Err(Reason::HeadersTooLarge.into());
        }
        Ok(Some((length, head::inspect(&self.pending[..length])?)))
    }

    fn pass_head(&mut self, length: usize, framing: Framing) {
        self.passing = length;
        self.heads += 1;
        self.connection.wait_for(Waiting::Nothing, (self.now_ms)());
        self.phase = match framing {
            Framing::Length(0) => Phase::Head { scanned: 0 },
            Framing::Length(length) => Phase::Length(length),
            Framing::Chunked => Phase::Chunked(Chunks::default()),
        };
    }

    fn refuse(&mut self, refusal: Refusal) {
        *self.connection.refused.borrow_mut() = Some((self.heads, refusal));
        self.connection.wait_for(Waiting::Nothing, (self.now_ms)());
        self.pending.clear();
        self.pending.extend_from_slice(PLACEHOLDER);
        self.passing = PLACEHOLDER.len();
        self.phase = Phase::Refused;
    }

    /// Reads a body of known length straight into the library's buffer, never beyond its end.
    fn read_length(
        &mut self,
        left: u64,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        if left >= buf.remaining() as u64 {
            ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        } else {
            let mut part = ReadBuf::new(buf.initialize_unfilled_to(left as usize));
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut part))?;
            let read = part.filled().len();
            buf.advance(read);
        }
        self.phase = match left - (buf.filled().len() - before) as u64 {
            0 => Phase::Head { scanned: 0 },
            left => Phase::Length(left),
        };
        Poll::Ready(Ok(()))
    }

    /// Reads more into `pending`; `false` at the end of the stream.
    fn read_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        self.pending.reserve(READ);
        let read = ready!(poll_read_buf(Pin::new(&mut self.stream), cx, &mut self.pending))?;
        Poll::Ready(Ok(read > 0))
    }

    /// Reads off what a client still sends while its refusal is on the way. Past the bound nothing
    /// more is read, but the socket stays open for the rest of the second: closed with bytes unread,
    /// it would be reset, and the client might never see the answer.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let (sleep, left) =
            self.linger.get_or_insert_with(|| (Box::pin(sleep(LINGER)), LINGER_BYTES));
        while *left > 0 {
            if sleep.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            self.pending.clear();
            self.pending.reserve(READ);
            match ready!(poll_read_buf(Pin::new(&mut self.stream), cx, &mut self.pending)) {
                Ok(0) | Err(_) => return Poll::Ready(()),
                Ok(read) => *left = left.saturating_sub(read),
            }
        }
        sleep.as_mut().poll(cx)
    }

    /// Whether the client may still be sending what nobody reads.
    fn has_unread(&self) -> bool {
        !matches!(self.phase, Phase::Head { .. }) || !self.pending.is_empty()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Gate<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if this.passing > 0 {
                this.hand_over(buf);
                return Poll::Ready(Ok(()));
            }
            match &mut this.phase {
                // The answer is on its way, and the connection ends behind it.
                Phase::Refused => return Poll::Pending,
                Phase::Head { scanned } => {
                    let scanned = *scanned;
                    if !this.pending.is_empty() && !this.look_at_head(scanned) {
                        continue;
                    }
                    let partial = !this.pending.is_empty();
                    if partial && this.connection.waiting().0 == Waiting::Request {
                        this.connection.wait_for(Waiting::Head, (this.now_ms)());
                    }
                }
                Phase::Length(left) if this.pending.is_empty() => {
                    let left = *left;
                    return this.read_length(left, cx, buf);
                }
                Phase::Length(left) => {
                    this.passing = (*left).min(this.pending.len() as u64) as usize;
                    this.phase = match *left - this.passing as u64 {
                        0 => Phase::Head { scanned: 0 },
                        left => Phase::Length(left),
                    };
                    continue;
                }
                Phase::Chunked(chunks) if !this.pending.is_empty() => {
                    let broken = |_| io::Error::new(io::ErrorKind::InvalidData, "broken chunking");
                    this.passing = chunks.advance(&this.pending).map_err(broken)?;
                    if chunks.is_done() {
                        this.phase = Phase::Head { scanned: 0 };
                    }
                    continue;
                }
                Phase::Chunked(_) => {}
            }
            if !ready!(this.read_more(cx))? {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Gate<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.linger.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
        }
        if self.has_unread() {
            ready!(self.poll_linger(cx));
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    fn gate<S: AsyncRead + AsyncWrite + Unpin>(stream: S) -> (Gate<S>, Rc<Connection>) {
        let connection = Rc::new(Connection::new("::ffff:192.0.2.1".parse().unwrap(), 0));
        (Gate::new(stream, Rc::clone(&connection), 1024, || 0), connection)
    }

    /// All that goes on of what a client sends in pieces of `piece` bytes.
    async fn passed(sent: &[u8], piece: usize) -> (Vec<u8>, Option<Refusal>) {
        let (mut client, server) = duplex(64 * 1024);
        let (mut gate, connection) = gate(server);
        for piece in sent.chunks(piece) {
            client.write_all(piece).await.unwrap();
        }
        client.shutdown().await.unwrap();
        let mut passed = Vec::new();
        let mut buf = [0; 100];
        while let Ok(Ok(read)) =
            tokio::time::timeout(Duration::from_millis(20), gate.read(&mut buf)).await
        {
            if read == 0 {
                break;
            }
            passed.extend_from_slice(&buf[..read]);
        }
        let refused = connection.refused.borrow_mut().take();
        (passed, refused.map(|(_, refusal)| refusal))
    }

    #[tokio::test(start_paused = true)]
    async fn whole_messages_pass_unchanged_however_they_are_cut() {
        let sent = b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello\
            POST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n\
            GET /c HTTP/1.1\r\nHost: a\r\n\r\n";
        for piece in [1, 2, 7, 50, 1000] {
            assert_eq!(passed(sent, piece).await, (sent.to_vec(), None), "pieces of {piece}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn in_the_place_of_a_refused_head_a_harmless_one_passes_and_nothing_behind_it() {
        let sent =
            b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n";
        let (passed, refusal) = passed(sent, 1000).await;
        assert_eq!(passed, PLACEHOLDER);
        assert_eq!(refusal, Some(Refusal::BadRequest("more than one Host")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_beyond_the_limit_is_refused_before_it_ends() {
        let sent = format!("GET / HTTP/1.1\r\nHost: a\r\nA: {}", "x".repeat(2000));
        assert_eq!(passed(sent.as_bytes(), 100).await.1, Some(Reason::HeadersTooLarge.into()));
    }

    #[tokio::test]
    async fn a_refusal_is_found_by_its_own_request() {
        let (_, connection) = gate(duplex(1).1);
        *connection.refused.borrow_mut() = Some((1, Reason::BadRequest.into()));
        assert_eq!(connection.begin_request(), None);
        assert!(connection.begin_request().is_some());
        assert_eq!(connection.begin_request(), None);
        assert_eq!(connection.client.to_string(), "192.0.2.1");
    }
}
