//! One connection: a request goes out while its answer comes in.
//!
//! Both are moved by whoever waits for the answer's head or body. What one answer leaves behind
//! decides whether there may be another: anything unread, unsent or unexpected ends the connection.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

use super::Error;
use super::body::Decoder;
use super::head::{self, Answer, Scan};
use super::output::{Framing, Output};

/// Bytes asked for at first: more than a head and a small body have.
const READ: usize = 8 * 1024;
/// Bytes asked for at once of a body that has more: beyond, a read saves little, and memory that
/// just went through the processor's cache is gone from it when it is written on.
const MOST_READ: usize = 64 * 1024;
/// Interim answers (RFC 9110 section 15.2) to one request.
const MOST_INTERIM: u8 = 64;
/// A buffer for requests that a long head has made larger than this is not kept.
const MOST_KEPT: usize = 64 * 1024;

/// What connections read into and write from, handed from one to the next so that those that wait
/// hold none, and what is used is still in the processor's cache.
#[derive(Default)]
pub struct Buffers {
    input: Cell<BytesMut>,
    output: Cell<Vec<u8>>,
}

/// A connection over `S`, on which requests have bodies of kind `B`.
pub struct Connection<S, B> {
    stream: S,
    buffers: Rc<Buffers>,
    /// Read, and not yet taken.
    input: BytesMut,
    /// Whether that is too large a buffer to be handed on.
    large: bool,
    /// How much is asked for at once where it is not known how much there is.
    read: usize,
    output: Output,
    upload: Option<Upload<B>>,
    /// Whether any byte of the request has gone out.
    begun: bool,
    /// Why no more of it can; what the upstream has answered by then is read all the same.
    failure: Option<io::Error>,
    scan: Scan,
    /// What held the request's fields, for those of its answer.
    fields: HeaderMap,
    decoder: Decoder,
    /// Why the answer's body cannot be read to its end.
    broken: Option<Error>,
    /// Whether there may be another request behind this one.
    keeps: bool,
}

/// A request's body that is not sent yet.
struct Upload<B> {
    body: B,
    framing: Framing,
    /// Whether something was taken out of the body.
    touched: bool,
}

/// A request that got no answer.
pub struct Failed<B> {
    /// Why.
    pub error: Error,
    /// The whole of it, where nothing has gone out.
    pub request: Option<Box<Request<B>>>,
}

