//! When a request may become a WebSocket (RFC 6455 section 4), and where its frames end (section 5).
//!
//! The one rule: nothing but a complete opening handshake asks for an upgrade, and nothing but the
//! upstream's own 101 for it grants one. Every other `Upgrade` is taken off like any hop-by-hop
//! header; `h2c` would carry requests past every check.

use http::header::{
    CONNECTION, CONTENT_LENGTH, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_VERSION, TE, UPGRADE,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::Body;
use hyper::ext::Protocol;

/// The longest head of a frame whose parts decide its length: two bytes and eight of length.
const MAX_DECIDING: usize = 10;
/// The opcode of a close frame (RFC 6455 section 5.5.1).
const CLOSE: u8 = 8;

/// Makes the extended CONNECT by which HTTP/2 asks for a WebSocket (RFC 8441 section 5) the opening
/// handshake that it stands for; whether it was one. `random` becomes the key that HTTP/2 has not.
pub fn from_connect<B>(request: &mut Request<B>, random: [u8; 16]) -> bool {
    let is_one = by_connect(request).is_some_and(|protocol| protocol == "websocket");
    if is_one {
        *request.method_mut() = Method::GET;
        set_upgrade(request.headers_mut());
        request.headers_mut().insert(SEC_WEBSOCKET_KEY, key(random));
    }
    is_one
}

/// The protocol that a request asked for by an extended CONNECT, if it was one.
pub fn by_connect<B>(request: &Request<B>) -> Option<&str> {
    request.extensions().get::<Protocol>().map(Protocol::as_str)
}

/// Makes an upstream's grant the answer to an extended CONNECT.
pub fn to_connect<B>(response: &mut Response<B>) {
    *response.status_mut() = StatusCode::OK;
    for name in [CONNECTION, UPGRADE, SEC_WEBSOCKET_ACCEPT] {
        response.headers_mut().remove(name);
    }
}

/// Sixteen bytes in base64 (RFC 4648 section 4).
fn key(random: [u8; 16]) -> HeaderValue {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = [b'='; 24];
    for (bytes, digits) in random.chunks(3).zip(text.chunks_mut(4)) {
        let bits =
            (0..3).fold(0, |bits, at| bits << 8 | bytes.get(at).map_or(0, |b| usize::from(*b)));
        for (place, digit) in digits.iter_mut().enumerate().take(bytes.len() + 1) {
            *digit = DIGITS[bits >> (18 - 6 * place) & 63];
        }
    }
    HeaderValue::from_bytes(&text).expect("base64 is a header's value")
}

/// Whether a request is a WebSocket's opening handshake: GET without a body, not in HTTP/1.0, version
/// 13.
pub fn is_asked_for<B: Body>(request: &Request<B>) -> bool {
    let headers = request.headers();
    says(headers, &UPGRADE, "websocket")
        && *request.method() == Method::GET
        && request.version() != Version::HTTP_10
        && request.body().is_end_stream()
        && connection_names_upgrade(headers)
        && says(headers, &SEC_WEBSOCKET_VERSION, "13")
        && single(headers, &SEC_WEBSOCKET_KEY).is_some_and(|key| key.len() == 24)
}

/// Whether an upstream's answer makes its connection a WebSocket.
pub fn is_granted(status: StatusCode, headers: &HeaderMap) -> bool {
    status == StatusCode::SWITCHING_PROTOCOLS && says(headers, &UPGRADE, "websocket")
}

/// Says to the next hop what its predecessor said: both headers are of one hop each.
pub fn set_upgrade(headers: &mut HeaderMap) {
    headers.remove(CONTENT_LENGTH);
    headers.remove(TE);
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
}

fn says(headers: &HeaderMap, name: &HeaderName, text: &str) -> bool {
    single(headers, name)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(text.as_bytes()))
}

fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    let value = headers.get(name)?;
    (headers.get_all(name).iter().count() == 1).then_some(value)
}

