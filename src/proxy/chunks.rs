//! What is what in a chunked body (RFC 9112 section 7.1), found without holding any of it.
//!
//! Stricter than the RFC lets a reader be: lines end with CRLF, sizes are hex digits, extensions and
//! trailers are bounded.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::head::{MAX_FIELDS, is_token};

/// Bytes of chunk extensions and of trailers that a body may have in all.
const MAX_SIDE: u16 = 16_000;
/// Hex digits of a chunk's size: as many as 64 bits have, leading zeros and all.
const MAX_DIGITS: u8 = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Within a chunk's size, behind so many digits.
    Size(u8),
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
    /// Within a trailer's name.
    TrailerName,
    /// Behind a trailer's colon.
    TrailerValue,
    /// Behind the CR of a trailer line.
    TrailerEnd,
    /// Behind the CR of the empty line.
    LastLineFeed,
    Done,
    Broken,
}

/// Follows a chunked body through however many pieces it comes in.
#[derive(Clone, Copy, Debug)]
pub struct Chunks {
    at: At,
    size: u64,
    side: u16,
    trailers: u8,
}

/// What some bytes of a chunked body are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Sizes, extensions and the ends of lines.
    Framing,
    /// Of a chunk's data.
    Data,
    /// Of the trailers, the empty line that ends the body included.
    Trailers,
}

/// The trailers of a section that ends with its empty line; `None`: they cannot be read.
pub fn trailers(section: &Bytes) -> Option<HeaderMap> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let Ok(httparse::Status::Complete((_, fields))) = httparse::parse_headers(section, &mut fields)
    else {
        return None;
    };
    let mut trailers = HeaderMap::with_capacity(fields.len());
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
        let value = HeaderValue::from_maybe_shared(section.slice_ref(field.value)).ok()?;
        trailers.append(name, value);
    }
    Some(trailers)
}

impl Default for Chunks {
    fn default() -> Self {
        Self { at: At::Size(0), size: 0, side: 0, trailers: 0 }
    }
}

impl Chunks {
    /// How many of `bytes` are of the body; fewer than all only once it has ended or is broken.
    pub fn advance(&mut self, bytes: &[u8]) -> usize {
        let mut used = 0;
        while used < bytes.len() {
            match self.next(&bytes[used..]) {
                (_, 0) => break,
                (_, length) => used += length,
            }
        }
        used
    }

    /// What stands first in `bytes`, and how many of them it takes: none once the body has ended or
    /// is broken.
    pub fn next(&mut self, bytes: &[u8]) -> (Part, usize) {
        let part = self.part();
        if part == Part::Data {
            let taken = self.size.min(bytes.len() as u64);
            self.size -= taken;
            if self.size == 0 {
                self.at = At::DataEnd;
            }
            return (part, taken as usize);
        }
        let mut used = 0;
        while used < bytes.len() && self.part() == part && !self.is_done() {
            self.at = self.behind(bytes[used]);
            if self.is_broken() {
                break;
            }
            used += 1;
        }
        (part, used)
    }

    fn part(&self) -> Part {
        match self.at {
            At::Data => Part::Data,
            At::TrailerStart
            | At::TrailerName
            | At::TrailerValue
            | At::TrailerEnd
            | At::LastLineFeed
            | At::Done => Part::Trailers,
            _ => Part::Framing,
        }
    }

    /// Whether a chunk's data comes next.
    pub fn is_at_data(&self) -> bool {
        self.at == At::Data
    }

    /// Whether the body has ended.
    pub fn is_done(&self) -> bool {
        self.at == At::Done
    }

    /// Whether the chunking is broken: the body never ends.
    pub fn is_broken(&self) -> bool {
        self.at == At::Broken
    }

    fn behind(&mut self, byte: u8) -> At {
        match (self.at, byte) {
            (At::Size(digits), _) if byte.is_ascii_hexdigit() => self.digit(digits, byte),
            (At::Size(1..), b';') => At::Extension,
            (At::Size(1..) | At::Extension, b'\r') => At::SizeEnd,
            (At::Extension, _) if is_text(byte) => self.side(At::Extension),
            (At::SizeEnd, b'\n') if self.size == 0 => At::TrailerStart,
            (At::SizeEnd, b'\n') => At::Data,
            (At::DataEnd, b'\r') => At::DataLineFeed,
            (At::DataLineFeed, b'\n') => At::Size(0),
            (At::TrailerStart, b'\r') => At::LastLineFeed,
            (At::TrailerStart | At::TrailerName, _) if is_token(byte) => self.side(At::TrailerName),
            (At::TrailerName, b':') => self.side(At::TrailerValue),
            (At::TrailerValue, b'\r') => self.side(At::TrailerEnd),
            (At::TrailerValue, _) if is_text(byte) => self.side(At::TrailerValue),
            (At::TrailerEnd, b'\n') => self.trailer(),
            (At::LastLineFeed, b'\n') => At::Done,
            _ => At::Broken,
        }
    }

    fn digit(&mut self, digits: u8, digit: u8) -> At {
        if digits == MAX_DIGITS {
            return At::Broken;
        }
        // Sixteen digits fill the 64 bits and no more.
        let value = char::from(digit).to_digit(16).unwrap_or_default();
        self.size = self.size << 4 | u64::from(value);
        At::Size(digits + 1)
    }

