//! The form of routes' paths.
//!
//! A path is compared byte for byte with what `proxy::head` makes of a request's, so whatever that
//! refuses or spells otherwise could never match and is refused here, by name.

use crate::config::problem::Complaints;
use crate::config::tree::Word;

/// Checks a route's path and gives its shape: parameters without their names, by which two routes
/// of one path are known.
pub(super) fn check(word: Word<'_>, complaints: &mut Complaints<'_>) -> Option<String> {
    match shape(word.text) {
        Ok(shape) => Some(shape),
        Err((wrong, hint)) => {
            let message = format!("the path {word} {wrong}");
            complaints.problem_with_hint(word.at, message, hint.map(str::to_owned));
            None
        }
    }
}

/// Checks a path in front of others: literal segments, no slash at the end; empty is the root.
pub(super) fn check_literal(word: Word<'_>, complaints: &mut Complaints<'_>) {
    if word.text.is_empty() {
        return;
    }
    let wrong = match shape(word.text) {
        Ok(_) if word.text.ends_with('/') => "ends with `/`",
        Ok(_) if word.text.contains('{') || word.text.ends_with("/**") => {
            "has a segment that is not literal"
        }
        Ok(_) => return,
        Err((wrong, _)) => wrong,
    };
    complaints.problem(word.at, format!("the path {word} {wrong}"));
}

/// What is wrong, to follow the path, and what may help.
type Wrong = (&'static str, Option<&'static str>);

fn shape(path: &str) -> Result<String, Wrong> {
    let Some(rest) = path.strip_prefix('/') else {
        return Err(("does not begin with `/`", None));
    };
    if path.contains(['?', '#']) {
        return Err(("has a query or a fragment, which no route looks at", None));
    }
    if path.contains("//") {
        return Err(("has an empty segment", None));
    }
    let mut shape = String::with_capacity(path.len());
    let mut names = Vec::new();
    let mut segments = rest.split('/').peekable();
    while let Some(segment) = segments.next() {
        shape.push('/');
        if segment == "**" {
            if segments.peek().is_some() {
                return Err(("has `/**` before its end", None));
            }
            shape.push_str("**");
        } else if let Some(name) = parameter(segment)? {
            if names.contains(&name) {
                return Err(("has one parameter twice", None));
            }
            names.push(name);
            shape.push_str("{}");
        } else {
            check_segment(segment)?;
            shape.push_str(segment);
        }
    }
    Ok(shape)
}

fn parameter(segment: &str) -> Result<Option<&str>, Wrong> {
    if !segment.contains(['{', '}']) {
        return Ok(None);
    }
    let name = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    let is_name = |name: &&str| {
        name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && name.bytes().next().is_some_and(|b| !b.is_ascii_digit())
    };
    name.filter(is_name).map(Some).ok_or((
        "has a brace that does not make a parameter",
        Some("`{name}` stands for one whole segment; its name is letters, digits and `_`"),
    ))
}

fn check_segment(segment: &str) -> Result<(), Wrong> {
    if matches!(segment.split(';').next(), Some("." | "..")) {
        return Err(("has a `.` or `..` segment, which requests may not have", None));
    }
    if segment.contains('*') {
        return Err((
            "has a `*` that stands for nothing",
            Some("`{name}` stands for one segment, `/**` at the end for one or more"),
        ));
    }
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => check_escape(bytes.next(), bytes.next())?,
            byte if byte.is_ascii_alphanumeric() || b"-._~!$&'()+,;=:@".contains(&byte) => {}
            _ => {
                return Err((
                    "has a character that paths must percent-encode",
                    Some("write it as `%` and two hexadecimal digits in upper case"),
                ));
            }
        }
    }
    Ok(())
}

/// Only the escapes that a request's path keeps.
fn check_escape(high: Option<u8>, low: Option<u8>) -> Result<(), Wrong> {
    let digit = |byte: Option<u8>| byte.and_then(|b| char::from(b).to_digit(16));
    let (Some(upper), Some(lower)) = (digit(high), digit(low)) else {
        return Err(("has a `%` without two hexadecimal digits", None));
    };
    if [high, low].iter().flatten().any(u8::is_ascii_lowercase) {
        return Err(("has a percent-escape in lower case", Some("write it in upper case")));
    }
    match (upper * 16 + lower) as u8 {
        b'/' | b'\\' => {
            Err(("has an encoded slash or backslash, which requests may not have", None))
        }
        byte if byte.is_ascii_control() => {
            Err(("has an encoded control character, which requests may not have", None))
        }
        byte if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => Err((
            "has a percent-escape that need not be one",
            Some("write the character itself, as the gateway does before it compares"),
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_one_shape_differ_by_parameters_names_alone() {
        for (path, expected) in [
            ("/", "/"),
            ("/v1/agents", "/v1/agents"),
            ("/v1/agents/", "/v1/agents/"),
            ("/v1/agents/{id}/runs", "/v1/agents/{}/runs"),
            ("/v1/agents/{agent}/runs", "/v1/agents/{}/runs"),
            ("/**", "/**"),
            ("/files/{name}/**", "/files/{}/**"),
            ("/a;b=1/c:d/%C3%A4", "/a;b=1/c:d/%C3%A4"),
            ("/.well-known/x", "/.well-known/x"),
        ] {
            assert_eq!(shape(path).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn what_could_never_match_is_no_path() {
        for path in [
            "",
            "v1",
            "/a?b",
            "/a#b",
            "//",
            "/a//b",
            "/./a",
            "/a/..",
            "/a/..;x/b",
            "/**/a",
            "/a*",
            "/*",
            "/a**",
            "/{}",
            "/{a",
            "/a}",
            "/x{a}",
            "/{a}x",
            "/{1a}",
            "/{a}/{a}",
            "/a b",
            "/ä",
            "/a\\b",
            "/%",
            "/%4",
            "/%zz",
            "/%2F",
            "/%5C",
            "/%00",
            "/%41",
            "/%7E",
            "/%c3",
            "/a\"",
        ] {
            assert!(shape(path).is_err(), "{path}");
        }
    }
}
