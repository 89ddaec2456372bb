//! The secret that webhooks are signed with, as Standard Webhooks 1.0.0 writes it
//! (`spec/standard-webhooks.md`, "Symmetric signatures").

use std::fmt;

use rand::TryRng as _;
use rand::rngs::SysRng;
use zeroize::Zeroizing;

use super::base64;
use super::format::{MintError, SecretText};

/// Stands before every secret's text.
const PREFIX: &str = "whsec_";
/// Bytes of a secret, by the specification.
const LENGTHS: std::ops::RangeInclusive<usize> = 24..=64;
/// Bytes of the secrets that are made here.
const MADE: usize = 32;

/// A `whsec_…`. It cannot be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningSecret(Zeroizing<Vec<u8>>);

impl SigningSecret {
    /// Takes `whsec_` and base64 of 24 to 64 bytes; anything else is `None`.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = base64::decode(text.strip_prefix(PREFIX)?)?;
        LENGTHS.contains(&bytes.len()).then(|| Self(Zeroizing::new(bytes)))
    }

    /// A new one.
    pub fn mint() -> Result<Self, MintError> {
        let mut bytes = Zeroizing::new(vec![0; MADE]);
        let filled = SysRng.try_fill_bytes(&mut bytes);
        filled.map_err(|error| MintError(error.to_string()))?;
        Ok(Self(bytes))
    }

    /// Its text, for whom it is made for and for safe keeping.
    pub fn text(&self) -> SecretText {
        SecretText::new(format!("{PREFIX}{}", base64::encode(&self.0)))
    }

    /// Its bytes, to sign with.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_has_its_prefix_and_a_length_and_is_never_printed() {
        let secret = SigningSecret::mint().unwrap();
        let text = secret.text();
        assert_eq!(SigningSecret::parse(text.expose()), Some(secret.clone()));
        assert_eq!(format!("{secret:?}"), "SigningSecret(***)");
        let of = |length| format!("whsec_{}", base64::encode(&vec![7; length]));
        assert!(SigningSecret::parse(&of(24)).is_some() && SigningSecret::parse(&of(64)).is_some());
        for wrong in [of(23), of(65), of(24)[6..].to_owned(), "whsec_".to_owned()] {
            assert!(SigningSecret::parse(&wrong).is_none(), "{wrong}");
        }
    }
}
