//! Secrets that must be read again, encrypted for their time in the store: AES-256-GCM under a key
//! that is derived from one that the store never holds.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::key::{CacheKeys, SecretText, base64};

/// Stands before every sealed text: what comes behind it, and how it was made.
const FORM: &str = "v1.";

/// Seals and opens. With two keys, what the second one sealed is opened too.
pub struct Vault {
    keys: Vec<RandomizedNonceKey>,
}

/// Why a text could not be sealed or opened. Holds nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum VaultError {
    /// The library or the system's generator failed.
    #[error("the system's cryptography failed")]
    Failed,
    /// Sealed under another key, about something else, or changed since.
    #[error("it was encrypted under another key, or was changed in the store")]
    Unreadable,
}

impl Vault {
    /// A vault for one purpose: no other purpose's vault opens what this one seals, though both be
    /// made of the same keys.
    pub fn new(keys: &CacheKeys, purpose: &str) -> Result<Self, VaultError> {
        let derive = |key: &[u8]| {
            let derived = sign(&Key::new(HMAC_SHA256, key), purpose.as_bytes());
            RandomizedNonceKey::new(&AES_256_GCM, derived.as_ref()).map_err(|_| VaultError::Failed)
        };
        Ok(Self { keys: keys.iter().map(derive).collect::<Result<_, _>>()? })
    }

    /// Encrypts a secret of `whose`, to which it is bound.
    pub fn seal(&self, whose: &str, secret: &SecretText) -> Result<String, VaultError> {
        let key = self.keys.first().ok_or(VaultError::Failed)?;
        let mut text = Zeroizing::new(secret.expose().as_bytes().to_vec());
        // Else it would be moved as it grows, and a copy of the secret stay behind.
        text.reserve_exact(AES_256_GCM.tag_len());
        let nonce = key.seal_in_place_append_tag(Aad::from(whose), &mut *text);
        let nonce = nonce.map_err(|_| VaultError::Failed)?;
        let sealed = [nonce.as_ref().as_slice(), text.as_slice()].concat();
        Ok(format!("{FORM}{}", base64::encode(&sealed)))
    }

    /// Decrypts a secret of `whose`; and whether that took another key than the one in force.
    pub fn open(&self, whose: &str, sealed: &str) -> Result<(SecretText, bool), VaultError> {
        let sealed = sealed.strip_prefix(FORM).and_then(base64::decode);
        let sealed = sealed.ok_or(VaultError::Unreadable)?;
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN).ok_or(VaultError::Unreadable)?;
        for (place, key) in self.keys.iter().enumerate() {
            let nonce =
                Nonce::try_assume_unique_for_key(nonce).map_err(|_| VaultError::Unreadable)?;
            let mut text = Zeroizing::new(sealed.to_vec());
            if let Ok(opened) = key.open_in_place(nonce, Aad::from(whose), &mut text) {
                let opened = std::str::from_utf8(opened).map_err(|_| VaultError::Unreadable)?;
                return Ok((SecretText::new(opened.to_owned()), place > 0));
            }
        }
        Err(VaultError::Unreadable)
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
            assert_eq!(vault.open(whose, sealed).err(), Some(VaultError::Unreadable));
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
