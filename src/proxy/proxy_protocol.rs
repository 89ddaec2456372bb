//! The PROXY protocol, versions 1 and 2: what a proxy in front says of a connection before anything
//! else on it (HAProxy's `proxy-protocol.txt`).
//!
//! The one rule: not a byte behind the header is read, so that what follows goes on untouched.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use thiserror::Error;

const V1: &[u8] = b"PROXY ";
/// The shortest: `PROXY UNKNOWN` and the end of the line.
const V1_LEAST: usize = 15;
/// The longest line of version 1, its end included (section 2.1).
const V1_MOST: usize = 107;
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family, length (section 2.2).
const V2_FIXED: usize = 16;
/// The most of version 2 that is read. Addresses take 36 bytes at most; what may follow (a TLS
/// client's name, a cloud's ids) takes some hundred.
pub const MOST: usize = 4_096;

/// What the bytes of a header that have come so far say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// At least so many more bytes belong to it.
    Needs(usize),
    /// It is complete.
    Done {
        /// How many of the bytes it is.
        length: usize,
        /// The client's address, an IPv4-mapped one in its IPv4 form; `None`: the proxy speaks for
        /// itself (`LOCAL`, `UNKNOWN`), as for its health checks.
        source: Option<IpAddr>,
    },
}

/// It is no header, or none of a TCP connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the connection does not begin with a header of the PROXY protocol")]
pub struct Malformed;

/// Reads a header's beginning.
pub fn parse(bytes: &[u8]) -> Result<Parsed, Malformed> {
    if begins(bytes, V1) {
        return if bytes.len() < V1_LEAST { needs(V1_LEAST, bytes) } else { v1(bytes) };
    }
    if begins(bytes, V2) {
        return if bytes.len() < V2_FIXED { needs(V2_FIXED, bytes) } else { v2(bytes) };
    }
    Err(Malformed)
}

/// Whether the bytes can begin with the signature, as far as both go.
fn begins(bytes: &[u8], signature: &[u8]) -> bool {
    bytes.iter().zip(signature).all(|(byte, expected)| byte == expected)
}

/// Of an empty text both versions are still possible: the shorter says how much is sure.
#[expect(clippy::unnecessary_wraps, reason = "it ends the functions that give a result")]
fn needs(total: usize, bytes: &[u8]) -> Result<Parsed, Malformed> {
    Ok(Parsed::Needs(total - bytes.len()))
}

fn v1(bytes: &[u8]) -> Result<Parsed, Malformed> {
    let window = &bytes[..bytes.len().min(V1_MOST)];
    let Some(end) = window.windows(2).position(|two| two == b"\r\n") else {
        let missing = if window.ends_with(b"\r") { 1 } else { 2 };
        return if bytes.len() + missing > V1_MOST {
            Err(Malformed)
        } else {
            Ok(Parsed::Needs(missing))
        };
    };
    let line = std::str::from_utf8(&window[V1.len()..end]).map_err(|_| Malformed)?;
    Ok(Parsed::Done { length: end + 2, source: v1_source(line)? })
}

/// `TCP4 SOURCE DESTINATION PORT PORT`, or `UNKNOWN` and whatever.
fn v1_source(line: &str) -> Result<Option<IpAddr>, Malformed> {
    if line == "UNKNOWN" || line.starts_with("UNKNOWN ") {
        return Ok(None);
    }
    let words: Vec<&str> = line.split(' ').collect();
    let [family, source, destination, from, to] = words[..] else { return Err(Malformed) };
    if !is_port(from) || !is_port(to) {
        return Err(Malformed);
    }
    let source = match family {
        "TCP4" => both::<Ipv4Addr>(source, destination).map(IpAddr::from),
        "TCP6" => both::<Ipv6Addr>(source, destination).map(IpAddr::from),
        _ => None,
    };
    Ok(Some(source.ok_or(Malformed)?.to_canonical()))
}