    fn side(&mut self, at: At) -> At {
        self.side += 1;
        if self.side > MAX_SIDE { At::Broken } else { at }
    }

    fn trailer(&mut self) -> At {
        self.trailers += 1;
        if usize::from(self.trailers) > MAX_FIELDS {
            return At::Broken;
        }
        self.side(At::TrailerStart)
    }
}

/// What a quoted string or a field's value may have (RFC 9110 section 5.5).
fn is_text(byte: u8) -> bool {
    byte == b'\t' || !byte.is_ascii_control()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// How far a body goes, and whether it is broken there.
    fn end(body: &str) -> (usize, bool) {
        let mut chunks = Chunks::default();
        let length = chunks.advance(body.as_bytes());
        assert_ne!(chunks.is_done(), chunks.is_broken(), "{body:?}");
        (length, chunks.is_broken())
    }

    #[test]
    fn a_body_ends_behind_its_last_chunk_and_trailers() {
        for body in [
            "0\r\n\r\n",
            "3\r\nabc\r\n0\r\n\r\n",
            "A;x=y\r\n0123456789\r\n0\r\nT: v\r\n\r\n",
            "0;\r\nOne:\r\nTwo: \t\"é\"\r\n\r\n",
        ] {
            assert_eq!(end(&format!("{body}GET / HTTP/1.1\r\n")), (body.len(), false), "{body:?}");
        }
    }

    #[test]
    fn broken_chunking_goes_on_to_where_it_breaks() {
        for (good, broken) in [
            ("", "x\r\n"),
            ("1\r\na", "\n0\r\n\r\n"),
            ("1\r", "a"),
            ("1;", "\0\r\n"),
            ("0000000000000001", "0\r\n"),
            ("ffffffffffffffff", "f\r\n"),
            ("0\r\nT", " : v\r\n\r\n"),
            ("0\r\nT: v\r\n", " w\r\n\r\n"),
        ] {
            assert_eq!(end(&format!("{good}{broken}")), (good.len(), true), "{good:?}{broken:?}");
        }
    }

    #[test]
    fn data_is_told_from_framing_and_trailers() {
        let (mut chunks, mut rest) = (Chunks::default(), "3;e\r\nabc\r\n0\r\nT: v\r\n\r\nnext");
        let mut parts = Vec::new();
        loop {
            let (part, length) = chunks.next(rest.as_bytes());
            if length == 0 {
                break;
            }
            parts.push((part, &rest[..length]));
            rest = &rest[length..];
        }
        assert_eq!(
            parts,
            [
                (Part::Framing, "3;e\r\n"),
                (Part::Data, "abc"),
                (Part::Framing, "\r\n0\r\n"),
                (Part::Trailers, "T: v\r\n\r\n"),
            ]
        );
        assert_eq!(rest, "next");
    }

    #[test]
    fn a_size_of_all_bits_is_counted_down() {
        let mut chunks = Chunks::default();
        assert_eq!(chunks.advance(b"ffffffffffffffff\r\nabc"), 21);
        assert_eq!(chunks.size, u64::MAX - 3);
        assert!(!chunks.is_broken());
    }

    #[test]
    fn what_a_body_has_beside_its_data_is_bounded() {
        let long = "x".repeat(usize::from(MAX_SIDE) + 1);
        let many = "1;x\r\na\r\n".repeat(usize::from(MAX_SIDE) + 1);
        let trailers = "A: b\r\n".repeat(MAX_FIELDS + 1);
        for body in [
            format!("1;{long}"),
            format!("0\r\n{long}"),
            format!("0\r\nT:{long}"),
            many,
            format!("0\r\n{trailers}"),
        ] {
            assert!(end(&body).1, "{}", &body[..10]);
        }
        assert!(!end(&format!("0\r\n{}\r\n", "A: b\r\n".repeat(MAX_FIELDS))).1);
        // Sizes alone are no burden, however many.
        assert!(!end(&format!("{}0\r\n\r\n", "1\r\na\r\n".repeat(20_000))).1);
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(
            parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40), 0..6),
            cuts in proptest::collection::vec(1usize..9, 1..200),
            flaw in proptest::option::of((any::<prop::sample::Index>(), any::<u8>())),
        ) {
            let mut body = Vec::new();
            for part in &parts {
                body.extend(format!("{:x};e\r\n", part.len()).bytes());
                body.extend(part);
                body.extend(b"\r\n");
            }
            body.extend(b"0\r\nT: v\r\n\r\n");
            if let Some((at, byte)) = flaw {
                let at = at.index(body.len());
                body[at] = byte;
            }
            let mut whole = Chunks::default();
            let length = whole.advance(&body);
            let mut chunks = Chunks::default();
            let (mut at, mut cuts) = (0, cuts.into_iter().cycle());
            while at < length {
                let end = (at + cuts.next().unwrap()).min(body.len());
                at += chunks.advance(&body[at..end]);
            }
            chunks.advance(&body[at..]);
            prop_assert_eq!(at, length);
            prop_assert_eq!((chunks.is_done(), chunks.is_broken()), (whole.is_done(), whole.is_broken()));
        }
    }
}
