//! An answer's body (RFC 9112 sections 6 and 7), taken out of the bytes of its connection.

use bytes::{Buf as _, Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Frame, SizeHint};

use super::Error;
use super::head::Framing;
use crate::proxy::chunks::{Chunks, Part, trailers};

/// Follows a body to its end.
#[derive(Debug)]
pub(super) struct Decoder(Kind);

#[derive(Debug)]
enum Kind {
    /// So many bytes are still to come.
    Length(u64),
    Chunked {
        chunks: Chunks,
        /// What has come of the trailers.
        section: Vec<u8>,
    },
    UntilClose,
    /// Behind the body stand these.
    Trailers(HeaderMap),
}

impl Decoder {
    /// At the beginning of a body.
    pub(super) fn new(framing: Framing) -> Self {
        Self(match framing {
            Framing::Length(length) => Kind::Length(length),
            Framing::Chunked => Kind::Chunked { chunks: Chunks::default(), section: Vec::new() },
            Framing::UntilClose => Kind::UntilClose,
        })
    }

    /// Of no body at all, or behind one.
    pub(super) const fn done() -> Self {
        Self(Kind::Length(0))
    }

    /// Whether nothing more is to come.
    pub(super) fn is_done(&self) -> bool {
        matches!(self.0, Kind::Length(0))
    }

    /// How much is still to come, as far as it is known.
    pub(super) fn size_hint(&self) -> SizeHint {
        match self.0 {
            Kind::Length(left) => SizeHint::with_exact(left),
            _ => SizeHint::new(),
        }
    }

    /// The next frame in `input`, which is taken out of it; `None`: there is none yet, or never. The
    /// end is noticed with the last frame wherever it has come by then.
    pub(super) fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Frame<Bytes>>, Error> {
        let data = match &mut self.0 {
            Kind::Trailers(trailers) => {
                let trailers = std::mem::take(trailers);
                *self = Self::done();
                return Ok(Some(Frame::trailers(trailers)));
            }
            _ if input.is_empty() => return Ok(None),
            Kind::Length(0) => return Ok(None),
            Kind::Length(left) => {
                let taken = (*left).min(input.len() as u64);
                *left -= taken;
                input.split_to(taken as usize)
            }
            Kind::UntilClose => input.split(),
            Kind::Chunked { .. } => match self.chunk(input)? {
                Some(data) => data,
                None if matches!(self.0, Kind::Trailers(_)) => return self.decode(input),
                None => return Ok(None),
            },
        };
        Ok(Some(Frame::data(data.freeze())))
    }

    /// The connection has no more bytes.
    pub(super) fn end_of_input(&mut self) -> Result<(), Error> {
        if !matches!(self.0, Kind::UntilClose) {
            return Err(Error::Ended);
        }
        *self = Self::done();
        Ok(())
    }

    /// The data of the first chunk that `input` begins with, or what it has of it.
    fn chunk(&mut self, input: &mut BytesMut) -> Result<Option<BytesMut>, Error> {
        self.skip_framing(input)?;
        let Kind::Chunked { chunks, .. } = &mut self.0 else { return Ok(None) };
        if input.is_empty() {
            return Ok(None);
        }
        let (_, length) = chunks.next(input);
        let data = input.split_to(length);
        self.skip_framing(input)?;
        Ok(Some(data))
    }

