//! Texts that must be read again, encrypted for their time in the store: AES-256-GCM under a key that
//! the store never holds.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::key::base64;

/// Stands before every sealed text: what comes behind it, and how it was made.
const FORM: &str = "v1.";

/// Seals and opens under one key.
pub struct Seal(RandomizedNonceKey);

/// Why a text could not be sealed or opened. Holds nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SealError {
    /// The library or the system's generator failed.
    #[error("the system's cryptography failed")]
    Failed,
    /// Sealed under another key, about something else, or changed since.
    #[error("it was encrypted under another key, or was changed in the store")]
    Unreadable,
}

impl Seal {
    /// Takes 32 bytes that are used for nothing else.
    pub fn new(key: &[u8]) -> Result<Self, SealError> {
        RandomizedNonceKey::new(&AES_256_GCM, key).map(Self).map_err(|_| SealError::Failed)
    }

    /// Encrypts a text; it opens only about the same.
    pub fn seal(&self, about: &str, text: &[u8]) -> Result<String, SealError> {
        let mut text = Zeroizing::new(text.to_vec());
        // Else it would be moved as it grows, and a copy of the text stay behind.
        text.reserve_exact(AES_256_GCM.tag_len());
        let nonce = self.0.seal_in_place_append_tag(Aad::from(about), &mut *text);
        let nonce = nonce.map_err(|_| SealError::Failed)?;
        let sealed = [nonce.as_ref().as_slice(), text.as_slice()].concat();
        Ok(format!("{FORM}{}", base64::encode(&sealed)))
    }

    /// Decrypts what was sealed about the same.
    pub fn open(&self, about: &str, sealed: &str) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let sealed = sealed.strip_prefix(FORM).and_then(base64::decode);
        let sealed = sealed.ok_or(SealError::Unreadable)?;
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN).ok_or(SealError::Unreadable)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Unreadable)?;
        let mut text = Zeroizing::new(sealed.to_vec());
        let opened = self.0.open_in_place(nonce, Aad::from(about), &mut text);
        let length = opened.map_err(|_| SealError::Unreadable)?.len();
        text.truncate(length);
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_under_its_key_about_the_same_and_nowhere_else() {
        let (seal, other) = (Seal::new(&[1; 32]).unwrap(), Seal::new(&[2; 32]).unwrap());
        let sealed = seal.seal("key_1", b"hush").unwrap();
        assert!(!sealed.contains("hush") && sealed != seal.seal("key_1", b"hush").unwrap());
        assert_eq!(*seal.open("key_1", &sealed).unwrap(), b"hush");
        assert_eq!(seal.open("key_2", &sealed), Err(SealError::Unreadable));
        assert_eq!(other.open("key_1", &sealed), Err(SealError::Unreadable));
        for wrong in ["", "v1.", "v1.AAAA", "v2.AAAA", &sealed[..sealed.len() - 4]] {
            assert_eq!(seal.open("key_1", wrong), Err(SealError::Unreadable), "{wrong}");
        }
        assert!(Seal::new(&[1; 31]).is_err());
    }
}
