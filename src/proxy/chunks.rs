//! Where a chunked body ends (RFC 9112 section 7.1), found without holding any of it.
//!
//! Stricter than the RFC lets a reader be: lines end with CRLF, sizes are hex digits, extensions and
//! trailers are bounded. The HTTP library decodes the same bytes again; this only finds their end.

/// Bytes of chunk extensions, and of trailers, that a body may have in all.
const MAX_SIDE: u32 = 16 * 1024;

/// The chunking is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrokenChunk;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Before the first digit of a size.
    Size,
    /// Behind at least one digit.
    Digits,
    /// Behind the `;` of an extension.
    Extension,
    /// Behind the CR of a size line.
    SizeEnd,
    /// In a chunk's data, of which so much is left.
    Data,
    /// Behind the data.
    DataEnd,
    /// Behind the CR behind the data.
    DataLineFeed,
    /// At the start of a trailer line or of the empty one that ends the body.
    TrailerStart,
    /// Within a trailer line.
    Trailer,
    /// Behind the CR of a trailer line.
    TrailerEnd,
    /// Behind the CR of the empty line.
    LastLineFeed,
    Done,
}

/// Follows a chunked body through however many pieces it comes in.
#[derive(Clone, Copy, Debug)]
pub struct Chunks {
    at: At,
    size: u64,
    side: u32,
}

impl Default for Chunks {
    fn default() -> Self {
        Self { at: At::Size, size: 0, side: 0 }
    }
}

impl Chunks {
    /// How many of `bytes` are of the body; fewer than all only once the body has ended.
    pub fn advance(&mut self, bytes: &[u8]) -> Result<usize, BrokenChunk> {
        let mut used = 0;
        while used < bytes.len() && self.at != At::Done {
            if self.at == At::Data {
                let taken = self.size.min((bytes.len() - used) as u64);
                self.size -= taken;
                used += taken as usize;
                if self.size == 0 {
                    self.at = At::DataEnd;
                }
                continue;
            }
            self.step(bytes[used])?;
            used += 1;
        }
        Ok(used)
    }

    /// Whether the body has ended.
    pub fn is_done(&self) -> bool {
        self.at == At::Done
    }

    fn step(&mut self, byte: u8) -> Result<(), BrokenChunk> {
        self.at = match (self.at, byte) {
            (At::Size | At::Digits, digit) if digit.is_ascii_hexdigit() => self.digit(digit)?,
            (At::Digits, b';') => At::Extension,
            (At::Digits | At::Extension, b'\r') => At::SizeEnd,
            (At::Extension, byte) => self.side(byte, At::Extension)?,
            (At::SizeEnd, b'\n') if self.size == 0 => At::TrailerStart,
            (At::SizeEnd, b'\n') => At::Data,
            (At::DataEnd, b'\r') => At::DataLineFeed,
            (At::DataLineFeed, b'\n') => At::Size,
            (At::TrailerStart, b'\r') => At::LastLineFeed,
            (At::Trailer, b'\r') => At::TrailerEnd,
            (At::TrailerStart | At::Trailer, byte) => self.side(byte, At::Trailer)?,
            (At::TrailerEnd, b'\n') => At::TrailerStart,
            (At::LastLineFeed, b'\n') => At::Done,
            _ => return Err(BrokenChunk),
        };
        Ok(())
    }

    fn digit(&mut self, digit: u8) -> Result<At, BrokenChunk> {
        let value = char::from(digit).to_digit(16).ok_or(BrokenChunk)?;
        let shifted = self.size.checked_mul(16).ok_or(BrokenChunk)?;
        self.size = shifted.checked_add(u64::from(value)).ok_or(BrokenChunk)?;
        Ok(At::Digits)
    }

    fn side(&mut self, byte: u8, at: At) -> Result<At, BrokenChunk> {
        self.side += 1;
        if self.side > MAX_SIDE || (byte != b'\t' && byte.is_ascii_control()) {
            return Err(BrokenChunk);
        }
        Ok(at)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_body_ends_behind_its_last_chunk_and_trailers() {
        for body in
            ["0\r\n\r\n", "3\r\nabc\r\n0\r\n\r\n", "A;x=y\r\n0123456789\r\n0\r\nT: v\r\n\r\n"]
        {
            let mut chunks = Chunks::default();
            let next = format!("{body}GET / HTTP/1.1\r\n");
            assert_eq!(chunks.advance(next.as_bytes()), Ok(body.len()), "{body:?}");
            assert!(chunks.is_done());
        }
    }

    #[test]
    fn broken_chunking_is_refused() {
        for body in [
            "\r\n",
            "x\r\n",
            "-1\r\n",
            "+1\r\n",
            "0x1\r\n",
            "1 \r\n",
            " 1\r\n",
            "1\nab",
            "1\r\nab",
            "1\r\na\n0\r\n\r\n",
            "10000000000000000\r\n",
            "1;\n\r\n",
            "0\r\nT: v\n\r\n",
            "0\r\n\rX",
            "1\ra",
            ";x\r\n",
        ] {
            let mut chunks = Chunks::default();
            assert_eq!(chunks.advance(body.as_bytes()), Err(BrokenChunk), "{body:?}");
        }
    }

    #[test]
    fn extensions_and_trailers_are_bounded() {
        let long = "x".repeat(MAX_SIDE as usize + 1);
        for body in [format!("1;{long}"), format!("0\r\n{long}")] {
            assert_eq!(Chunks::default().advance(body.as_bytes()), Err(BrokenChunk));
        }
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(
            parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40), 0..6),
            cuts in proptest::collection::vec(1usize..9, 1..200),
        ) {
            let mut body = Vec::new();
            for part in &parts {
                body.extend(format!("{:x}\r\n", part.len()).bytes());
                body.extend(part);
                body.extend(b"\r\n");
            }
            body.extend(b"0\r\n\r\n");
            let mut chunks = Chunks::default();
            let (mut at, mut cuts) = (0, cuts.into_iter().cycle());
            while at < body.len() {
                let end = (at + cuts.next().unwrap()).min(body.len());
                prop_assert_eq!(chunks.advance(&body[at..end]), Ok(end - at));
                at = end;
            }
            prop_assert!(chunks.is_done());
        }
    }
}
