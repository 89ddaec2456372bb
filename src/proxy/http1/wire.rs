//! A client's connection and what is known of its bytes: heads and bodies one behind the other.
//!
//! The one rule: how the bytes are cut into pieces makes no difference. Behind a head that is
//! refused, and behind a body whose end cannot be known, nothing is read but to throw it away.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::io::poll_read_buf;

use super::super::chunks::Chunks;
use super::super::head::{Framing, Scan};
use super::super::outbox::Outbox;
use super::body::{Piece, Source};
use super::pieces::next_of_chunks;
use super::request::Head;
use super::stock::{READ, Stock};
use crate::domain::Refusal;

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
/// Read at a time of a body that is known to have more.
const BODY: usize = 32 * 1024;
/// Of a body that nobody wants so much is read off, as far as it is there, to keep the connection.
const UNWANTED: usize = 64 * 1024;

/// What there is of a client's next head.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all are requests; a box would cost each an allocation"
)]
pub enum Next {
    /// All of it.
    Request(Head),
    /// As much as is needed to refuse it.
    Refused(Refusal),
    /// None: the client has closed its side.
    End,
}

/// Where a client is in its messages.
enum At {
    Head(Scan),
    /// So much of a body is still to come.
    Length(u64),
    /// Within a chunked body, behind so much of its trailers.
    Chunks(Chunks, Vec<u8>),
    /// Where nobody knows what comes.
    Lost,
}

/// Who reads the body that is under way.
#[derive(PartialEq, Eq)]
enum Reader {
    Somebody,
    /// It was let go before its end.
    Nobody,
}

/// A connection, shared by its own task and whoever reads a request's body, all on one thread.
pub struct Wire<S> {
    stream: S,
    stock: Rc<Stock>,
    max_head: usize,
    /// What was read and is not used yet.
    input: BytesMut,
    at: At,
    outbox: Outbox,
    /// The client waits to be told to send its body.
    owes_continue: bool,
    /// Nothing of an answer has been written yet.
    is_unanswered: bool,
    reader: Reader,
    /// Waits for the end of the body.
    waiting: Option<Waker>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// A connection of which `input` was read already. A head has at most `max_head` bytes.
    pub fn new(stream: S, input: BytesMut, max_head: usize, stock: Rc<Stock>) -> Self {
        Self {
            stream,
            stock,
            max_head,
            input,
            at: At::Head(Scan::default()),
            outbox: Outbox::default(),
            owes_continue: false,
            is_unanswered: false,
            reader: Reader::Somebody,
            waiting: None,
        }
    }

    /// The connection, and what was read of it that is no HTTP any more.
    pub fn into_parts(self) -> (S, BytesMut) {
        (self.stream, self.input)
    }

    /// The connection itself.
    pub fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    /// Whether a head has come in part.
    pub fn has_begun(&self) -> bool {
        matches!(&self.at, At::Head(scan) if scan.has_begun())
    }

    /// Whether the client may have sent what nobody has read.
    pub fn has_unread(&self) -> bool {
        !self.input.is_empty() || !matches!(self.at, At::Head(_))
    }

    /// Reads the next head. The body before it has ended.
    pub fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Next>> {
        loop {
            if let Some(next) = self.find_head() {
                return Poll::Ready(Ok(next));
            }
            let read = match self.poll_read(cx, READ) {
                Poll::Ready(read) => read?,
                Poll::Pending => {
                    self.let_idle();
                    return Poll::Pending;
                }
            };
            if read == 0 {
                let breaks_off = self.has_begun();
                self.input.clear();
                return Poll::Ready(Ok(if breaks_off {
                    self.refuse(Refusal::BadRequest("the head breaks off"))
                } else {
                    Next::End
                }));
            }
        }
    }

    fn find_head(&mut self) -> Option<Next> {
        let At::Head(scan) = &mut self.at else { return Some(Next::End) };
        if self.input.is_empty() {
            return None;
        }
        let length = match scan.find_end(&self.input, self.max_head) {
            Ok(length) => length?,
            Err(refusal) => return Some(self.refuse(refusal)),
        };
        let bytes = self.input.split_to(length).freeze();
        let head = match Head::read(&bytes, &self.stock) {
            Ok(head) => head,
            Err(refusal) => return Some(self.refuse(refusal)),
        };
        self.at = match head.framing {
            Framing::Length(length) => At::length(length),
            Framing::Chunked => At::Chunks(Chunks::default(), Vec::new()),
        };
        let has_body = head.framing != Framing::Length(0);
        self.owes_continue = has_body && head.terms.expects_continue;
        self.is_unanswered = true;
        self.reader = Reader::Somebody;
        Some(Next::Request(head))
    }

    fn refuse(&mut self, refusal: Refusal) -> Next {
        self.at = At::Lost;
        self.input = BytesMut::new();
        Next::Refused(refusal)
    }

    /// Lends its buffer to others for as long as there is nothing in it.
    fn let_idle(&mut self) {
        if self.input.is_empty() {
            self.stock.put_buffer(std::mem::take(&mut self.input));
        }
    }

