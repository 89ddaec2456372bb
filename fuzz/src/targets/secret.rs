//! Bytes as a credential, and as a text in which secrets are masked.

use std::fmt::Write as _;

use crate::domain::Environment;
use crate::key::{Parsed, SecretFormat};
use crate::telemetry::mask::masked;

/// Public id and random part.
const RANDOM: usize = 32;
const PUBLIC: usize = 8;
const CHECKSUM: usize = 6;

/// Under every format: what is taken for a secret has its form and is masked wherever it stands.
pub fn check(bytes: &[u8]) {
    for format in formats() {
        if let Some(parsed) = format.parse(bytes) {
            has_the_form(&format, bytes, parsed);
        }
        if let Ok(text) = std::str::from_utf8(bytes) {
            masks_every_secret(&format, text);
        }
    }
}

fn formats() -> [SecretFormat; 3] {
    let format = |live: &str, test: Option<&str>, checksum| SecretFormat {
        live_prefix: live.to_owned(),
        test_prefix: test.map(str::to_owned),
        checksum,
    };
    [
        format("sk_live_", Some("sk_test_"), true),
        format("sk-", Some("sk-test-"), false),
        format("org_live_", None, true),
    ]
}

fn has_the_form(format: &SecretFormat, secret: &[u8], parsed: Parsed) {
    let prefix = match parsed.environment {
        Environment::Live => format.live_prefix.as_str(),
        Environment::Test => format.test_prefix.as_deref().expect("there are test keys"),
    };
    let rest = secret.strip_prefix(prefix.as_bytes()).expect("it begins with its prefix");
    let sum = if format.checksum { CHECKSUM } else { 0 };
    assert_eq!(rest.len(), RANDOM + sum);
    assert!(rest.iter().all(u8::is_ascii_alphanumeric));
    assert_eq!(parsed.id.to_string().as_bytes(), &rest[..PUBLIC]);
    let mut other = secret.to_vec();
    other[prefix.len()] = if rest[0] == b'0' { b'1' } else { b'0' };
    assert_eq!(format.parse(&other).is_some(), !format.checksum, "a checksum tells of a slip");
}

fn masks_every_secret(format: &SecretFormat, text: &str) {
    let mut end = 0;
    format.find_in(text, |range| {
        assert!(text.get(range.clone()).is_some(), "characters are whole");
        assert!(end <= range.start && range.start < range.end, "in order, without overlaps");
        end = range.end;
    });
    let mut encoded = String::new();
    for byte in text.bytes() {
        let _ = write!(encoded, "%{byte:02x}");
    }
    let (open, encoded) = (masked(text, format), masked(&encoded, format));
    for secret in secrets(format, text) {
        assert_eq!(encoded, "***", "what hides a secret is left out whole");
        let behind = if format.checksum { CHECKSUM } else { 0 };
        let private = &secret[secret.len() - behind - RANDOM + PUBLIC..];
        // What stands there a second time without a prefix is no secret's.
        if text.matches(private).count() == 1 {
            assert!(!open.contains(private), "a secret is not masked");
        }
    }
}

/// Every part of a text that would be taken for a secret.
fn secrets<'t>(format: &SecretFormat, text: &'t str) -> Vec<&'t str> {
    let sum = if format.checksum { CHECKSUM } else { 0 };
    let prefixes = [Some(&format.live_prefix), format.test_prefix.as_ref()];
    let places = prefixes.into_iter().flatten().flat_map(|prefix| {
        let length = prefix.len() + RANDOM + sum;
        text.match_indices(prefix.as_str()).filter_map(move |(at, _)| text.get(at..at + length))
    });
    places.filter(|secret| format.parse(secret.as_bytes()).is_some()).collect()
}
