//! Bodies on their way through: counted, bounded, never held.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderName, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::forward::Stream;
use super::http1;
use super::trailers;
use super::tunnel::Tunnel;
use crate::domain::{Reason, Refusal};

/// Why a body ended before its end.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// What the client's body has come to, seen from outside while the upstream reads it.
#[derive(Default)]
pub struct Upload {
    bytes: Cell<u64>,
    done: Cell<bool>,
    moved: Cell<u64>,
    fault: Cell<Option<Fault>>,
}

#[derive(Clone, Copy)]
enum Fault {
    TooLarge,
    Broken,
}

impl Upload {
    /// Bytes read of the client so far.
    pub fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    /// So much more was read of what the client sends through a tunnel.
    pub fn add(&self, bytes: u64) {
        self.bytes.set(self.bytes.get() + bytes);
    }

    /// How many bytes were read since this was last asked.
    pub fn moved(&self) -> u64 {
        self.moved.take()
    }

    /// Whether the whole of it was read.
    pub fn is_done(&self) -> bool {
        self.done.get()
    }

    /// Why the client's body could not be read to its end.
    pub fn fault(&self) -> Option<Refusal> {
        self.fault.get().map(|fault| match fault {
            Fault::TooLarge => Reason::BodyTooLarge.into(),
            Fault::Broken => Refusal::BadRequest("the body is broken off or badly chunked"),
        })
    }
}

/// A request's body as its client sends it, in whichever protocol.
pub enum ClientStream {
    /// None is sent.
    Empty,
    /// In a connection of its own.
    Http1(http1::Body),
    /// In a stream beside others.
    Http2(Incoming),
}

impl Body for ClientStream {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Http1(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Self::Http2(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Http1(body) => body.is_end_stream(),
            Self::Http2(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Http1(body) => body.size_hint(),
            Self::Http2(body) => body.size_hint(),
        }
    }
}

/// The client's body as it goes to the upstream: no longer than the route takes, with those
/// trailers that may pass.
pub struct ClientBody {
    /// `None` where the client sent none.
    inner: Option<ClientStream>,
    left: u64,
    trailers: Box<[HeaderName]>,
    /// Over HTTP/2 a client may break its body off in a way that the library takes for its end.
    says_end: bool,
    upload: Rc<Upload>,
}

impl ClientBody {
    /// Bounds the body of a request in that version to `max` bytes and its trailers to these.
    pub fn new(
        inner: ClientStream,
        version: Version,
        max: u64,
        trailers: Box<[HeaderName]>,
        upload: Rc<Upload>,
    ) -> Self {
        let empty = inner.is_end_stream();
        upload.done.set(empty);
        let says_end = version == Version::HTTP_2;
        Self { inner: (!empty).then_some(inner), left: max, trailers, says_end, upload }
    }

    /// No body, for a request that had none and is made once more.
    #[must_use]
    pub fn empty_again(&self) -> Self {
        Self {
            inner: None,
            left: 0,
            trailers: Box::default(),
            says_end: false,
            upload: Rc::clone(&self.upload),
        }
    }

    /// Of trailers, those that may pass. They are the last of a body, and not always asked for more.
    fn filtered(&self, frame: Frame<Bytes>) -> Option<Frame<Bytes>> {
        let mut trailers = frame.into_trailers().ok()?;
        self.upload.done.set(true);
        trailers::retain(&mut trailers, |name| self.trailers.contains(name));
        (!trailers.is_empty()).then(|| Frame::trailers(trailers))
    }

    fn fail(
        &self,
        fault: Fault,
        error: BodyError,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.upload.fault.set(Some(fault));
        Poll::Ready(Some(Err(error)))
    }
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            let Some(inner) = &mut self.inner else { return Poll::Ready(None) };
            let frame = match ready!(Pin::new(inner).poll_frame(cx)) {
                None if self.says_end && !self.is_end_stream() => {
                    return self.fail(Fault::Broken, "the client took its request back".into());
                }
                None => {
                    self.upload.done.set(true);
                    return Poll::Ready(None);
                }
                Some(Err(error)) => return self.fail(Fault::Broken, error),
                Some(Ok(frame)) => frame,
            };
            let data = match frame.into_data() {
                Ok(data) => data,
                Err(frame) => match self.filtered(frame) {
                    Some(trailers) => return Poll::Ready(Some(Ok(trailers))),
                    None => continue,
                },
            };
            let length = data.len() as u64;
            let Some(left) = self.left.checked_sub(length) else {
                return self.fail(Fault::TooLarge, "the body is too large".into());
            };
            self.left = left;
            self.upload.bytes.set(self.upload.bytes.get() + length);
            self.upload.moved.set(self.upload.moved.get() + length);
            self.upload.done.set(self.is_end_stream());
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or(SizeHint::with_exact(0), Body::size_hint)
    }
}

/// What a client is answered with: our own few bytes, or the upstream's stream.
pub enum Outgoing {
    /// Made here.
    Full(Option<Bytes>),
    /// From the upstream.
    Stream(Stream),
    /// None: behind the head begins a tunnel.
    Tunnel(Option<Box<Tunnel>>),
}

impl Outgoing {
    /// A body of our own.
    pub fn full(bytes: Bytes) -> Self {
        Self::Full((!bytes.is_empty()).then_some(bytes))
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut *self {
            Self::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Stream(stream) => Pin::new(stream).poll_frame(cx),
            Self::Tunnel(_) => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(bytes) => bytes.is_none(),
            Self::Stream(stream) => stream.is_end_stream(),
            Self::Tunnel(_) => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Self::Stream(stream) => stream.size_hint(),
            Self::Tunnel(_) => SizeHint::with_exact(0),
        }
    }
}