impl<S, B> Connection<S, B>
where
    S: AsyncRead + AsyncWrite + Unpin,
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// On a stream that has just been opened.
    pub fn new(stream: S, buffers: Rc<Buffers>) -> Self {
        Self {
            stream,
            buffers,
            input: BytesMut::new(),
            large: false,
            read: READ,
            output: Output::default(),
            upload: None,
            begun: false,
            failure: None,
            scan: Scan::default(),
            fields: HeaderMap::new(),
            decoder: Decoder::done(),
            broken: None,
            keeps: true,
        }
    }

    /// Whether the upstream has said nothing since the last answer: not even that it has closed the
    /// connection. Costs no system call where nothing has come.
    pub fn is_quiet(&mut self) -> bool {
        let mut byte = [0];
        let mut cx = Context::from_waker(Waker::noop());
        Pin::new(&mut self.stream).poll_read(&mut cx, &mut ReadBuf::new(&mut byte)).is_pending()
    }

    /// Whether there may be another request: the last is sent and answered to its end.
    pub fn is_reusable(&self) -> bool {
        self.keeps
            && self.decoder.is_done()
            && self.input.is_empty()
            && self.is_sent()
            && self.failure.is_none()
    }

    /// Sends a request and waits for the head of its answer. Its body goes on being sent while that
    /// is waited for, and while the answer's body is read. Of the request's body, trailers are sent
    /// as they come: whether they may pass is decided before.
    pub async fn send(&mut self, request: Box<Request<B>>) -> Result<Response<()>, Failed<B>> {
        let head_only = *request.method() == Method::HEAD;
        let (parts, body) = request.into_parts();
        // In a box, since all requests under way hold it until it is sent.
        let mut parts = Some(Box::new(parts));
        let (mut body, mut unsent) = (Some(body), None);
        let mut interim = 0;
        let answered = poll_fn(|cx| {
            if let (Some(body), Some(parts)) = (body.take(), &parts) {
                unsent = self.begin(parts, body, cx)?;
            }
            let answered = self.poll_answer(head_only, &mut interim, cx);
            if self.begun
                && let Some(sent) = parts.take()
            {
                self.spare_fields(sent.headers);
            }
            answered
        });
        match answered.await {
            Ok(answer) => {
                self.keeps = answer.keeps && answer.status != StatusCode::SWITCHING_PROTOCOLS;
                self.decoder = Decoder::new(answer.framing);
                let mut response = Response::new(());
                *response.status_mut() = answer.status;
                *response.headers_mut() = answer.headers;
                Ok(response)
            }
            Err(error) => {
                let untouched = self.upload.take().filter(|upload| !upload.touched);
                let body = unsent.take().or(untouched.map(|upload| upload.body));
                let request =
                    parts.zip(body).map(|(parts, body)| Request::from_parts(*parts, body));
                Err(Failed { error, request: request.map(Box::new) })
            }
        }
    }

    /// Puts a request's head into words, and as much of its body behind it as is there, so that one
    /// write takes all. What comes back is for the case that it fails: a body that has nothing in it
    /// is not sent.
    fn begin(
        &mut self,
        parts: &Parts,
        mut body: B,
        cx: &mut Context<'_>,
    ) -> Result<Option<B>, Error> {
        self.keeps = false;
        self.begun = false;
        self.scan = Scan::default();
        self.read = READ;
        self.output.begin(self.buffers.output.take());
        let (framing, first) = match body.size_hint().exact() {
            _ if body.is_end_stream() => (Framing::None, None),
            Some(length) => (Framing::Length(length), None),
            // Over HTTP/2 a request may turn out only now to have none.
            None => match Pin::new(&mut body).poll_frame(cx) {
                Poll::Ready(None) => (Framing::None, None),
                Poll::Ready(first) => (Framing::Chunked, first),
                Poll::Pending => (Framing::Chunked, None),
            },
        };
        self.output.head(parts, framing);
        if framing == Framing::None {
            return Ok(Some(body));
        }
        let mut upload = Upload { body, framing, touched: first.is_some() };
        let ended = match first {
            None => false,
            Some(frame) => upload.take(frame, &mut self.output)?,
        };
        self.upload = (!ended).then_some(upload);
        Ok(None)
    }

    fn poll_answer(
        &mut self,
        head_only: bool,
        interim: &mut u8,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Answer, Error>> {
        self.upload(cx)?;
        if !self.begun {
            // What comes before any of the request is out is no answer to it.
            return self
                .failure
                .take()
                .map_or(Poll::Pending, |error| Poll::Ready(Err(error.into())));
        }
        loop {
            while let Some(end) = self.scan.find_end(&self.input)? {
                self.scan = Scan::default();
                let (head, fields) = (self.input.split_to(end).freeze(), &mut self.fields);
                let answer = head::parse(&head, head_only, std::mem::take(fields))?;
                let status = answer.status;
                if !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS {
                    return Poll::Ready(Ok(answer));
                }
                self.spare_fields(answer.headers);
                *interim += 1;
                if *interim > MOST_INTERIM {
                    return Poll::Ready(Err(Error::Malformed("too many interim answers")));
                }
            }
            let read = match (self.poll_read(READ, cx), self.failure.take()) {
                (Poll::Pending, None) => return Poll::Pending,
                (Poll::Ready(Ok(1..)), failure) => {
                    self.failure = failure;
                    continue;
                }
                (_, Some(failure)) => Err(failure),
                (Poll::Ready(read), None) => read,
            };
            return Poll::Ready(Err(read.map_or_else(Error::from, |_| Error::Ended)));
        }
    }

    /// The next frame of the answer's body.
    pub fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Some(error) = self.broken.take() {
            self.decoder = Decoder::done();
            return Poll::Ready(Some(Err(error)));
        }
        let frame = ready!(self.poll_next(cx));
        if let Err(error) = frame {
            // Told next time: whoever passes the answer on drops what is not written when it hears
            // of it, and what came until then is to arrive.
            self.keeps = false;
            self.broken = Some(error);
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.decoder.is_done() {
            self.hand_on_input();
        }
        Poll::Ready(frame.transpose())
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame<Bytes>>, Error>> {
        self.upload(cx)?;
        loop {
            let frame = self.decoder.decode(&mut self.input)?;
            if frame.is_some() || self.decoder.is_done() {
                return Poll::Ready(Ok(frame));
            }
            let left = self.decoder.size_hint().exact();
            let wanted = left.map_or(self.read, |left| left.min(MOST_READ as u64) as usize);
            if ready!(self.poll_read(wanted, cx))? == 0 {
                self.decoder.end_of_input()?;
            }
        }
    }

    /// Whether the answer's body has ended.
    pub fn is_end_stream(&self) -> bool {
        self.decoder.is_done()
    }

    /// How much of the answer's body is still to come.
    pub fn size_hint(&self) -> SizeHint {
        self.decoder.size_hint()
    }

    /// The stream, of which the upstream has made something else by a 101.
    pub fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    /// What of that was read behind the 101.
    pub fn take_early(&mut self) -> Bytes {
        std::mem::take(&mut self.input).freeze()
    }

    fn poll_read(&mut self, wanted: usize, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if wanted > READ && !self.large {
            self.hand_on_input();
            self.large = true;
        }
        if self.input.capacity() == 0 && !self.large {
            self.input = self.buffers.input.take();
        }
        self.input.reserve(wanted);
        let room = self.input.capacity() - self.input.len();
        let read = pin!(self.stream.read_buf(&mut self.input)).poll(cx);
        if self.input.is_empty() {
            self.hand_on_input();
        }
        if matches!(read, Poll::Ready(Ok(read)) if read == room) {
            self.read = MOST_READ.min(self.read * 2);
        }
        read
    }

    fn spare_fields(&mut self, mut fields: HeaderMap) {
        fields.clear();
        self.fields = fields;
    }

    fn hand_on_input(&mut self) {
        if self.input.is_empty() {
            let input = std::mem::take(&mut self.input);
            if !std::mem::take(&mut self.large) {
                self.buffers.input.set(input);
            }
        }
    }

    fn is_sent(&self) -> bool {
        self.upload.is_none() && self.output.is_flushed()
    }

    /// Sends what can be sent of the request now. That its connection takes no more is noted; only
    /// what is the body's own fault is an error.
    fn upload(&mut self, cx: &mut Context<'_>) -> Result<(), Error> {
        if self.is_sent() {
            return Ok(());
        }
        match self.poll_upload(cx) {
            Poll::Ready(Err(Error::Io(failure))) => {
                self.failure = Some(failure);
                self.output.end();
                if self.begun {
                    self.upload = None;
                }
                Ok(())
            }
            Poll::Ready(sent) => sent,
            Poll::Pending => Ok(()),
        }
    }

    fn poll_upload(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        loop {
            self.fill(cx)?;
            if self.output.is_empty() {
                break;
            }
            while !self.output.is_empty() {
                ready!(self.output.poll_write(&mut self.stream, cx))?;
                self.begun = true;
            }
        }
        ready!(self.output.poll_flush(&mut self.stream, cx))?;
        if self.upload.is_none() {
            let output = self.output.end();
            if output.capacity() <= MOST_KEPT {
                self.buffers.output.set(output);
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Takes of the body what is there and has room.
    fn fill(&mut self, cx: &mut Context<'_>) -> Result<(), Error> {
        while let Some(upload) = &mut self.upload
            && self.output.has_room()
        {
            let Poll::Ready(frame) = Pin::new(&mut upload.body).poll_frame(cx) else { break };
            upload.touched = true;
            let ended = match frame {
                Some(frame) => upload.take(frame, &mut self.output)?,
                None => upload.end(&mut self.output)?,
            };
            if ended {
                self.upload = None;
            }
        }
        Ok(())
    }
}

impl<B> Upload<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// Puts a frame into the output; whether it was the last.
    fn take(
        &mut self,
        frame: Result<Frame<Bytes>, B::Error>,
        output: &mut Output,
    ) -> Result<bool, Error> {
        match frame.map_err(|error| Error::Upload(error.into()))?.into_data() {
            Ok(data) => {
                let last = self.body.is_end_stream();
                output.piece(&mut self.framing, data, last);
                if last { self.end_of_length() } else { Ok(self.framing == Framing::Length(0)) }
            }
            Err(frame) => {
                if let (Framing::Chunked, Ok(trailers)) = (self.framing, frame.into_trailers()) {
                    output.trailers(&trailers);
                }
                self.end_of_length()
            }
        }
    }

    fn end(&mut self, output: &mut Output) -> Result<bool, Error> {
        output.piece(&mut self.framing, Bytes::new(), true);
        self.end_of_length()
    }

    /// A body that is shorter than it was said to be leaves the upstream waiting for the rest.
    fn end_of_length(&self) -> Result<bool, Error> {
        match self.framing {
            Framing::Length(1..) => Err(Error::Upload("it is shorter than it said".into())),
            _ => Ok(true),
        }
    }
}

#[cfg(test)]
mod tests;
