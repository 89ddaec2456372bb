//! Spellings in examples, and what holds for every text.

use proptest::prelude::*;

use super::*;

#[test]
fn a_path_has_one_spelling() {
    for (path, one) in [
        ("/", "/"),
        ("*", "*"),
        ("/a/b", "/a/b"),
        ("/a/", "/a/"),
        ("/%61%2D%7e", "/a-~"),
        ("/%c3%a9", "/%C3%A9"),
        ("/a%20b", "/a%20b"),
        ("/a%3fb", "/a%3Fb"),
        ("/a%3ab:c", "/a%3Ab:c"),
        ("/{a}|b%7d", "/%7Ba%7D%7Cb%7D"),
        ("/.well-known/x", "/.well-known/x"),
        ("/%2ewell-known/x", "/.well-known/x"),
        ("/..a", "/..a"),
        ("/...", "/..."),
        ("/a..", "/a.."),
        ("/a./b", "/a./b"),
        ("/a;b=c", "/a;b=c"),
        ("/a;../b", "/a;../b"),
        ("/100%25", "/100%25"),
        ("/a%252fb", "/a%252fb"),
        ("/a%252eb", "/a%252eb"),
        ("/%C0", "/%C0"),
    ] {
        assert_eq!(canonical(path).as_deref(), Ok(one), "{path}");
    }
}

#[test]
fn a_good_path_without_escapes_is_borrowed() {
    for path in ["/", "*", "/v1/agents/42/runs", "/a;b=c/x:y@z!$&'()*+,=~-._"] {
        assert!(matches!(canonical(path), Ok(Cow::Borrowed(same)) if same == path), "{path}");
    }
}

/// What is wrong, and spellings of it.
const REFUSED: &[(&str, &[&str])] = &[
    ("no path", &["", "**", "a", "http://a/b"]),
    ("a dot segment", &["/.", "/..", "/./a", "/a/../b", "/a/.."]),
    ("encoded", &["/%2e", "/a/%2e%2e/b", "/%2E/a", "/.%2e/", "/%2e./"]),
    ("with parameters", &["/..;/a", "/..;x=1/a", "/.;/a", "/%2e%2e;x/a", "/..%3bx/a", "/..%3B"]),
    ("with what others drop", &["/..%3f/a", "/..%23", "/.%20", "/..%2500"]),
    ("encoded again", &["/%252e%252e/a", "/.%252e/a", "/%25252E/a", "/%25%32%65/a"]),
    ("joined by what is", &["/..%252f..", "/a%252f..%252fb", "/..%255ca", "/.%253b/a"]),
    ("overlong", &["/%c0%ae/a", "/..%C0%AFa", "/%c1%9c", "/%e0%80%ae", "/%f0%80%80%ae"]),
    ("an empty segment", &["//", "//a", "/a//b", "/a//", "/%61//b"]),
    ("a slash or backslash", &["/a\\b", "/a%2fb", "/a%2Fb", "/a%5cb", "/a%5C"]),
    ("raw", &["/a#b", "/a?b", "/a b", "/a\tb", "/a\0", "/a\x7f", "/é", "/%20é", "/%20\\"]),
    ("an encoded control", &["/a%00", "/a%0a", "/a%0D", "/a%1f", "/a%7f"]),
    ("a broken escape", &["/a%", "/a%2", "/a%zz", "/a%+1", "/a%2%65", "/%%41", "/a%é"]),
];

#[test]
fn a_path_that_an_upstream_might_read_differently_is_refused() {
    for (what, paths) in REFUSED {
        for path in *paths {
            assert!(canonical(path).is_err(), "{what}: {path:?}");
        }
    }
}

#[test]
fn deep_escapes_take_linear_time() {
    let deep = format!("/%{}2e", "25".repeat(1 << 20));
    assert_eq!(canonical(&deep), Err(DOT_SEGMENT));
}

/// Pieces that have a meaning, in any order.
fn paths() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        6 => proptest::sample::select(vec![
            "/", ".", "..", ";", "%2e", "%2F", "%5c", "%25", "2e", "25", "%", "%C0", "%AE",
            "%00", "%3b", "%3A", "\\", "#", "?", " ", "{", "a", "%61", "é",
        ]).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| format!("/{}", pieces.concat()))
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(path in "\\PC*") {
        let _ = canonical(&path);
    }

    #[test]
    fn the_one_spelling_is_its_own(path in paths()) {
        if let Ok(once) = canonical(&path) {
            let twice = canonical(&once);
            prop_assert_eq!(twice.as_deref(), Ok(&*once));
        }
    }

    #[test]
    fn what_comes_out_holds_nothing_that_is_refused(path in paths()) {
        if let Ok(one) = canonical(&path) {
            prop_assert!(one.starts_with('/') && !one.contains("//"));
            let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/%".contains(&b);
            prop_assert!(one.bytes().all(allowed), "{}", one);
            for (at, _) in one.match_indices('%') {
                let digits = &one[at + 1..at + 3];
                let value = u8::from_str_radix(digits, 16).unwrap();
                prop_assert_eq!(digits, format!("{value:02X}"));
                prop_assert!(!value.is_ascii_control() && !b"/\\".contains(&value));
                prop_assert!(!value.is_ascii_alphanumeric() && !b"-._~".contains(&value));
            }
            let mut read = one.into_owned();
            for _ in 0..4 {
                let dots = |segment: &str| matches!(segment.split(';').next(), Some("." | ".."));
                prop_assert!(!read.split(['/', '\\']).any(dots), "{}", read);
                read = decode_once(&read);
            }
        }
    }

    /// Both read the same: decoding takes nothing away and adds nothing.
    #[test]
    fn the_one_spelling_reads_as_what_was_written(path in paths()) {
        if let Ok(one) = canonical(&path) {
            prop_assert_eq!(decode_once(&one), decode_once(&path));
        }
    }
}

fn decode_once(path: &str) -> String {
    let mut out = Vec::new();
    let mut rest = path.as_bytes();
    while let Some((byte, further)) = rest.split_first() {
        rest = further;
        match rest.first_chunk().copied().and_then(decoded) {
            Some(value) if *byte == b'%' => {
                out.push(value);
                rest = &rest[2..];
            }
            _ => out.push(*byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
