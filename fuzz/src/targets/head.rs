//! Bytes as what comes in on a connection: messages one behind the other.

use crate::proxy::chunks::Chunks;
use crate::proxy::head::{Framing, Scan, inspect};

/// Small, so that the bound is met.
pub const MAX_HEAD: usize = 512;

/// How bytes are cut makes no difference; a head that passes has one reading only, which the HTTP
/// library shares; a chunked body ends where a reader that sees all of it ends it.
pub fn check(bytes: &[u8]) {
    let whole = find_end(bytes, bytes.len().max(1));
    assert_eq!(whole, find_end(bytes, 1), "pieces make no difference");
    assert_eq!(whole, find_end(bytes, 7), "pieces make no difference");
    let mut at = 0;
    while let Some((head, framing)) = next_head(&bytes[at..]) {
        assert_eq!(framing, naive_framing(&bytes[at..at + head]));
        let Some(body) = body(&bytes[at + head..], framing) else { break };
        at += head + body;
    }
    check_chunks(bytes);
}

/// Where a head ends that comes in such pieces, or why it is refused.
fn find_end(bytes: &[u8], piece: usize) -> Result<Option<usize>, crate::domain::Refusal> {
    let (mut scan, mut shown) = (Scan::default(), 0);
    while shown < bytes.len() {
        shown = bytes.len().min(shown + piece);
        if let Some(end) = scan.find_end(&bytes[..shown], MAX_HEAD)? {
            return Ok(Some(end));
        }
    }
    Ok(None)
}

/// The length of the head that bytes begin with, if it is whole and good, and how its body ends.
pub fn next_head(bytes: &[u8]) -> Option<(usize, Framing)> {
    let end = Scan::default().find_end(bytes, MAX_HEAD).ok()??;
    Some((end, inspect(&bytes[..end]).ok()?))
}

/// The length of the body that bytes begin with, or of what has come of it; `None` where it is broken.
pub fn body(bytes: &[u8], framing: Framing) -> Option<usize> {
    match framing {
        Framing::Length(length) => Some(bytes.len().min(usize::try_from(length).ok()?)),
        Framing::Chunked => {
            let mut chunks = Chunks::default();
            let used = chunks.advance(bytes);
            (!chunks.is_broken()).then_some(used)
        }
    }
}

/// The framing of a head that has passed, read line by line; panics where it should not have passed.
fn naive_framing(head: &[u8]) -> Framing {
    let text: String = head.iter().map(|byte| char::from(*byte)).collect();
    // RFC 9112 section 2.2: an empty line before the request line is skipped.
    let text = text.strip_prefix("\r\n").unwrap_or(&text);
    let mut lines =
        text.strip_suffix("\r\n\r\n").expect("it ends with an empty line").split("\r\n");
    let words: Vec<&str> = lines.next().expect("a request line").split(' ').collect();
    let [method, target, version] = words[..] else { panic!("not three words: {words:?}") };
    assert!(!method.is_empty() && method.chars().all(is_token));
    assert!(!target.is_empty() && target.chars().all(|c| c.is_ascii_graphic() && c != '#'));
    let uri: http::Uri = target.parse().expect("the library can read it");
    if method != "CONNECT" {
        let read = (uri.path(), uri.query());
        assert_eq!(read, path_and_query(target), "the library reads the same path");
    }
    let fields: Vec<(String, &str)> = lines.map(field).collect();
    let all = |name: &str| -> Vec<&str> {
        fields.iter().filter(|(known, _)| known == name).map(|(_, value)| *value).collect()
    };
    match (version, all("host")[..].as_ref()) {
        ("HTTP/1.1" | "HTTP/1.0", [host]) => assert!(!host.is_empty()),
        ("HTTP/1.0", []) => {}
        (version, hosts) => panic!("{version} with {hosts:?}"),
    }
    match (&all("content-length")[..], &all("transfer-encoding")[..]) {
        ([], []) => Framing::Length(0),
        ([length], []) => {
            assert!(length.bytes().all(|digit| digit.is_ascii_digit()));
            Framing::Length(length.parse().expect("a number"))
        }
        ([], [coding]) => {
            assert!(coding.eq_ignore_ascii_case("chunked") && version == "HTTP/1.1");
            Framing::Chunked
        }
        both => panic!("ambiguous: {both:?}"),
    }
}

/// What a target asks for (RFC 9112 section 3.2), without the authority that it may begin with.
fn path_and_query(target: &str) -> (&str, Option<&str>) {
    let (target, query) = match target.split_once('?') {
        Some((target, query)) => (target, Some(query)),
        None => (target, None),
    };
    if target.starts_with('/') || target == "*" {
        return (target, query);
    }
    let (_, behind) = target.split_once("://").expect("an absolute form");
    (behind.find('/').map_or("/", |at| &behind[at..]), query)
}

fn field(line: &str) -> (String, &str) {
    let (name, value) = line.split_once(':').expect("a colon in each line");
    assert!(!name.is_empty() && name.chars().all(is_token), "{name:?}");
    let value = value.trim_matches([' ', '\t']);
    let is_text = |c: char| c == '\t' || !c.is_control() || c as u32 >= 0x80;
    assert!(value.chars().all(is_text), "{value:?}");
    (name.to_ascii_lowercase(), value)
}

/// RFC 9110 section 5.6.2.
fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

/// Bytes as a chunked body alone.
fn check_chunks(body: &[u8]) {
    let mut whole = Chunks::default();
    let used = whole.advance(body);
    let mut by_one = Chunks::default();
    let taken: usize = body.iter().map(|byte| by_one.advance(std::slice::from_ref(byte))).sum();
    assert_eq!(
        (used, whole.is_done(), whole.is_broken()),
        (taken, by_one.is_done(), by_one.is_broken())
    );
    if whole.is_done() {
        assert_eq!(naive_end(body), Some(used));
    }
}

/// Where a chunked body ends, for a reader that has all of it.
fn naive_end(body: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let line = line(&body[at..])?;
        at += line.len() + 2;
        let digits = line.split(|byte| *byte == b';').next()?;
        let size = usize::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        if size == 0 {
            break;
        }
        at = at.checked_add(size)?;
        if body.get(at..at + 2)? != b"\r\n" {
            return None;
        }
        at += 2;
    }
    loop {
        let trailer = line(&body[at..])?;
        at += trailer.len() + 2;
        if trailer.is_empty() {
            return Some(at);
        }
    }
}

fn line(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes.windows(2).position(|two| two == b"\r\n")?;
    Some(&bytes[..end])
}
