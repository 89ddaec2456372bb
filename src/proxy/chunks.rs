//! What is what in a chunked body (RFC 9112 section 7.1), found without holding any of it.
//!
//! Stricter than the RFC lets a reader be: lines end with CRLF, sizes are hex digits, extensions and
//! trailers are bounded.

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
            if self.at == At::Data {
                let taken = self.size.min((bytes.len() - used) as u64);
                self.size -= taken;
                used += taken as usize;
                if self.size == 0 {
                    self.at = At::DataEnd;
                }
                continue;
            }
            if matches!(self.at, At::Done | At::Broken) {
                break;
            }
            self.at = self.behind(bytes[used]);
            used += usize::from(self.at != At::Broken);
        }
        used
    }

    /// How many of `bytes` come before the next data, before the trailers, or behind where those begin
    /// and up to the end; none where data is next.
    pub fn skip(&mut self, bytes: &[u8]) -> usize {
        let (mut used, in_trailers) = (0, self.is_in_trailers());
        while used < bytes.len()
            && !matches!(self.at, At::Data | At::Done | At::Broken)
            && self.is_in_trailers() == in_trailers
        {
            self.at = self.behind(bytes[used]);
            used += usize::from(self.at != At::Broken);
        }
        used
    }

    /// How many bytes of data come next, where data does.
    pub fn data(&self) -> Option<u64> {
        (self.at == At::Data).then_some(self.size)
    }

    /// Whether what comes next are trailers, or the empty line that ends them.
    pub fn is_in_trailers(&self) -> bool {
        matches!(
            self.at,
            At::TrailerStart
                | At::TrailerName
                | At::TrailerValue
                | At::TrailerEnd
                | At::LastLineFeed
        )
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

    /// Its data, its trailers with the empty line behind them, and how far it goes.
    fn data_and_trailers(body: &[u8]) -> (Vec<u8>, Vec<u8>, usize) {
        let (mut chunks, mut at) = (Chunks::default(), 0);
        let (mut data, mut trailers) = (Vec::new(), Vec::new());
        while at < body.len() && !chunks.is_done() && !chunks.is_broken() {
            if let Some(left) = chunks.data() {
                let end = body.len().min(at + left as usize);
                data.extend(&body[at..end]);
                at += chunks.advance(&body[at..end]);
                continue;
            }
            let in_trailers = chunks.is_in_trailers();
            let used = chunks.skip(&body[at..]);
            if in_trailers {
                trailers.extend(&body[at..at + used]);
            }
            at += used;
        }
        (data, trailers, at)
    }

    #[test]
    fn data_and_trailers_are_told_from_what_is_around_them() {
        let body = b"3;x=y\r\nabc\r\n1\r\nd\r\n0\r\nT: v\r\n\r\nGET";
        let found = (b"abcd".to_vec(), b"T: v\r\n\r\n".to_vec(), body.len() - 3);
        assert_eq!(data_and_trailers(body), found);
        assert_eq!(data_and_trailers(b"0\r\n\r\n").1, b"\r\n");
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
            prop_assert_eq!(data_and_trailers(&body).2, length);
            prop_assert_eq!((chunks.is_done(), chunks.is_broken()), (whole.is_done(), whole.is_broken()));
        }
    }
}
