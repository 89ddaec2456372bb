//! A request's body as whoever forwards it sees it: read from the client's connection when it is
//! asked for, and not before.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};

use super::super::head::Framing;

/// A piece of a body.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// Data, at least a byte, and whether it is the last of the body.
    Data(Bytes, bool),
    /// What comes last.
    Trailers(HeaderMap),
    /// Nothing: the body has ended.
    End,
}

/// A connection that a body is read from.
pub trait Source {
    /// The next piece of the body that is under way.
    fn poll_piece(&self, cx: &mut Context<'_>) -> Poll<io::Result<Piece>>;
    /// Nobody will ask for what is left of it.
    fn let_go(&self);
}

/// The body of one request.
pub struct Body {
    /// `None` once it has ended.
    source: Option<Rc<dyn Source>>,
    /// Bytes that are to come, where that was said beforehand.
    left: Option<u64>,
}

impl Body {
    /// A body that comes from there and ends so; `None` where there is none.
    pub fn new(source: Rc<dyn Source>, framing: Framing) -> Option<Self> {
        let left = match framing {
            Framing::Length(0) => return None,
            Framing::Length(length) => Some(length),
            Framing::Chunked => None,
        };
        Some(Self { source: Some(source), left })
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let Some(source) = &self.source else { return Poll::Ready(None) };
        let piece = ready!(source.poll_piece(cx));
        if !matches!(piece, Ok(Piece::Data(_, false))) {
            self.source = None;
        }
        Poll::Ready(match piece {
            Ok(Piece::Data(data, _)) => {
                self.left = self.left.map(|left| left - data.len() as u64);
                Some(Ok(Frame::data(data)))
            }
            Ok(Piece::Trailers(trailers)) => Some(Ok(Frame::trailers(trailers))),
            Ok(Piece::End) => None,
            Err(error) => Some(Err(error)),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.source.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match self.left {
            _ if self.source.is_none() => SizeHint::with_exact(0),
            Some(left) => SizeHint::with_exact(left),
            None => SizeHint::default(),
        }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        if let Some(source) = &self.source {
            source.let_go();
        }
    }
}
