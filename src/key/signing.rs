//! The secret that webhooks are signed with, and the signature: Standard Webhooks 1.0.0
//! (`spec/standard-webhooks.md`, "Symmetric signatures").

use std::fmt;

use aws_lc_rs::hmac::{Context, HMAC_SHA256, Key};
use rand::TryRng as _;
use rand::rngs::SysRng;
use zeroize::Zeroizing;

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

    /// What `webhook-signature` says of a message.
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let mut context = Context::with_key(&Key::new(HMAC_SHA256, &self.0));
        context.update(format!("{id}.{timestamp}.").as_bytes());
        context.update(body);
        format!("v1,{}", base64::encode(context.sign().as_ref()))
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret(***)")
    }
}

/// Base64 with padding (RFC 4648 section 4).
pub(super) mod base64 {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    pub(in crate::key) fn encode(bytes: &[u8]) -> String {
        let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
        for group in bytes.chunks(3) {
            let byte = |place: usize| u32::from(group.get(place).copied().unwrap_or(0));
            let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
            for place in 0..4 {
                let six = (bits >> (18 - 6 * place)) & 63;
                text.push(if place <= group.len() {
                    char::from(ALPHABET[six as usize])
                } else {
                    '='
                });
            }
        }
        text
    }

    /// `None` for whatever [`encode`] would not write.
    pub(in crate::key) fn decode(text: &str) -> Option<Vec<u8>> {
        if !text.len().is_multiple_of(4) {
            return None;
        }
        let digits = text.trim_end_matches('=');
        let (mut bytes, mut bits, mut held) = (Vec::with_capacity(text.len()), 0_u32, 0);
        for digit in digits.bytes() {
            let six = ALPHABET.iter().position(|known| *known == digit)?;
            bits = (bits << 6) | six as u32;
            held += 6;
            if held >= 8 {
                held -= 8;
                bytes.push((bits >> held) as u8);
                bits &= (1 << held) - 1;
            }
        }
        (encode(&bytes) == text).then_some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64::encode(bytes.as_bytes()), text);
            assert_eq!(base64::decode(text).as_deref(), Some(bytes.as_bytes()));
        }
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(base64::decode(&base64::encode(&all)), Some(all));
        for wrong in ["Z", "Zg", "Zg=", "Zh==", "Zg==Zg==", "Z===", "====", "Zm9-", "Zm 9v"] {
            assert_eq!(base64::decode(wrong), None, "{wrong}");
        }
    }

    /// The example of the specification's reference implementations.
    #[test]
    fn a_signature_is_that_of_the_specification() {
        let secret = SigningSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let body = br#"{"test": 2432232314}"#;
        let signature = secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

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
