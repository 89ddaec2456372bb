//! Bytes as the beginning of a connection from a proxy.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::proxy::proxy_protocol::{MOST, Malformed, Parsed, parse};

/// A header ends at the same byte however it comes, nothing behind it is asked for, and the client
/// that it names stands in it.
pub fn check(bytes: &[u8]) {
    let parsed = parse(bytes);
    let until = match parsed {
        Ok(Parsed::Done { length, .. }) => length,
        Ok(Parsed::Needs(_)) | Err(Malformed) => bytes.len(),
    };
    for filled in 0..until.min(MOST) {
        match (parse(&bytes[..filled]), parsed) {
            (Ok(Parsed::Needs(more)), Ok(Parsed::Done { length, .. })) => {
                assert!(more > 0 && filled + more <= length, "{more} behind {filled} of {length}");
            }
            (Ok(Parsed::Needs(more)), _) => assert!(more > 0),
            (Err(Malformed), Err(Malformed)) => return,
            (early, late) => panic!("{early:?} of {filled} bytes became {late:?}"),
        }
    }
    if let Ok(Parsed::Done { length, source }) = parsed {
        assert!(length <= MOST);
        let header = &bytes[..length];
        assert_eq!(parse(header), parsed, "what follows makes no difference");
        assert_eq!(source, naive_source(header));
    }
}

/// Who a complete header names.
fn naive_source(header: &[u8]) -> Option<IpAddr> {
    let source = if header.starts_with(b"PROXY ") {
        let line = std::str::from_utf8(header).expect("a line is text");
        assert!(line.len() <= 107 && line.find("\r\n") == Some(line.len() - 2));
        let words: Vec<&str> = line.trim_end().split(' ').collect();
        (words[1] != "UNKNOWN").then(|| words[2].parse::<IpAddr>().expect("an address"))
    } else {
        match (header[12], header[13]) {
            (0x21, 0x11) => header[16..].first_chunk().map(|o: &[u8; 4]| Ipv4Addr::from(*o).into()),
            (0x21, 0x21) => {
                header[16..].first_chunk().map(|o: &[u8; 16]| Ipv6Addr::from(*o).into())
            }
            _ => None,
        }
    };
    source.map(|source| source.to_canonical())
}
