//! The two hashes of a secret: Argon2id for what is kept, a keyed BLAKE3 for what is held.
//!
//! The first is slow on purpose and runs on `auth::pool`'s threads and in the commands only. The
//! second costs some fifty nanoseconds and lives in memory alone, under a key made at start.

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Block, Params, PasswordHasher, Version};
use rand::TryRng as _;
use rand::rngs::SysRng;
use subtle::ConstantTimeEq as _;
use thiserror::Error;
use zeroize::Zeroizing;

use super::format::SecretText;

/// Strength of new hashes; old ones keep what their PHC string says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argon2Strength {
    /// KiB of memory a hash takes.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub iterations: u32,
    /// Lanes.
    pub parallelism: u32,
}

impl Default for Argon2Strength {
    /// OWASP's first choice for Argon2id: 19 MiB, two passes, one lane.
    fn default() -> Self {
        Self { memory_kib: 19 * 1024, iterations: 2, parallelism: 1 }
    }
}

/// Why a hash could not be made or checked. Never holds a part of the secret.
#[derive(Debug, Error)]
pub enum HashError {
    /// The strength is outside what Argon2 allows (RFC 9106 section 3.1).
    #[error("argon2 does not take these settings: {0}")]
    Strength(String),
    /// The stored text is no Argon2id PHC string.
    #[error(
        "the stored hash of secret {0} is not an Argon2id PHC string; the row was changed by hand"
    )]
    Stored(String),
    /// Hashing itself failed.
    #[error("argon2 failed: {0}")]
    Argon2(String),
}

impl Argon2Strength {
    /// Whether Argon2 takes these settings.
    pub fn check(self) -> Result<(), HashError> {
        self.params().map(|_| ())
    }

    /// Hashes a new secret into a PHC string with a salt from the operating system.
    pub fn hash(self, secret: &SecretText) -> Result<String, HashError> {
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, self.params()?);
        let hash = argon2
            .hash_password(secret.expose().as_bytes())
            .map_err(|error| HashError::Argon2(error.to_string()))?;
        Ok(hash.to_string())
    }

    fn params(self) -> Result<Params, HashError> {
        Params::new(self.memory_kib, self.iterations, self.parallelism, None)
            .map_err(|error| HashError::Strength(error.to_string()))
    }
}

/// Checks secrets against PHC strings, keeping the large memory from one to the next.
#[derive(Default)]
pub struct Argon2Verifier {
    memory: Vec<Block>,
}

impl Argon2Verifier {
    /// Whether `secret` is what `phc` was made of. Takes some 20 ms at the default strength.
    ///
    /// `id` names the row in the error; a PHC string of another algorithm is the store's fault.
    pub fn verify(&mut self, secret: &[u8], phc: &str, id: &str) -> Result<bool, HashError> {
        let stored = || HashError::Stored(id.to_owned());
        let parsed = PasswordHash::new(phc).map_err(|_| stored())?;
        let algorithm = Algorithm::try_from(parsed.algorithm.as_str()).map_err(|_| stored())?;
        let params = Params::try_from(&parsed).map_err(|_| stored())?;
        let (Some(salt), Some(expected)) = (&parsed.salt, &parsed.hash) else {
            return Err(stored());
        };
        if algorithm != Algorithm::Argon2id {
            return Err(stored());
        }
        self.memory.resize(params.block_count().max(self.memory.len()), Block::default());
        let blocks = params.block_count();
        let mut output = Zeroizing::new(vec![0u8; expected.len()]);
        Argon2::new(algorithm, Version::V0x13, params)
            .hash_password_into_with_memory(
                secret,
                salt.as_ref(),
                &mut output,
                &mut self.memory[..blocks],
            )
            .map_err(|error| HashError::Argon2(error.to_string()))?;
        Ok(output.as_slice().ct_eq(expected.as_bytes()).into())
    }
}

/// A secret's digest under this process's own key. Equal digests mean equal secrets.
#[derive(Clone, Copy)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Compares in constant time.
    pub fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

/// The random key of this process's digests; it is never written anywhere.
pub struct DigestKey(Zeroizing<[u8; 32]>);

impl DigestKey {
    /// Makes a key from the operating system's generator.
    pub fn random() -> Result<Self, rand::rngs::SysError> {
        let mut key = Zeroizing::new([0u8; 32]);
        SysRng.try_fill_bytes(key.as_mut_slice())?;
        Ok(Self(key))
    }

    /// The digest of a secret.
    pub fn digest(&self, secret: &[u8]) -> Digest {
        Digest(*blake3::keyed_hash(&self.0, secret).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEAK: Argon2Strength = Argon2Strength { memory_kib: 64, iterations: 1, parallelism: 1 };

    #[test]
    fn a_secret_is_known_again_by_its_hash_and_no_other_is() {
        let phc = WEAK.hash(&SecretText::new("sk_live_a".to_owned())).unwrap();
        assert!(phc.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{phc}");
        let mut verifier = Argon2Verifier::default();
        assert!(verifier.verify(b"sk_live_a", &phc, "x").unwrap());
        assert!(!verifier.verify(b"sk_live_b", &phc, "x").unwrap());
    }

    #[test]
    fn memory_kept_from_a_stronger_hash_does_not_change_a_weaker_one() {
        let strong = Argon2Strength { memory_kib: 256, ..WEAK };
        let secret = SecretText::new("sk_live_a".to_owned());
        let mut verifier = Argon2Verifier::default();
        for strength in [strong, WEAK, strong] {
            let phc = strength.hash(&secret).unwrap();
            assert!(verifier.verify(b"sk_live_a", &phc, "x").unwrap());
        }
    }

    #[test]
    fn a_row_that_holds_no_argon2id_hash_is_an_error_and_not_a_wrong_secret() {
        let mut verifier = Argon2Verifier::default();
        for phc in ["", "plain", "$argon2i$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA"] {
            assert!(matches!(verifier.verify(b"s", phc, "x"), Err(HashError::Stored(_))), "{phc}");
        }
    }

    #[test]
    fn digests_differ_between_secrets_and_between_processes() {
        let (one, other) = (DigestKey::random().unwrap(), DigestKey::random().unwrap());
        assert!(one.digest(b"a").matches(&one.digest(b"a")));
        assert!(!one.digest(b"a").matches(&one.digest(b"b")));
        assert!(!one.digest(b"a").matches(&other.digest(b"a")));
    }
}
