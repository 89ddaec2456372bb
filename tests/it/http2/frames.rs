//! A client of HTTP/2 that sends exactly the frames it is told to, right or wrong.

use std::io::Read as _;
use std::net::SocketAddr;

use crate::support::Wire;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;
pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;

pub(super) const NO_ERROR: u32 = 0;
pub(super) const PROTOCOL_ERROR: u32 = 1;
pub(super) const REFUSED_STREAM: u32 = 7;
pub(super) const CANCEL: u32 = 8;
pub(super) const ENHANCE_YOUR_CALM: u32 = 11;

/// One connection.
pub(super) struct Frames {
    wire: Wire,
}

/// A frame as it came.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: Vec<u8>,
}

impl Frame {
    /// The error code of a reset or of a farewell.
    pub(super) fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        let code = self.payload[at..at + 4].try_into().expect("four bytes");
        u32::from_be_bytes(code)
    }
}

impl Frames {
    /// Connects, and says the little that a client must.
    pub(super) fn connect(address: SocketAddr) -> Self {
        Self::connect_with(address, &[])
    }

    /// Connects with settings, each an identifier and a value.
    pub(super) fn connect_with(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let mut wire = Wire::connect(address);
        let pair = |(name, value): &(u16, u32)| {
            [&name.to_be_bytes()[..], &value.to_be_bytes()[..]].concat()
        };
        let settings: Vec<u8> = settings.iter().flat_map(pair).collect();
        wire.send([PREFACE, &frame(SETTINGS, 0, 0, &settings)].concat());
        Self { wire }
    }

    /// Sends bytes.
    pub(super) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.wire.send(bytes);
    }

    /// Sends bytes, unless the connection is closed.
    pub(super) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.wire.try_send(bytes).is_ok()
    }

    /// The next frame; `None` where the connection is closed instead.
    pub(super) fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.wire.reader().read_exact(&mut head).ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        self.wire.reader().read_exact(&mut payload).ok()?;
        let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// The next frame of a stream, or a farewell.
    pub(super) fn next_of(&mut self, stream: u32) -> Frame {
        loop {
            let frame = self.next().expect("the connection goes on");
            if (frame.stream == stream && frame.kind != WINDOW_UPDATE) || frame.kind == GOAWAY {
                return frame;
            }
        }
    }

    /// The farewell, if one comes before the connection is closed.
    pub(super) fn farewell(&mut self) -> Option<Frame> {
        std::iter::from_fn(|| self.next()).find(|frame| frame.kind == GOAWAY)
    }
}

/// One frame's bytes.
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short payload").to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [&head, payload].concat()
}

/// A stream's reset.
pub(super) fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &code.to_be_bytes())
}

/// The whole head of a request on a stream.
pub(super) fn headers(stream: u32, ends: bool, fields: &[(&str, &str)]) -> Vec<u8> {
    let flags = END_HEADERS | if ends { END_STREAM } else { 0 };
    frame(HEADERS, flags, stream, &block(fields))
}

/// The fields of an ordinary GET, with more behind them.
pub(super) fn get<'a>(path: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let pseudo =
        [(":method", "GET"), (":scheme", "http"), (":authority", "api.example"), (":path", path)];
    [&pseudo, more].concat()
}

/// Fields as HPACK has them where nothing is indexed or compressed (RFC 7541 section 6.2.2).
pub(super) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        string(&mut block, name.as_bytes());
        string(&mut block, value.as_bytes());
    }
    block
}

fn string(block: &mut Vec<u8>, text: &[u8]) {
    // An integer with a prefix of seven bits (RFC 7541 section 5.1).
    if text.len() < 127 {
        block.push(text.len() as u8);
    } else {
        block.push(127);
        let mut left = text.len() - 127;
        while left >= 128 {
            block.push((left % 128) as u8 | 128);
            left /= 128;
        }
        block.push(left as u8);
    }
    block.extend_from_slice(text);
}
