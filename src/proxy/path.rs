//! Step 2: the one spelling of a path, which is matched and sent on byte for byte.
//!
//! The one rule: a path that the upstream might read as another one is refused, and of two
//! spellings that every reader takes for the same only one is left. What comes out consists of `/`,
//! the characters that RFC 3986 allows in a segment, and escapes in upper case of what it does not.

use std::borrow::Cow;

/// Brings a path from a request's target, without its query, into its one spelling.
///
/// Escapes of unreserved characters are decoded (RFC 3986 section 6.2.2.2), all others get
/// upper-case digits; a printable character that may not stand in a path (`"`, `{`, `|`, …) is
/// escaped. `*`, the target of a server-wide OPTIONS, is itself. An escaped `%` stays escaped, so
/// that in `/a%252fb` the slash remains a part of a name for an upstream that decodes once, as it
/// must; only dot segments are looked for further down, since no honest path has one there.
///
/// The error says in a few words what is wrong, never with a part of the path: no leading `/`; a
/// raw or encoded control character or backslash; a raw space, `#`, `?` or byte beyond ASCII; an
/// encoded `/`; a broken escape; an overlong UTF-8 sequence; `//`; a segment that is `.` or `..`,
/// also with `;` and more behind it, however often it is encoded.
///
/// A good path without `%` costs one pass over its bytes and is borrowed.
pub fn canonical(path: &str) -> Result<Cow<'_, str>, &'static str> {
    if path == "*" {
        return Ok(Cow::Borrowed(path));
    }
    if !path.starts_with('/') {
        return Err("the target is no path");
    }
    let bytes = path.as_bytes();
    let mut before = 0;
    for (at, byte) in bytes.iter().enumerate() {
        match kind(*byte) {
            Kind::Slash if before == b'/' => return Err(EMPTY_SEGMENT),
            Kind::Dot if before == b'/' && is_dot_segment(&bytes[at..]) => return Err(DOT_SEGMENT),
            Kind::Plain | Kind::Slash | Kind::Dot => {}
            Kind::Percent | Kind::Escaped => return rewrite(path, at).map(Cow::Owned),
            Kind::Refused => return Err(why_refused(*byte)),
        }
        before = *byte;
    }
    Ok(Cow::Borrowed(path))
}

const EMPTY_SEGMENT: &str = "an empty segment in the path";
const DOT_SEGMENT: &str = "a dot segment in the path";
const BROKEN_ESCAPE: &str = "a broken percent-escape in the path";

/// What is to be done about a raw byte.
#[derive(Clone, Copy)]
enum Kind {
    Plain,
    Slash,
    Dot,
    Percent,
    /// Readers agree on it, but it may not stand there: written as an escape.
    Escaped,
    Refused,
}

static KINDS: [Kind; 256] = {
    let mut kinds = [Kind::Plain; 256];
    let mut byte = 0;
    while byte < 256 {
        kinds[byte] = kind_of(byte as u8);
        byte += 1;
    }
    kinds
};

fn kind(byte: u8) -> Kind {
    KINDS[usize::from(byte)]
}

const fn kind_of(byte: u8) -> Kind {
    match byte {
        b'/' => Kind::Slash,
        b'.' => Kind::Dot,
        b'%' => Kind::Percent,
        b'"' | b'<' | b'>' | b'[' | b']' | b'^' | b'`' | b'{' | b'|' | b'}' => Kind::Escaped,
        b'\\' | b'#' | b'?' | 0..=b' ' | 0x7f.. => Kind::Refused,
        _ => Kind::Plain,
    }
}

#[cold]
fn why_refused(byte: u8) -> &'static str {
    match byte {
        b'\\' => "a backslash in the path",
        b'#' => "a fragment in the target",
        b'?' => "a question mark in the path",
        b' ' => "a space in the path",
        0x80.. => "a character in the path that must be percent-encoded",
        _ => "a control character in the path",
    }
}

