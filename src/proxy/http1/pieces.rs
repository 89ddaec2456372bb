//! A chunked body as pieces: its data where it lies, and its trailers.

use std::io;

use bytes::{Buf as _, BytesMut};

use super::super::chunks::{Chunks, Part, trailers as trailers_of};
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
            return Some(last_piece(std::mem::take(trailers)));
        }
    }
    None
}

/// The end of a chunked body with these trailers and the empty line behind them.
fn last_piece(section: Vec<u8>) -> io::Result<Piece> {
    if section == b"\r\n" {
        return Ok(Piece::End);
    }
    let trailers = trailers_of(&section.into());
    trailers.map(Piece::Trailers).ok_or(io::ErrorKind::InvalidData.into())
}
