//! Admin tokens: what they look like, making one, and how they are shown.

use jiff::Timestamp;
use serde::Serialize;

use crate::auth::mint::{MintError, check_name};
use crate::config::Keys;
use crate::domain::{AdminToken, AdminTokenId, Environment, Role, TokenStatus};
use crate::key::SecretFormat;
use crate::key::format::Minted;

/// Before every token.
pub const PREFIX: &str = "kga_";

/// `kga_`, eight public characters, 24 random ones and a checksum: the form of keys' secrets.
pub fn format() -> SecretFormat {
    SecretFormat { live_prefix: PREFIX.to_owned(), test_prefix: None, checksum: true }
}

/// Makes a token, whose text the caller hands on once and forgets. Hashes, so it takes a while.
pub fn mint(
    name: &str,
    role: Role,
    expires_at: Option<Timestamp>,
    keys: &Keys,
    now: Timestamp,
) -> Result<(AdminToken, Minted), MintError> {
    let name = name.trim();
    check_name(name, &keys.format)?;
    check_name(name, &format())?;
    let minted = format().mint(Environment::Live)?.expect("tokens have a prefix");
    let token = AdminToken {
        id: AdminTokenId::mint(),
        name: name.to_owned(),
        role,
        public_id: minted.id,
        hint: minted.hint.clone(),
        phc: keys.argon2.hash(&minted.text)?,
        created_at: now,
        expires_at,
        last_used_at: None,
        revoked_at: None,
    };
    Ok((token, minted))
}

/// A token as programs are shown it, by `--json` and by the admin API alike. The token itself is not
/// in it.
#[derive(Clone, Debug, Serialize)]
pub struct TokenView {
    /// `adm_…`.
    pub id: AdminTokenId,
    /// What people call it.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// How it stands.
    pub status: TokenStatus,
    /// Prefix and public characters.
    pub hint: String,
    /// When it was minted.
    pub created_at: Timestamp,
    /// When it stops by itself.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
}

impl TokenView {
    /// As it stands at `now`.
    pub fn new(token: AdminToken, now: Timestamp) -> Self {
        Self {
            status: token.status(now),
            id: token.id,
            name: token.name,
            role: token.role,
            hint: token.hint,
            created_at: token.created_at,
            expires_at: token.expires_at,
            last_used_at: token.last_used_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment as Variables, parse};

    #[test]
    fn a_name_is_no_key_and_no_token() {
        let weak = "keys.argon2 = { memory = '64KiB', iterations = 1, parallelism = 1 }";
        let loaded = parse(weak, "k.toml".as_ref(), &Variables::default()).unwrap();
        let (keys, now) = (&loaded.config.keys, Timestamp::UNIX_EPOCH);
        let named = |name: &str| mint(name, Role::Admin, None, keys, now);
        let (token, minted) = named(" ops ").unwrap();
        assert_eq!((token.name.as_str(), token.hint.as_str()), ("ops", minted.hint.as_str()));
        let key = keys.format.mint(Environment::Live).unwrap().unwrap();
        for secret in [minted.text.expose(), key.text.expose()] {
            let error = named(&format!("of {secret}")).unwrap_err().to_string();
            assert!(!error.contains(&secret[20..32]), "it is not repeated");
        }
    }
}
