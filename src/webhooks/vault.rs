//! Hooks' secrets, encrypted for their time in the store under keys that are derived from one that the
//! store never holds.

use std::fmt;

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};

use crate::auth::seal::{Seal, SealError};
use crate::key::{CacheKeys, SecretText};

/// Seals and opens. With two keys, what the second one sealed is opened too.
pub struct Vault {
    keys: Vec<Seal>,
}

impl Vault {
    /// A vault for one purpose: no other purpose's vault opens what this one seals, though both be
    /// made of the same keys.
    pub fn new(keys: &CacheKeys, purpose: &str) -> Result<Self, SealError> {
        let derive =
            |key: &[u8]| Seal::new(sign(&Key::new(HMAC_SHA256, key), purpose.as_bytes()).as_ref());
        Ok(Self { keys: keys.iter().map(derive).collect::<Result<_, _>>()? })
    }

    /// Encrypts a secret of `whose`, to which it is bound.
    pub fn seal(&self, whose: &str, secret: &SecretText) -> Result<String, SealError> {
        let key = self.keys.first().ok_or(SealError::Failed)?;
        key.seal(whose, secret.expose().as_bytes())
    }

    /// Decrypts a secret of `whose`; and whether that took another key than the one in force.
    pub fn open(&self, whose: &str, sealed: &str) -> Result<(SecretText, bool), SealError> {
        for (place, key) in self.keys.iter().enumerate() {
            if let Ok(opened) = key.open(whose, sealed) {
                let opened = std::str::from_utf8(&opened).map_err(|_| SealError::Unreadable)?;
                return Ok((SecretText::new(opened.to_owned()), place > 0));
            }
        }
        Err(SealError::Unreadable)
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vault({} keys)", self.keys.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "0123456789abcdef0123456789abcdef";
    const NEW: &str = "fedcba9876543210fedcba9876543210";

    fn vault(keys: &str, purpose: &str) -> Vault {
        Vault::new(&CacheKeys::parse(keys).unwrap(), purpose).unwrap()
    }

    #[test]
    fn what_is_sealed_is_opened_by_the_same_key_for_the_same_purpose_about_the_same() {
        let secret = SecretText::new("whsec_hush".to_owned());
        let sealed = vault(OLD, "hooks").seal("key_1", &secret).unwrap();
        assert!(!sealed.contains("hush"));
        let (opened, old) = vault(OLD, "hooks").open("key_1", &sealed).unwrap();
        assert_eq!((opened.expose(), old), ("whsec_hush", false));
        let again = vault(OLD, "hooks").seal("key_1", &secret).unwrap();
        assert_ne!(sealed, again, "no two texts are alike");
        let unreadable = |vault: Vault, whose: &str, sealed: &str| {
            assert_eq!(vault.open(whose, sealed).err(), Some(SealError::Unreadable));
        };
        unreadable(vault(NEW, "hooks"), "key_1", &sealed);
        unreadable(vault(OLD, "others"), "key_1", &sealed);
        unreadable(vault(OLD, "hooks"), "key_2", &sealed);
        for wrong in ["", "v1.", "v1.AAAA", "v2.AAAA", &sealed[..sealed.len() - 4]] {
            unreadable(vault(OLD, "hooks"), "key_1", wrong);
        }
    }

    #[test]
    fn a_key_is_replaced_by_standing_behind_the_new_one_for_a_while() {
        let secret = SecretText::new("whsec_hush".to_owned());
        let sealed = vault(OLD, "hooks").seal("a", &secret).unwrap();
        let both = vault(&format!("{NEW}\n{OLD}"), "hooks");
        let (opened, old) = both.open("a", &sealed).unwrap();
        assert!(old);
        let sealed = both.seal("a", &opened).unwrap();
        assert!(vault(NEW, "hooks").open("a", &sealed).is_ok());
    }

    #[test]
    fn a_vault_is_never_printed() {
        assert_eq!(format!("{:?}", vault(OLD, "a")), "Vault(1 keys)");
    }
}
