//! Bytes as the path of a request's target.

use crate::proxy::path::canonical;

/// What comes out is in its one spelling, names the same path, and no reader can climb out of it.
pub fn check(bytes: &[u8]) {
    let Ok(path) = std::str::from_utf8(bytes) else { return };
    let Ok(one) = canonical(path) else { return };
    assert_eq!(canonical(&one).as_deref(), Ok(&*one), "its spelling is its own");
    if path == "*" {
        return;
    }
    assert!(one.starts_with('/') && !one.contains("//"));
    assert!(one.bytes().all(may_stand), "only what RFC 3986 allows in a path");
    assert!(escapes_are_upper_case(one.as_bytes()));
    assert_eq!(decode(path.as_bytes()), decode(one.as_bytes()), "it names the same path");
    let decoded = decode(one.as_bytes());
    assert!(decoded.iter().all(|b| !b"\\\0".contains(b) && !b.is_ascii_control()));
    assert_eq!(segments(&decoded), segments(one.as_bytes()), "no slash was hidden");
    assert_no_climbing(one.as_bytes());
}

/// `pchar` of RFC 3986 section 3.3, the slash, and the `%` of an escape.
fn may_stand(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/%".contains(&byte)
}

fn escapes_are_upper_case(path: &[u8]) -> bool {
    let upper = |byte: &u8| byte.is_ascii_digit() || (b'A'..=b'F').contains(byte);
    let whole =
        |(at, _): (usize, &u8)| path.get(at + 1..at + 3).is_some_and(|d| d.iter().all(upper));
    path.iter().enumerate().filter(|(_, byte)| **byte == b'%').all(whole)
}

fn segments(path: &[u8]) -> usize {
    path.split(|byte| *byte == b'/').count()
}

/// However often it is decoded, and whichever reader splits it, no segment is `.` or `..`.
fn assert_no_climbing(path: &[u8]) {
    let mut path = path.to_vec();
    loop {
        for segment in path.split(|byte| b"/\\".contains(byte)) {
            let name = segment.split(|byte| b";?# \0".contains(byte)).next().unwrap_or_default();
            assert!(name != b"." && name != b"..", "a dot segment was let through");
        }
        let further = decode(&path);
        if further == path {
            return;
        }
        path = further;
    }
}

/// Every escape replaced by its byte, once; a `%` without two digits stays.
pub(super) fn decode(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = path;
    while let Some((byte, further)) = rest.split_first() {
        let digits = further.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let is_hex = |digits: &&str| digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        let value = digits.filter(is_hex).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        if let Some(value) = value.filter(|_| *byte == b'%') {
            out.push(value);
            rest = &further[2..];
        } else {
            out.push(*byte);
            rest = further;
        }
    }
    out
}