/// The source, if both are addresses of the family.
fn both<A: FromStr>(source: &str, destination: &str) -> Option<A> {
    destination.parse::<A>().ok()?;
    source.parse().ok()
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

fn v2(bytes: &[u8]) -> Result<Parsed, Malformed> {
    let (command, family) = (bytes[12], bytes[13]);
    let length = V2_FIXED + usize::from(u16::from_be_bytes([bytes[14], bytes[15]]));
    if length > MOST || !matches!(command, 0x20 | 0x21) {
        return Err(Malformed);
    }
    if bytes.len() < length {
        return needs(length, bytes);
    }
    let said = &bytes[V2_FIXED..length];
    let source = if command == 0x20 { None } else { v2_source(family, said)? };
    Ok(Parsed::Done { length, source })
}

/// Source and destination, then both ports; what follows is passed over.
fn v2_source(family: u8, said: &[u8]) -> Result<Option<IpAddr>, Malformed> {
    let source = match family {
        0x00 => return Ok(None),
        0x11 if said.len() >= 12 => said.first_chunk::<4>().map(|octets| IpAddr::from(*octets)),
        0x21 if said.len() >= 36 => said.first_chunk::<16>().map(|octets| IpAddr::from(*octets)),
        _ => None,
    };
    Ok(Some(source.ok_or(Malformed)?.to_canonical()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn done(bytes: &[u8]) -> Result<Option<String>, Malformed> {
        match parse(bytes)? {
            Parsed::Done { length, source } => {
                assert_eq!(length, bytes.len());
                Ok(source.map(|source| source.to_string()))
            }
            Parsed::Needs(more) => panic!("{more} more are needed"),
        }
    }

    fn v2_header(command: u8, family: u8, said: &[u8]) -> Vec<u8> {
        let length = u16::try_from(said.len()).unwrap().to_be_bytes();
        [V2, &[command, family], &length, said].concat()
    }

    #[test]
    fn version_1_names_the_client() {
        for (line, source) in [
            ("PROXY TCP4 203.0.113.9 192.0.2.1 56324 443\r\n", Some("203.0.113.9")),
            ("PROXY TCP6 2001:db8::1 2001:db8::2 56324 443\r\n", Some("2001:db8::1")),
            ("PROXY TCP6 ::ffff:203.0.113.9 ::ffff:192.0.2.1 1 2\r\n", Some("203.0.113.9")),
            ("PROXY UNKNOWN\r\n", None),
            ("PROXY UNKNOWN ffff::1 whatever\r\n", None),
        ] {
            assert_eq!(done(line.as_bytes()), Ok(source.map(str::to_owned)), "{line}");
        }
    }

    #[test]
    fn version_2_names_the_client() {
        let v4 = [203, 0, 113, 9, 192, 0, 2, 1, 0xdc, 4, 1, 187];
        let mut v6 = [0; 36];
        v6[..4].copy_from_slice(&[0x20, 1, 0xd, 0xb8]);
        assert_eq!(done(&v2_header(0x21, 0x11, &v4)), Ok(Some("203.0.113.9".into())));
        let more = [&v4[..], &[0x20, 0, 3, 1, 2, 3]].concat();
        assert_eq!(done(&v2_header(0x21, 0x11, &more)), Ok(Some("203.0.113.9".into())));
        assert_eq!(done(&v2_header(0x21, 0x21, &v6)), Ok(Some("2001:db8::".into())));
        assert_eq!(done(&v2_header(0x20, 0x00, b"")), Ok(None));
        assert_eq!(done(&v2_header(0x20, 0x11, &v4)), Ok(None));
        assert_eq!(done(&v2_header(0x21, 0x00, b"")), Ok(None));
    }

    #[test]
    fn what_is_no_header_is_malformed_as_soon_as_it_shows() {
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(100));
        for bytes in [
            &b"G"[..],
            b"PROXX",
            b"\x16\x03\x01",
            b"PROXY TCP4 203.0.113.9 192.0.2.1 56324\r\n",
            b"PROXY TCP4  203.0.113.9 192.0.2.1 1 2\r\n",
            b"PROXY TCP4 203.0.113.9 192.0.2.1 1 65536\r\n",
            b"PROXY TCP4 203.0.113.9 192.0.2.1 +1 2\r\n",
            b"PROXY TCP4 203.0.113.009 192.0.2.1 1 2\r\n",
            b"PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
            b"PROXY TCP6 203.0.113.9 192.0.2.1 1 2\r\n",
            b"PROXY UDP4 203.0.113.9 192.0.2.1 1 2\r\n",
            b"PROXY tcp4 203.0.113.9 192.0.2.1 1 2\r\n",
            b"PROXY UNKNOWNX\r\n",
            long.as_bytes(),
            b"\r\n\r\n\0\r\nQUIT\r",
            &v2_header(0x11, 0x11, &[0; 12]),
            &v2_header(0x22, 0x11, &[0; 12]),
            &v2_header(0x21, 0x11, &[0; 11]),
            &v2_header(0x21, 0x21, &[0; 35]),
            &v2_header(0x21, 0x12, &[0; 12]),
            &v2_header(0x21, 0x31, &[0; 216]),
            &v2_header(0x21, 0x11, &[0; MOST]),
        ] {
            assert_eq!(parse(bytes), Err(Malformed), "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    /// Reads as the gateway does: what is needed, and nothing else.
    fn read(bytes: &[u8]) -> Result<(usize, Option<IpAddr>), Malformed> {
        let mut filled = 0;
        loop {
            match parse(&bytes[..filled])? {
                Parsed::Needs(more) => {
                    assert!(more > 0);
                    filled += more;
                }
                Parsed::Done { length, source } => {
                    assert_eq!(length, filled, "something behind the header was read");
                    return Ok((length, source));
                }
            }
        }
    }

    proptest! {
        #[test]
        fn every_client_is_told_in_both_versions_and_nothing_behind_is_read(
            source: Ipv4Addr, other: Ipv4Addr, port: u16, behind in "[ -~]{30}", extra: Vec<u8>,
        ) {
            let line = format!("PROXY TCP4 {source} {other} {port} {port}\r\n");
            let bytes = [line.as_bytes(), behind.as_bytes()].concat();
            prop_assert_eq!(read(&bytes), Ok((line.len(), Some(source.into()))));
            let said = [&source.octets()[..], &other.octets(), &[0; 4], &extra].concat();
            let header = v2_header(0x21, 0x11, &said);
            let bytes = [&header[..], behind.as_bytes()].concat();
            prop_assert_eq!(read(&bytes), Ok((header.len(), Some(source.into()))));
        }

        #[test]
        fn no_bytes_make_it_panic(version in 0usize..3, bytes: Vec<u8>) {
            let _ = parse(&[[b"" as &[u8], V1, V2][version], &bytes].concat());
        }
    }
}
