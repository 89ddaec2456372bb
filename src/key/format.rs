//! `{prefix}{id:8}{random:24}{checksum:6}`: minting and taking apart (section 3 of the contract).

use std::fmt;

use rand::TryRng as _;
use rand::rngs::SysRng;
use zeroize::Zeroizing;

use crate::domain::{Environment, PublicId};

/// Base62 with digits first: the alphabet of the random part and, in this order, of the checksum.
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Characters of public id and random part together: 190 bits of choice.
const RANDOM: usize = 32;
const CHECKSUM: usize = 6;

/// The text of a secret. It cannot be printed, compares to nothing, and is wiped on drop.
#[derive(Clone)]
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// Wraps a text so that it can no longer be printed by accident.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text itself, for hashing it or handing it to whom it is minted for.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(***)")
    }
}

/// What a well-formed secret says of itself before anything was looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// By which its row is found.
    pub id: PublicId,
    /// Told by its prefix.
    pub environment: Environment,
}

/// A freshly minted secret.
#[derive(Debug)]
pub struct Minted {
    /// The whole secret, to be shown once.
    pub text: SecretText,
    /// Its public part.
    pub id: PublicId,
    /// Prefix and public part, for people.
    pub hint: String,
}

/// The operating system gave no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("the operating system's random generator failed: {0}")]
pub struct MintError(pub(super) String);

/// How this gateway's secrets look: `[keys]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFormat {
    /// Before every live secret.
    pub live_prefix: String,
    /// Before every test secret; `None`: there are no test keys.
    pub test_prefix: Option<String>,
    /// Whether the last six characters are a checksum.
    pub checksum: bool,
}

impl SecretFormat {
    /// Mints a secret; `None` where there are no test keys and one is asked for.
    pub fn mint(&self, environment: Environment) -> Result<Option<Minted>, MintError> {
        let Some(prefix) = self.prefix(environment) else {
            return Ok(None);
        };
        let random = random_base62().map_err(|error| MintError(error.to_string()))?;
        let mut text = String::with_capacity(prefix.len() + RANDOM + CHECKSUM);
        text.push_str(prefix);
        text.push_str(std::str::from_utf8(random.as_slice()).expect("base62 is ASCII"));
        if self.checksum {
            let sum = checksum(text.as_bytes());
            text.push_str(std::str::from_utf8(&sum).expect("base62 is ASCII"));
        }
        let id = PublicId::from_bytes(&random[..8]).expect("base62 characters make an id");
        Ok(Some(Minted { text: SecretText::new(text), id, hint: format!("{prefix}{id}") }))
    }

    /// Takes a string apart; `None` where it cannot be a key (prefix, length, alphabet, checksum).
    ///
    /// Costs one pass over the string; touches nothing outside it.
    pub fn parse(&self, text: &[u8]) -> Option<Parsed> {
        let (prefix, environment) = self.longest_prefix(text)?;
        let rest = &text[prefix.len()..];
        let sum = if self.checksum { CHECKSUM } else { 0 };
        if rest.len() != RANDOM + sum || !rest.iter().all(u8::is_ascii_alphanumeric) {
            return None;
        }
        let (body, given) = text.split_at(text.len() - sum);
        if self.checksum && checksum(body) != *given {
            return None;
        }
        Some(Parsed { id: PublicId::from_bytes(&rest[..8])?, environment })
    }

    /// Where in `text` strings with a key's prefix begin, and how far each reaches: for masking. In
    /// order, without overlaps; two that run into each other are told of as two that touch.
    pub fn find_in(&self, text: &str, mut found: impl FnMut(std::ops::Range<usize>)) {
        let prefixes = [Some(&self.live_prefix), self.test_prefix.as_ref()];
        let longest = prefixes.iter().flatten().map(|prefix| prefix.len()).max().unwrap_or(0);
        let (mut at, mut done) = (0, 0);
        while at < text.len() {
            let rest = &text.as_bytes()[at..];
            let prefix = prefixes
                .iter()
                .flatten()
                .filter(|prefix| rest.starts_with(prefix.as_bytes()))
                .map(|prefix| prefix.len())
                .max();
            let run =
                |from: usize| rest[from..].iter().take_while(|b| b.is_ascii_alphanumeric()).count();
            at = match prefix {
                Some(prefix) if run(prefix) >= RANDOM / 2 => {
                    let end = at + prefix + run(prefix);
                    if end > done {
                        found(at.max(done)..end);
                        done = end;
                    }
                    // The letters that another prefix begins with may be the last of this run.
                    (at + 1).max((end + 1).saturating_sub(longest))
                }
                _ => at + 1,
            };
        }
    }

    fn prefix(&self, environment: Environment) -> Option<&str> {
        match environment {
            Environment::Live => Some(&self.live_prefix),
            Environment::Test => self.test_prefix.as_deref(),
        }
    }

    fn longest_prefix(&self, text: &[u8]) -> Option<(&str, Environment)> {
        [Environment::Live, Environment::Test]
            .into_iter()
            .filter_map(|environment| Some((self.prefix(environment)?, environment)))
            .filter(|(prefix, _)| text.starts_with(prefix.as_bytes()))
            .max_by_key(|(prefix, _)| prefix.len())
    }
}