    /// Goes on to the next data, or to the end.
    fn skip_framing(&mut self, input: &mut BytesMut) -> Result<(), Error> {
        let Kind::Chunked { chunks, section } = &mut self.0 else { return Ok(()) };
        while !input.is_empty() && !chunks.is_at_data() {
            let (part, length) = chunks.next(input);
            if chunks.is_broken() {
                return Err(Error::Malformed("its body is badly chunked"));
            }
            // Mostly there are none, and nothing is to be kept.
            let none = section.is_empty() && chunks.is_done() && length == 2;
            if part == Part::Trailers && !none {
                section.extend_from_slice(&input[..length]);
            }
            input.advance(length);
            if chunks.is_done() {
                let section = std::mem::take(section);
                self.0 = match &section[..] {
                    b"" | b"\r\n" => Kind::Length(0),
                    _ => Kind::Trailers(
                        trailers(&section.into())
                            .ok_or(Error::Malformed("its trailers are malformed"))?,
                    ),
                };
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The data and trailers of a body that comes in pieces of that size, and what is left behind it.
    fn read(
        framing: Framing,
        body: &str,
        piece: usize,
    ) -> Result<(String, HeaderMap, String), Error> {
        let (mut decoder, mut input) = (Decoder::new(framing), BytesMut::new());
        let (mut data, mut trailers) = (String::new(), HeaderMap::new());
        for piece in body.as_bytes().chunks(piece) {
            input.extend_from_slice(piece);
            while let Some(frame) = decoder.decode(&mut input)? {
                match frame.into_data() {
                    Ok(bytes) => data.push_str(std::str::from_utf8(&bytes).unwrap()),
                    Err(frame) => trailers = frame.into_trailers().unwrap(),
                }
            }
        }
        if !decoder.is_done() {
            decoder.end_of_input()?;
        }
        Ok((data, trailers, String::from_utf8(input.to_vec()).unwrap()))
    }

    #[test]
    fn a_body_is_the_same_in_whatever_pieces_it_comes() {
        let chunked = "3\r\nabc\r\n2;e=f\r\nde\r\n0\r\n\r\nnext";
        let with_trailers = "1\r\na\r\n0\r\nX-Sum: 1\r\nX-Sum: 2\r\nY:\r\n\r\nnext";
        for piece in 1..chunked.len() {
            let (data, _, rest) = read(Framing::Length(5), "abcdenext", piece).unwrap();
            assert_eq!((&*data, &*rest), ("abcde", "next"));
            let (data, _, rest) = read(Framing::UntilClose, "abcdenext", piece).unwrap();
            assert_eq!((&*data, &*rest), ("abcdenext", ""));
            let (data, trailers, rest) = read(Framing::Chunked, chunked, piece).unwrap();
            assert_eq!((&*data, trailers.len(), &*rest), ("abcde", 0, "next"));
            let (data, trailers, rest) = read(Framing::Chunked, with_trailers, piece).unwrap();
            assert_eq!((&*data, trailers.len(), &*rest), ("a", 3, "next"));
            let sums: Vec<_> = trailers.get_all("x-sum").iter().collect();
            assert_eq!(sums, ["1", "2"]);
        }
    }

    #[test]
    fn the_end_is_noticed_with_the_last_data() {
        for (framing, body) in
            [(Framing::Length(3), "abc"), (Framing::Chunked, "3\r\nabc\r\n0\r\n\r\n")]
        {
            let (mut decoder, mut input) = (Decoder::new(framing), BytesMut::from(body));
            assert!(!decoder.is_done());
            let frame = decoder.decode(&mut input).unwrap().expect("data");
            assert_eq!(frame.into_data().unwrap(), "abc");
            assert!(decoder.is_done(), "{framing:?}");
        }
    }

    #[test]
    fn a_body_that_ends_too_soon_or_is_badly_chunked_is_refused() {
        assert!(matches!(read(Framing::Length(5), "abcd", 9), Err(Error::Ended)));
        assert!(matches!(read(Framing::Chunked, "1\r\na\r\n0\r\n", 9), Err(Error::Ended)));
        assert!(matches!(read(Framing::Chunked, "2\r\na", 9), Err(Error::Ended)));
        for broken in [
            "x\r\n",
            "\r\n",
            "1 \r\na\r\n0\r\n\r\n",
            "1\na\r\n0\r\n\r\n",
            "1\r\nab\r\n0\r\n\r\n",
            "00000000000000001\r\na\r\n0\r\n\r\n",
            "0\r\nX : y\r\n\r\n",
            "0\r\nX: y\n\r\n",
            "0\r\n X: y\r\n\r\n",
        ] {
            for piece in 1..broken.len() {
                let read = read(Framing::Chunked, broken, piece);
                assert!(matches!(read, Err(Error::Malformed(_))), "{broken:?}");
            }
        }
    }

    #[test]
    fn what_is_known_of_the_size_is_said() {
        let mut decoder = Decoder::new(Framing::Length(5));
        assert_eq!(decoder.size_hint().exact(), Some(5));
        decoder.decode(&mut BytesMut::from("ab")).unwrap();
        assert_eq!(decoder.size_hint().exact(), Some(3));
        assert_eq!(Decoder::new(Framing::Chunked).size_hint().exact(), None);
    }
}
