//! A client's bytes, message by message: how many of those that have come may go on.
//!
//! The one rule: how the bytes are cut into pieces makes no difference. Nothing here reads or
//! writes; [`super::gate`] does.

use super::chunks::Chunks;
use super::head::{self, Framing, Scan};
use crate::domain::Refusal;

/// What comes next.
enum Next {
    Head(Scan),
    /// So much of a body.
    Length(u64),
    Chunked(Chunks),
}

/// What there is in the next bytes of a client.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// So many bytes that may go on, at least one, and none behind the end of a message.
    Good(usize),
    /// A head that has not come to its end. Its bytes are to be shown again with those that follow.
    Partial,
    /// A head that may not be read.
    Refused(Refusal),
    /// A body whose end cannot be known.
    Broken,
}

/// Where a client is in its messages.
pub struct Messages {
    max_head: usize,
    next: Next,
    heads: u64,
}

impl Messages {
    /// Before the first head. A head has at most `max_head` bytes.
    pub fn new(max_head: usize) -> Self {
        Self { max_head, next: Next::Head(Scan::default()), heads: 0 }
    }

    /// Looks at the bytes that come next, of which there is at least one. Behind a refusal there is
    /// nothing to look at; what is broken stays so.
    pub fn look(&mut self, bytes: &[u8]) -> Found {
        let Next::Head(scan) = &mut self.next else { return self.look_at_body(bytes) };
        match complete_head(scan, bytes, self.max_head) {
            Err(refusal) => Found::Refused(refusal),
            Ok(None) => Found::Partial,
            Ok(Some((length, framing))) => {
                self.heads += 1;
                self.next = match framing {
                    Framing::Length(length) => Next::length(length),
                    Framing::Chunked => Next::Chunked(Chunks::default()),
                };
                match self.next {
                    Next::Head(_) => Found::Good(length),
                    _ => Found::Good(length + self.advance(&bytes[length..])),
                }
            }
        }
    }

    /// Heads that were good so far.
    pub fn heads(&self) -> u64 {
        self.heads
    }

    /// Whether a head has come in part.
    pub fn has_begun(&self) -> bool {
        matches!(&self.next, Next::Head(scan) if scan.has_begun())
    }

    /// Whether a body is still to come, or to come to its end.
    pub fn is_in_body(&self) -> bool {
        !matches!(self.next, Next::Head(_))
    }

    fn look_at_body(&mut self, bytes: &[u8]) -> Found {
        match self.advance(bytes) {
            0 => Found::Broken,
            good => Found::Good(good),
        }
    }

    /// How many of these bytes are of the body.
    fn advance(&mut self, bytes: &[u8]) -> usize {
        match &mut self.next {
            Next::Head(_) => 0,
            Next::Length(left) => {
                let good = (bytes.len() as u64).min(*left);
                self.next = Next::length(*left - good);
                good as usize
            }
            Next::Chunked(chunks) => {
                let good = chunks.advance(bytes);
                if chunks.is_done() {
                    self.next = Next::length(0);
                }
                good
            }
        }
    }
}

impl Next {
    fn length(left: u64) -> Self {
        if left == 0 { Self::Head(Scan::default()) } else { Self::Length(left) }
    }
}

fn complete_head(
    scan: &mut Scan,
    bytes: &[u8],
    max: usize,
) -> Result<Option<(usize, Framing)>, Refusal> {
    let Some(length) = scan.find_end(bytes, max)? else { return Ok(None) };
    Ok(Some((length, head::inspect(&bytes[..length])?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    const POST: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n";

    #[test]
    fn no_more_goes_on_than_to_the_end_of_a_message() {
        let mut messages = Messages::new(1024);
        let both = [POST, b"abc", GET].concat();
        assert_eq!(messages.look(&both), Found::Good(POST.len() + 3));
        assert_eq!(messages.look(&both[POST.len() + 3..]), Found::Good(GET.len()));
        assert_eq!(messages.heads(), 2);
    }

    #[test]
    fn a_head_has_begun_from_its_first_byte_to_its_last() {
        let mut messages = Messages::new(1024);
        assert!(!messages.has_begun());
        let head = [b"\r\n", POST].concat();
        for end in 1..head.len() {
            assert_eq!(messages.look(&head[..end]), Found::Partial);
            // The empty line before it is no part of it.
            assert_eq!(messages.has_begun(), end != 2, "{end}");
        }
        assert_eq!(messages.look(&head), Found::Good(head.len()));
        assert!(!messages.has_begun() && messages.is_in_body());
        assert_eq!(messages.look(b"ab"), Found::Good(2));
        assert!(messages.is_in_body());
        assert_eq!(messages.look(b"c"), Found::Good(1));
        assert!(!messages.has_begun() && !messages.is_in_body());
    }

    #[test]
    fn a_broken_body_stays_broken() {
        let mut messages = Messages::new(1024);
        let head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(messages.look(head), Found::Good(head.len()));
        assert_eq!(messages.look(b"3\r\nabcX\r\n0\r\n\r\n"), Found::Good(6));
        for rest in [&b"X\r\n"[..], b"\r\n0\r\n\r\n", GET] {
            assert_eq!(messages.look(rest), Found::Broken);
        }
        assert!(messages.is_in_body());
    }
}