    /// Reads once, with room for so much; how many bytes came, none at the end.
    fn poll_read(&mut self, cx: &mut Context<'_>, room: usize) -> Poll<io::Result<usize>> {
        if self.input.capacity() == 0 && room <= READ {
            self.input = self.stock.take_buffer();
        }
        if self.input.capacity() - self.input.len() < room {
            self.input.reserve(room);
        }
        poll_read_buf(Pin::new(&mut self.stream), cx, &mut self.input)
    }

    /// The next piece of the body that is under way, which somebody asks for.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Piece>> {
        self.tell_to_continue(cx)?;
        self.poll_body(cx)
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Piece>> {
        loop {
            let room = match &mut self.at {
                At::Head(_) => return Poll::Ready(Ok(Piece::End)),
                At::Lost => return Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
                At::Length(left) if self.input.is_empty() => {
                    usize::try_from(*left).map_or(BODY, |left| left.min(BODY))
                }
                At::Length(left) => {
                    let length = (self.input.len() as u64).min(*left);
                    let left = *left - length;
                    let data = self.input.split_to(length as usize).freeze();
                    self.at = At::length(left);
                    return Poll::Ready(Ok(Piece::Data(data, left == 0)));
                }
                At::Chunks(chunks, trailers) => {
                    match next_of_chunks(chunks, trailers, &mut self.input) {
                        Some(Ok(Piece::Data(data, _))) => {
                            return Poll::Ready(Ok(Piece::Data(data, false)));
                        }
                        Some(Ok(last)) => {
                            self.at = At::length(0);
                            return Poll::Ready(Ok(last));
                        }
                        Some(Err(error)) => {
                            self.at = At::Lost;
                            return Poll::Ready(Err(error));
                        }
                        None => READ,
                    }
                }
            };
            match ready!(self.poll_read(cx, room)) {
                Ok(0) => {
                    self.at = At::Lost;
                    return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                }
                Ok(_) => {}
                Err(error) => {
                    self.at = At::Lost;
                    return Poll::Ready(Err(error));
                }
            }
        }
    }

    /// Has a client send its body that waits for that. Where it does not take those few bytes at once,
    /// they go out with the answer at the latest.
    fn tell_to_continue(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if !self.is_unanswered {
            return Ok(());
        }
        if std::mem::take(&mut self.owes_continue) {
            self.outbox.text().extend_from_slice(CONTINUE);
        }
        if self.outbox.is_empty() {
            return Ok(());
        }
        match self.poll_write(cx) {
            Poll::Ready(written) => written,
            Poll::Pending => Ok(()),
        }
    }

    /// Where the answer's bytes go from now on.
    pub fn begin_answer(&mut self) -> &mut Outbox {
        self.is_unanswered = false;
        if self.outbox.is_empty() {
            self.outbox = Outbox::new(self.stock.take_text());
        }
        &mut self.outbox
    }

    /// Where the answer's bytes go.
    pub fn outbox(&mut self) -> &mut Outbox {
        &mut self.outbox
    }

    /// Writes what is to be written.
    pub fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outbox.poll_write(&mut self.stream, cx)
    }

    /// The answer is written.
    pub fn end_answer(&mut self) {
        self.stock.put_text(std::mem::take(&mut self.outbox).into_text());
    }

    /// Waits for the request's body to end, or to be let go, and then reads off a little that is left
    /// of it; whether another head may follow.
    pub fn poll_settled(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let mut unwanted = 0;
        loop {
            match self.at {
                At::Head(_) => return Poll::Ready(true),
                At::Lost => return Poll::Ready(false),
                _ if self.reader == Reader::Somebody => {
                    self.waiting = Some(cx.waker().clone());
                    return Poll::Pending;
                }
                _ => {}
            }
            match self.poll_body(cx) {
                Poll::Ready(Ok(Piece::Data(data, _))) if unwanted + data.len() <= UNWANTED => {
                    unwanted += data.len();
                }
                Poll::Ready(Ok(Piece::Trailers(_) | Piece::End)) => {}
                _ => return Poll::Ready(false),
            }
        }
    }

    /// Whoever waits for the end of the body looks whether it is there.
    fn wake(&mut self) {
        if let Some(waiting) = self.waiting.take() {
            waiting.wake();
        }
    }
}

impl At {
    fn length(left: u64) -> Self {
        if left == 0 { Self::Head(Scan::default()) } else { Self::Length(left) }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Source for RefCell<Wire<S>> {
    fn poll_piece(&self, cx: &mut Context<'_>) -> Poll<io::Result<Piece>> {
        let mut wire = self.borrow_mut();
        let piece = ready!(wire.poll_piece(cx));
        if !matches!(piece, Ok(Piece::Data(_, false))) {
            wire.wake();
        }
        Poll::Ready(piece)
    }

    fn let_go(&self) {
        let mut wire = self.borrow_mut();
        wire.reader = Reader::Nobody;
        wire.wake();
    }
}