/// Every character is equally likely: bytes past the last multiple of 62 are thrown away.
fn random_base62() -> Result<Zeroizing<[u8; RANDOM]>, rand::rngs::SysError> {
    let mut text = Zeroizing::new([0u8; RANDOM]);
    let mut filled = 0;
    while filled < RANDOM {
        let mut bytes = Zeroizing::new([0u8; 64]);
        SysRng.try_fill_bytes(bytes.as_mut_slice())?;
        for byte in bytes.iter().filter(|byte| **byte < 248) {
            if filled < RANDOM {
                text[filled] = ALPHABET[usize::from(byte % 62)];
                filled += 1;
            }
        }
    }
    Ok(text)
}

/// CRC-32 (ISO-HDLC) in base62, most significant first, padded with `0`.
fn checksum(text: &[u8]) -> [u8; CHECKSUM] {
    let mut crc = crc32fast::hash(text);
    let mut sum = [b'0'; CHECKSUM];
    for place in sum.iter_mut().rev() {
        *place = ALPHABET[(crc % 62) as usize];
        crc /= 62;
    }
    sum
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn format() -> SecretFormat {
        SecretFormat {
            live_prefix: "sk_live_".to_owned(),
            test_prefix: Some("sk_test_".to_owned()),
            checksum: true,
        }
    }

    #[test]
    fn a_minted_secret_is_taken_apart_into_what_it_was_made_of() {
        for environment in [Environment::Live, Environment::Test] {
            let minted = format().mint(environment).unwrap().unwrap();
            let text = minted.text.expose();
            assert_eq!(text.len(), 8 + 32 + 6);
            assert_eq!(
                format().parse(text.as_bytes()),
                Some(Parsed { id: minted.id, environment })
            );
            assert_eq!(minted.hint, text[..16]);
        }
    }

    #[test]
    fn the_checksum_is_crc_32_iso_hdlc_in_base62() {
        assert_eq!(crc32fast::hash(b"123456789"), 0xCBF4_3926);
        // 0xCBF43926 = 3421780262 = 3*62^5 + 45*62^4 + 35*62^3 + 26*62^2 + 20*62 + 50 (checked below)
        let value = checksum(b"123456789").iter().fold(0u64, |sum, byte| {
            sum * 62 + ALPHABET.iter().position(|b| b == byte).unwrap() as u64
        });
        assert_eq!(value, 0xCBF4_3926);
        // The CRC-32 of the empty string is 0: padding alone.
        assert_eq!(&checksum(b""), b"000000");
    }

    #[test]
    fn one_changed_character_makes_it_no_secret() {
        let minted = format().mint(Environment::Live).unwrap().unwrap();
        let text = minted.text.expose().as_bytes();
        for place in 0..text.len() {
            let mut changed = text.to_vec();
            changed[place] = if changed[place] == b'a' { b'b' } else { b'a' };
            assert_eq!(format().parse(&changed), None, "at {place}");
        }
        assert_eq!(format().parse(&text[1..]), None);
        assert_eq!(format().parse(&[text, b"0"].concat()), None);
    }

    #[test]
    fn the_longest_prefix_that_matches_tells_the_environment() {
        let format = SecretFormat {
            live_prefix: "sk-".to_owned(),
            test_prefix: Some("sk-test-".to_owned()),
            checksum: false,
        };
        let live = format!("sk-{}", "a".repeat(32));
        let test = format!("sk-test-{}", "a".repeat(32));
        assert_eq!(format.parse(live.as_bytes()).unwrap().environment, Environment::Live);
        assert_eq!(format.parse(test.as_bytes()).unwrap().environment, Environment::Test);
    }

    #[test]
    fn without_a_test_prefix_there_is_no_test_secret() {
        let format = SecretFormat { test_prefix: None, ..format() };
        assert!(format.mint(Environment::Test).unwrap().is_none());
    }

    #[test]
    fn a_secret_is_found_in_a_longer_text_and_never_printed() {
        let minted = format().mint(Environment::Live).unwrap().unwrap();
        let secret = minted.text.expose();
        let text = format!("/agents/{secret}/revoke?k={secret}&sk_live_short=1");
        let mut found = Vec::new();
        format().find_in(&text, |range| found.push(&text[range]));
        assert_eq!(found, [secret, secret]);
        assert!(!format!("{minted:?}").contains(&secret[16..]));
    }

    #[test]
    fn a_secret_behind_another_string_without_a_gap_is_found_too() {
        let minted = format().mint(Environment::Live).unwrap().unwrap();
        let secret = minted.text.expose();
        let text = format!("?k=sk_test_0123456789abcdef{secret}{secret}");
        let mut rest = text.clone();
        format()
            .find_in(&text, |range| rest.replace_range(range.clone(), &"*".repeat(range.len())));
        assert_eq!(rest, format!("?k={}", "*".repeat(text.len() - 3)));
    }

    proptest! {
        #[test]
        fn no_string_makes_the_parser_panic(text in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = format().parse(&text);
        }

        #[test]
        fn masking_takes_any_text(text in "\\PC*") {
            format().find_in(&text, |range| assert!(text.get(range).is_some()));
        }
    }
}