fn connection_names_upgrade(headers: &HeaderMap) -> bool {
    let values = headers.get_all(CONNECTION).iter();
    let mut names = values.flat_map(|value| value.as_bytes().split(|b| *b == b','));
    names.any(|name| name.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
}

/// Why the gateway itself ends a WebSocket: the status code of its close frame (section 7.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloseCode(u16);

impl CloseCode {
    /// The gateway stops, or nothing was said for too long.
    pub const GOING_AWAY: Self = Self(1001);
    /// Its key may call no more.
    pub const POLICY_VIOLATION: Self = Self(1008);

    /// A close frame without a reason; to a server it is masked (section 5.3), with zeros.
    pub fn frame(self, to_server: bool) -> Vec<u8> {
        let mask: &[u8] = if to_server { &[0; 4] } else { &[] };
        let length = 2 | if to_server { 0x80 } else { 0 };
        [&[0x80 | CLOSE, length], mask, &self.0.to_be_bytes()].concat()
    }
}

/// Follows the frames of one direction through however many pieces they come in.
#[derive(Debug, Default)]
pub struct Frames {
    head: [u8; MAX_DECIDING],
    /// Bytes of the frame's head that have come.
    have: usize,
    /// Bytes of the frame that are still to come behind what decides its length.
    left: u64,
    closed: bool,
}

impl Frames {
    /// Goes on by some bytes; where in them the last frame that ends in them ends.
    pub fn advance(&mut self, bytes: &[u8]) -> Option<usize> {
        let (mut at, mut end) = (0, None);
        while at < bytes.len() {
            if self.left > 0 {
                let taken = self.left.min((bytes.len() - at) as u64);
                self.left -= taken;
                at += taken as usize;
            } else {
                self.head[self.have] = bytes[at];
                self.have += 1;
                at += 1;
                let Some(length) = self.length() else { continue };
                self.closed |= self.head[0] & 0x0f == CLOSE;
                self.left = length;
                self.have = 0;
            }
            if self.left == 0 && self.have == 0 {
                end = Some(at);
            }
        }
        end
    }

    /// Whether a close frame has gone by: nothing may come behind it.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Mask and payload, once the head says how long they are.
    fn length(&self) -> Option<u64> {
        let [_, second, long @ ..] = &self.head;
        let mask = if second & 0x80 == 0 { 0 } else { 4 };
        let payload = match (second & 0x7f, self.have) {
            (126, 4) => u64::from(u16::from_be_bytes([long[0], long[1]])),
            (127, 10) => u64::from_be_bytes(*long),
            (0..126, 2) => u64::from(second & 0x7f),
            _ => return None,
        };
        Some(payload.saturating_add(mask))
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{Empty, Full};
    use proptest::prelude::*;

    use super::*;

    const HANDSHAKE: [(&str, &str); 4] = [
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "WebSocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];

    fn asked(change: impl FnOnce(&mut Request<Empty<&[u8]>>)) -> bool {
        let mut request = Request::new(Empty::new());
        for (name, value) in HANDSHAKE {
            request.headers_mut().append(name, HeaderValue::from_static(value));
        }
        change(&mut request);
        is_asked_for(&request)
    }

    #[test]
    fn a_key_is_base64() {
        assert_eq!(key(*b"the sample nonce"), "dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(key([0xff; 16]), "/////////////////////w==");
    }

    #[test]
    fn only_an_extended_connect_for_it_becomes_a_handshake() {
        let handshake = |method: Method, protocol: Option<&'static str>| {
            let mut request = Request::builder().method(method).version(Version::HTTP_2);
            request = request.header(SEC_WEBSOCKET_VERSION, "13");
            if let Some(protocol) = protocol {
                request = request.extension(Protocol::from_static(protocol));
            }
            let mut request = request.body(Empty::<&[u8]>::new()).unwrap();
            (from_connect(&mut request, [0; 16]), is_asked_for(&request))
        };
        assert_eq!(handshake(Method::CONNECT, Some("websocket")), (true, true));
        assert_eq!(handshake(Method::CONNECT, Some("connect-udp")), (false, false));
        assert_eq!(handshake(Method::CONNECT, None), (false, false));
        assert_eq!(handshake(Method::GET, None), (false, false));
    }

    #[test]
    fn a_complete_handshake_asks_for_a_websocket() {
        assert!(asked(|_| ()));
    }

    #[test]
    fn anything_less_does_not() {
        for (name, _) in HANDSHAKE {
            assert!(!asked(|request| drop(request.headers_mut().remove(name))), "without {name}");
            if name != "connection" {
                let twice = |request: &mut Request<Empty<&[u8]>>| {
                    let value = request.headers()[name].clone();
                    request.headers_mut().append(name, value);
                };
                assert!(!asked(twice), "two of {name}");
            }
        }
        for (name, value) in [
            ("upgrade", "h2c"),
            ("upgrade", "websocket, h2c"),
            ("connection", "close"),
            ("sec-websocket-version", "8"),
            ("sec-websocket-key", "short"),
        ] {
            let value = HeaderValue::from_static(value);
            assert!(!asked(|request| drop(request.headers_mut().insert(name, value))), "{name}");
        }
        assert!(!asked(|request| *request.method_mut() = Method::POST));
        assert!(!asked(|request| *request.version_mut() = Version::HTTP_10));
        let mut with_body = Request::new(Full::new(&b"body"[..]));
        for (name, value) in HANDSHAKE {
            with_body.headers_mut().append(name, HeaderValue::from_static(value));
        }
        assert!(!is_asked_for(&with_body));
    }

    #[test]
    fn only_a_101_for_a_websocket_grants_one() {
        let granted = |status, upgrade| {
            let value = HeaderValue::from_static(upgrade);
            is_granted(status, &HeaderMap::from_iter([(UPGRADE, value)]))
        };
        assert!(granted(StatusCode::SWITCHING_PROTOCOLS, "WebSocket"));
        assert!(!granted(StatusCode::SWITCHING_PROTOCOLS, "h2c"));
        assert!(!granted(StatusCode::OK, "websocket"));
        assert!(!is_granted(StatusCode::SWITCHING_PROTOCOLS, &HeaderMap::new()));
    }

    #[test]
    fn a_close_frame_has_its_code_and_is_masked_for_servers() {
        assert_eq!(CloseCode::GOING_AWAY.frame(false), [0x88, 2, 0x03, 0xe9]);
        assert_eq!(CloseCode::POLICY_VIOLATION.frame(false), [0x88, 2, 0x03, 0xf0]);
        assert_eq!(CloseCode::GOING_AWAY.frame(true), [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9]);
    }

    #[test]
    fn nothing_comes_behind_a_close_frame() {
        let mut frames = Frames::default();
        frames.advance(&[0x81, 1, CLOSE]);
        assert!(!frames.is_closed());
        frames.advance(&[0x88, 0]);
        assert!(frames.is_closed());
    }

    proptest! {
        #[test]
        fn frames_end_where_they_end_whatever_pieces_they_come_in(
            sizes in proptest::collection::vec((0usize..70_000, any::<bool>()), 1..6),
            cuts in proptest::collection::vec(1usize..9_000, 1..50),
        ) {
            let (mut bytes, mut ends) = (Vec::new(), Vec::new());
            for (size, masked) in sizes {
                let mask = if masked { 0x80 } else { 0 };
                bytes.push(0x82);
                match size {
                    0..126 => bytes.push(mask | size as u8),
                    126..65_536 => {
                        bytes.push(mask | 0x7e);
                        bytes.extend((size as u16).to_be_bytes());
                    }
                    _ => {
                        bytes.push(mask | 0x7f);
                        bytes.extend((size as u64).to_be_bytes());
                    }
                }
                bytes.extend(vec![0xff; size + if masked { 4 } else { 0 }]);
                ends.push(bytes.len());
            }
            let (mut frames, mut at, mut cuts) = (Frames::default(), 0, cuts.into_iter().cycle());
            while at < bytes.len() {
                let to = (at + cuts.next().unwrap()).min(bytes.len());
                let end = frames.advance(&bytes[at..to]).map(|end| at + end);
                let expected = ends.iter().copied().filter(|end| (at + 1..=to).contains(end)).max();
                prop_assert_eq!(end, expected);
                at = to;
            }
        }
    }
}
