//! What the connections of one worker use in turn: a connection that waits for a request holds none
//! of it, and one that serves finds it made.

use std::cell::{Cell, RefCell};
use std::time::{Duration, UNIX_EPOCH};

use bytes::BytesMut;
use http::HeaderMap;

/// Room for an ordinary head, and for a small body behind it.
const BUFFER: usize = 8 * 1024;
/// As much room as there must be left in a buffer for it to be read into.
pub(super) const READ: usize = 4 * 1024;
/// Things of a kind that are kept: as many as are often in use at a time.
const KEPT: usize = 64;
/// Text that has grown longer is not kept.
const LONGEST: usize = 32 * 1024;
/// Nor is a map with room for more fields.
const LARGEST_MAP: usize = 256;
/// An HTTP date such as `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 section 5.6.7).
pub type Date = [u8; 29];

/// Buffers, maps and the date.
pub struct Stock {
    buffers: RefCell<Vec<BytesMut>>,
    texts: RefCell<Vec<Vec<u8>>>,
    maps: RefCell<Vec<HeaderMap>>,
    second: Cell<u64>,
    date: Cell<Date>,
}

impl Stock {
    /// An empty one, at `wall_ms` milliseconds since the Unix epoch.
    pub fn new(wall_ms: i64) -> Self {
        let stock = Self {
            buffers: RefCell::default(),
            texts: RefCell::default(),
            maps: RefCell::default(),
            second: Cell::new(u64::MAX),
            date: Cell::new([b' '; 29]),
        };
        stock.tick(wall_ms);
        stock
    }

    /// Says what time it is, in milliseconds since the Unix epoch.
    pub fn tick(&self, wall_ms: i64) {
        let second = wall_ms.max(0).unsigned_abs() / 1_000;
        if self.second.replace(second) != second {
            let text = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(second));
            self.date.set(text.as_bytes().try_into().expect("all HTTP dates are as long"));
        }
    }

    /// The date to the second, as of the last tick.
    pub fn date(&self) -> Date {
        self.date.get()
    }

    /// A buffer to read into, without anything in it.
    pub(super) fn take_buffer(&self) -> BytesMut {
        let kept = self.buffers.borrow_mut().pop();
        kept.unwrap_or_else(|| BytesMut::with_capacity(BUFFER))
    }

    /// Takes back a buffer with nothing in it. What was read into it before may still be in use.
    pub(super) fn put_buffer(&self, mut buffer: BytesMut) {
        let mut buffers = self.buffers.borrow_mut();
        if buffers.len() < KEPT && buffer.try_reclaim(READ) && buffer.capacity() <= BUFFER {
            buffers.push(buffer);
        }
    }

    /// An empty text to write to.
    pub(super) fn take_text(&self) -> Vec<u8> {
        self.texts.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes back a text that is written.
    pub(super) fn put_text(&self, mut text: Vec<u8>) {
        let mut texts = self.texts.borrow_mut();
        if texts.len() < KEPT && text.capacity() <= LONGEST {
            text.clear();
            texts.push(text);
        }
    }

    /// An empty map with room for so many fields.
    pub(super) fn take_map(&self, fields: usize) -> HeaderMap {
        match self.maps.borrow_mut().pop() {
            Some(mut map) => {
                map.reserve(fields);
                map
            }
            None => HeaderMap::with_capacity(fields),
        }
    }

    /// Takes back a map whose fields nobody needs any more.
    pub(super) fn put_map(&self, mut map: HeaderMap) {
        let mut maps = self.maps.borrow_mut();
        if maps.len() < KEPT && map.capacity() <= LARGEST_MAP {
            map.clear();
            maps.push(map);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_is_that_of_the_last_tick() {
        let stock = Stock::new(784_111_777_999);
        assert_eq!(&stock.date(), b"Sun, 06 Nov 1994 08:49:37 GMT");
        stock.tick(784_111_778_000);
        assert_eq!(&stock.date(), b"Sun, 06 Nov 1994 08:49:38 GMT");
    }

    #[test]
    fn a_buffer_is_used_again_once_nobody_reads_in_it() {
        let stock = Stock::new(0);
        let mut buffer = stock.take_buffer();
        buffer.resize(BUFFER, 1);
        let read = buffer.split().freeze();
        let first = read.as_ptr();
        stock.put_buffer(buffer);
        assert_ne!(stock.take_buffer().as_ptr(), first, "it is full and in use");
        let mut buffer = BytesMut::from(read);
        buffer.clear();
        stock.put_buffer(buffer);
        assert_eq!(stock.take_buffer().as_ptr(), first);
    }
}