/// The rest of the way for a path that has an escape, or needs one, at `from`.
fn rewrite(path: &str, from: usize) -> Result<String, &'static str> {
    let (done, mut rest) = path.as_bytes().split_at(from);
    let mut out = Vec::with_capacity(path.len() + 8);
    out.extend_from_slice(done);
    let mut lead = 0;
    while let Some((byte, further)) = rest.split_first() {
        rest = further;
        let mut value = 0;
        match kind(*byte) {
            Kind::Slash if out.ends_with(b"/") => return Err(EMPTY_SEGMENT),
            Kind::Plain | Kind::Dot | Kind::Slash => out.push(*byte),
            Kind::Escaped => push_escape(&mut out, *byte),
            Kind::Refused => return Err(why_refused(*byte)),
            Kind::Percent => {
                let Some((digits, further)) = rest.split_first_chunk() else {
                    return Err(BROKEN_ESCAPE);
                };
                rest = further;
                value = decoded(*digits).ok_or(BROKEN_ESCAPE)?;
                check_escaped(lead, value)?;
                if value.is_ascii_alphanumeric() || b"-._~".contains(&value) {
                    out.push(value);
                } else {
                    push_escape(&mut out, value);
                }
            }
        }
        lead = value;
    }
    if has_dot_segment(&fully_decoded(&out)) {
        return Err(DOT_SEGMENT);
    }
    Ok(String::from_utf8(out).expect("only ASCII is pushed"))
}

/// Refuses what no escape may stand for; `lead` is the value of the escape just before, or 0.
///
/// An overlong UTF-8 sequence (RFC 3629 section 3) spells an ASCII character, and lenient decoders
/// have taken `%C0%AE` for a dot and `%C0%AF` for a slash.
fn check_escaped(lead: u8, value: u8) -> Result<(), &'static str> {
    match (lead, value) {
        (_, b'/' | b'\\') => Err("an encoded slash or backslash in the path"),
        (_, 0..0x20 | 0x7f) => Err("an encoded control character in the path"),
        (0xc0 | 0xc1, 0x80..0xc0) | (0xe0, 0x80..0xa0) | (0xf0, 0x80..0x90) => {
            Err("an overlong UTF-8 sequence in the path")
        }
        _ => Ok(()),
    }
}

fn push_escape(out: &mut Vec<u8>, value: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |nibble: u8| DIGITS[usize::from(nibble)];
    out.extend([b'%', digit(value >> 4), digit(value & 15)]);
}

fn decoded([high, low]: [u8; 2]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    Some((digit(high)? << 4 | digit(low)?) as u8)
}

/// What a chain of readers, each decoding once more, could make of a path: escapes are decoded
/// until none is left. Each byte is pushed once and each decoding drops two, so it takes linear
/// time however deep the escapes go.
fn fully_decoded(path: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::with_capacity(path.len());
    for byte in path {
        out.push(*byte);
        while let Some((rest, [b'%', high, low])) = out.split_last_chunk()
            && let Some(value) = decoded([*high, *low])
        {
            out.truncate(rest.len());
            out.push(value);
        }
    }
    out
}

fn has_dot_segment(path: &[u8]) -> bool {
    path.split(|byte| is_separator(*byte)).any(is_dot_segment)
}

/// Whether what begins here is a segment `.` or `..`, also for readers that drop what follows: `;`
/// (Java servers), `?`, `#` and NUL (whoever parses again what was decoded), a space (Windows).
fn is_dot_segment(text: &[u8]) -> bool {
    let dots = text.iter().take_while(|byte| **byte == b'.').count();
    let ends = |byte: &u8| is_separator(*byte) || b";?# \0".contains(byte);
    matches!(dots, 1 | 2) && text.get(dots).is_none_or(ends)
}

fn is_separator(byte: u8) -> bool {
    matches!(byte, b'/' | b'\\')
}

#[cfg(test)]
mod tests;
