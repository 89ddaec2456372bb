//! Masking: whatever has the form of a key is cut to its hint, also where it is percent-encoded.

use std::borrow::Cow;

use crate::key::SecretFormat;

/// In the place of what is left out.
const MASK: &str = "***";
/// Characters after the prefix that are public.
const PUBLIC: usize = 8;
/// How many layers of percent-encoding are taken off; who wraps a text deeper has something to
/// hide, and it is left out whole.
const LAYERS: usize = 3;

/// The text with each secret cut to its hint (prefix and public id) and `***`.
///
/// A text that has a secret in it once it is percent-decoded, and not before, is left out whole:
/// where in it the secret stands cannot be told without decoding it for the reader.
pub fn masked<'t>(text: &'t str, format: &SecretFormat) -> Cow<'t, str> {
    if text.contains('%') && hides_secrets(text, format) {
        return Cow::Borrowed(MASK);
    }
    let mut masked = String::new();
    let mut from = 0;
    format.find_in(text, |found| {
        masked.push_str(&text[from..found.start]);
        masked.push_str(hint(&text[found.clone()], format));
        masked.push_str(MASK);
        from = found.end;
    });
    if from == 0 {
        return Cow::Borrowed(text);
    }
    masked.push_str(&text[from..]);
    Cow::Owned(masked)
}

/// Whether decoding brings out other secrets than stand in the text as it is.
fn hides_secrets(text: &str, format: &SecretFormat) -> bool {
    let open = secrets(text, format);
    let mut decoded = text.as_bytes().to_vec();
    for _ in 0..LAYERS {
        let Some(further) = percent_decoded(&decoded) else {
            return false;
        };
        decoded = further;
        if secrets(&String::from_utf8_lossy(&decoded), format) != open {
            return true;
        }
    }
    percent_decoded(&decoded).is_some()
}

fn secrets(text: &str, format: &SecretFormat) -> Vec<String> {
    let mut secrets = Vec::new();
    format.find_in(text, |found| secrets.push(text[found].to_owned()));
    secrets
}

/// Prefix and public id of what was found.
fn hint<'t>(found: &'t str, format: &SecretFormat) -> &'t str {
    let prefixes = [Some(&format.live_prefix), format.test_prefix.as_ref()];
    let prefixes = prefixes.into_iter().flatten();
    let longest = prefixes.filter(|prefix| found.starts_with(*prefix)).map(String::len).max();
    found.get(..longest.unwrap_or_default() + PUBLIC).unwrap_or_default()
}

/// One layer taken off (RFC 3986 section 2.1); `None` where nothing is encoded.
fn percent_decoded(text: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, behind)) = rest.split_first() {
        let byte = (*first == b'%').then(|| escape(behind)).flatten();
        decoded.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &behind[2..] } else { behind };
    }
    (decoded.len() < text.len()).then_some(decoded)
}

fn escape(behind: &[u8]) -> Option<u8> {
    let digit = |at: usize| char::from(*behind.get(at)?).to_digit(16);
    Some((digit(0)? * 16 + digit(1)?) as u8)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use proptest::prelude::*;

    use super::*;
    use crate::domain::Environment;

    fn formats() -> [SecretFormat; 3] {
        let format = |live: &str, test: Option<&str>, checksum| SecretFormat {
            live_prefix: live.to_owned(),
            test_prefix: test.map(str::to_owned),
            checksum,
        };
        [
            format("sk_live_", Some("sk_test_"), true),
            format("sk-", None, false),
            format("ak_", Some("ak_test_"), false),
        ]
    }

    fn encoded(text: &str, every: usize, lower: bool) -> String {
        let mut encoded = String::new();
        for (at, byte) in text.bytes().enumerate() {
            let _ = match (at % every, lower) {
                (0, true) => write!(encoded, "%{byte:02x}"),
                (0, false) => write!(encoded, "%{byte:02X}"),
                _ => write!(encoded, "{}", char::from(byte)),
            };
        }
        encoded
    }

    /// No part of the secret's private characters that is long enough to tell it from another.
    fn shows_nothing(masked: &str, secret: &str, public: usize) -> bool {
        secret.as_bytes()[public..].windows(6).all(|part| {
            let part = std::str::from_utf8(part).unwrap();
            !masked.contains(part)
        })
    }

    #[test]
    fn a_secret_is_cut_to_its_hint_and_the_rest_stays() {
        let [format, ..] = formats();
        let minted = format.mint(Environment::Live).unwrap().unwrap();
        let (secret, hint) = (minted.text.expose(), &minted.hint);
        assert_eq!(
            masked(&format!("/agents/{secret}/revoke"), &format),
            format!("/agents/{hint}***/revoke")
        );
        assert_eq!(masked(&format!("a={secret}&b=%20"), &format), format!("a={hint}***&b=%20"));
        assert!(matches!(masked("/plain/%41/sk_live_short", &format), Cow::Borrowed(_)));
    }

    #[test]
    fn what_hides_a_secret_by_percent_encoding_is_left_out_whole() {
        let [format, ..] = formats();
        let minted = format.mint(Environment::Test).unwrap().unwrap();
        let secret = minted.text.expose();
        for (every, lower) in [(1, false), (1, true), (7, true), (45, false)] {
            let once = encoded(secret, every, lower);
            for text in [format!("/a/{once}"), format!("{secret}/{once}"), encoded(&once, 2, lower)]
            {
                assert_eq!(masked(&text, &format), "***", "{every} {lower}");
            }
        }
        let deep = (0..5).fold("%41".to_owned(), |text, _| text.replace('%', "%25"));
        assert_eq!(masked(&deep, &format), "***");
    }

    proptest! {
        #[test]
        fn a_minted_secret_is_masked_wherever_it_stands(
            before in "[ -~é]{0,40}",
            behind in "([^0-9A-Za-z\\x00-\\x1f%][ -~é]{0,40})?",
            which in 0..3usize,
            test in any::<bool>(),
            every in 1..60usize,
            lower in any::<bool>(),
            layers in 0..3usize,
        ) {
            let format = &formats()[which];
            let environment = if test { Environment::Test } else { Environment::Live };
            let minted = format.mint(environment).unwrap();
            let minted = minted.or(format.mint(Environment::Live).unwrap()).unwrap();
            let secret = minted.text.expose();
            let wrapped = (0..layers).fold(secret.to_owned(), |text, _| encoded(&text, every, lower));
            let masked = masked(&format!("{before}{wrapped}{behind}"), format).into_owned();
            prop_assert!(shows_nothing(&masked, secret, minted.hint.len()), "{}", masked);
        }

        #[test]
        fn any_text_can_be_masked(text in "\\PC*") {
            for format in formats() {
                masked(&text, &format);
            }
        }
    }
}
