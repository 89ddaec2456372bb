//! A chunked body as pieces: its data where it lies, and its trailers.

use std::io;

use bytes::{Buf as _, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::super::chunks::{Chunks, Part};
use super::super::head::MAX_FIELDS;
use super::body::Piece;

/// The next piece of a chunked body, if it has come.
pub(super) fn next_of_chunks(
    chunks: &mut Chunks,
    trailers: &mut Vec<u8>,
    input: &mut BytesMut,
) -> Option<io::Result<Piece>> {
    while !input.is_empty() {
        let (part, length) = chunks.next(input);
        match part {
            Part::Data => return Some(Ok(Piece::Data(input.split_to(length).freeze(), false))),
            Part::Trailers => trailers.extend_from_slice(&input[..length]),
            Part::Framing => {}
        }
        input.advance(length);
        if chunks.is_broken() {
            return Some(Err(io::ErrorKind::InvalidData.into()));
        }
        if chunks.is_done() {
            return Some(last_piece(trailers));
        }
    }
    None
}

/// The end of a chunked body with these trailers and the empty line behind them.
fn last_piece(trailers: &[u8]) -> io::Result<Piece> {
    if trailers == b"\r\n" {
        return Ok(Piece::End);
    }
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let Ok(httparse::Status::Complete((_, fields))) =
        httparse::parse_headers(trailers, &mut fields)
    else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let mut map = HeaderMap::with_capacity(fields.len());
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes());
        let value = HeaderValue::from_bytes(field.value);
        let (Ok(name), Ok(value)) = (name, value) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        map.append(name, value);
    }
    Ok(Piece::Trailers(map))
}
