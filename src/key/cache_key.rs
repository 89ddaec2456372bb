//! The cache key: what the operator gives so that a secret that was verified once needs no second
//! Argon2. How it is used is [`crate::auth::cache_mac`]'s; here it is only taken apart.

use std::fmt;

use thiserror::Error;
use zeroize::Zeroizing;

/// Characters that a key has at least; contract section 2.
const LEAST: usize = 32;
/// The key in force, and the one before it while it is being replaced.
const MOST: usize = 2;

/// One cache key, or two while the second is being replaced by the first.
#[derive(Clone, PartialEq, Eq)]
pub struct CacheKeys {
    keys: Vec<Zeroizing<Vec<u8>>>,
}

/// Why a text holds no cache keys. Never holds a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CacheKeyError {
    /// No key in it.
    #[error("holds no cache key; a line of at least {LEAST} random characters is one")]
    None,
    /// A key that can be guessed.
    #[error(
        "line {0} is shorter than {LEAST} characters; `openssl rand -hex 32` makes a cache key"
    )]
    Short(usize),
    /// More than are ever needed.
    #[error("holds more than {MOST} cache keys: the one in force, and the one that it replaces")]
    Many,
    /// The same key twice.
    #[error("holds the same cache key twice")]
    Twice,
}

impl CacheKeys {
    /// Takes them from a text: one a line, the one in force first; spaces around them and empty
    /// lines are left out.
    pub fn parse(text: &str) -> Result<Self, CacheKeyError> {
        let mut keys: Vec<Zeroizing<Vec<u8>>> = Vec::new();
        for (line, key) in (1..).zip(text.lines().map(str::trim)) {
            if key.is_empty() {
                continue;
            }
            if key.chars().count() < LEAST {
                return Err(CacheKeyError::Short(line));
            }
            if keys.iter().any(|known| known.as_slice() == key.as_bytes()) {
                return Err(CacheKeyError::Twice);
            }
            keys.push(Zeroizing::new(key.as_bytes().to_vec()));
        }
        match keys.len() {
            0 => Err(CacheKeyError::None),
            1..=MOST => Ok(Self { keys }),
            _ => Err(CacheKeyError::Many),
        }
    }

    /// The keys' bytes, those of the one in force first.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.keys.iter().map(|key| key.as_slice())
    }
}

impl fmt::Debug for CacheKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CacheKeys({} of them)", self.keys.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "0123456789abcdef0123456789abcdef";
    const OTHER: &str = "fedcba9876543210fedcba9876543210";

    #[test]
    fn a_line_is_a_key_and_the_first_is_in_force() {
        for text in [format!("{ONE}\n{OTHER}"), format!("\n  {ONE}\r\n\n{OTHER}\t\n\n")] {
            let keys = CacheKeys::parse(&text).unwrap();
            assert_eq!(keys.iter().collect::<Vec<_>>(), [ONE.as_bytes(), OTHER.as_bytes()]);
        }
        assert_eq!(CacheKeys::parse(ONE).unwrap().iter().count(), 1);
    }

    #[test]
    fn what_can_be_guessed_or_is_a_mistake_is_no_key() {
        for (text, error) in [
            (String::new(), CacheKeyError::None),
            (" \n\n".to_owned(), CacheKeyError::None),
            (ONE[..31].to_owned(), CacheKeyError::Short(1)),
            (format!("{ONE}\n\nshort"), CacheKeyError::Short(3)),
            (format!("{ONE}\n{ONE}"), CacheKeyError::Twice),
            (format!("{ONE}\n{OTHER}\n{ONE}x"), CacheKeyError::Many),
        ] {
            assert_eq!(CacheKeys::parse(&text), Err(error), "{text}");
        }
    }

    #[test]
    fn a_key_is_never_printed() {
        let keys = CacheKeys::parse(&format!("{ONE}\n{OTHER}")).unwrap();
        assert_eq!(format!("{keys:?}"), "CacheKeys(2 of them)");
    }
}
