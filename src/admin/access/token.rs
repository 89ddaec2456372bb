//! Admin tokens: what they look like, and making one.

use jiff::Timestamp;

use crate::domain::{AdminToken, AdminTokenId, Environment, Role};
use crate::key::SecretFormat;
use crate::key::format::{MintError, Minted};
use crate::key::hash::{Argon2Strength, HashError};

/// Before every token.
pub const PREFIX: &str = "kga_";

/// `kga_`, eight public characters, 24 random ones and a checksum: the form of keys' secrets.
pub fn format() -> SecretFormat {
    SecretFormat { live_prefix: PREFIX.to_owned(), test_prefix: None, checksum: true }
}

/// Why no token was made.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The operating system gave no random bytes.
    #[error(transparent)]
    Random(#[from] MintError),
    /// It could not be hashed.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// No name, or one that is too long.
    #[error("a token's name has 1 to 100 characters, and no control characters")]
    Name,
}

/// Makes a token, whose text the caller hands on once and forgets. Hashes, so it takes a while.
pub fn mint(
    name: &str,
    role: Role,
    expires_at: Option<Timestamp>,
    strength: Argon2Strength,
    now: Timestamp,
) -> Result<(AdminToken, Minted), TokenError> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > 100 || name.chars().any(char::is_control) {
        return Err(TokenError::Name);
    }
    let minted = format().mint(Environment::Live)?.expect("tokens have a prefix");
    let token = AdminToken {
        id: AdminTokenId::mint(),
        name: name.to_owned(),
        role,
        public_id: minted.id,
        hint: minted.hint.clone(),
        phc: strength.hash(&minted.text)?,
        created_at: now,
        expires_at,
        last_used_at: None,
        revoked_at: None,
    };
    Ok((token, minted))
}
