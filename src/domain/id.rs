//! Names of lasting records, and the public part of a secret.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Serialize, Serializer};
use thiserror::Error;

/// Lower-case base32 after Crockford: no `i`, `l`, `o`, `u`, so that an id read aloud stays one.
const BASE32: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// The owner that is there from the start; its id and its name are the same word.
pub const DEFAULT_OWNER: &str = "default";

macro_rules! record_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Mints an id from a version 7 UUID (RFC 9562), so that ids sort by their making.
            pub fn mint() -> Self {
                Self(format!("{}{}", $prefix, base32(uuid::Uuid::now_v7().as_u128())).into())
            }

            /// Takes an id as it stands in the store or was typed; whether it exists is the
            /// store's to say.
            pub fn from_text(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
    };
}

record_id! {
    /// Names a key for as long as there are records of it: `key_` and 26 characters of base32.
    KeyId, "key_"
}

record_id! {
    /// Names an owner: `own_` and 26 characters of base32, or `default`.
    OwnerId, "own_"
}

record_id! {
    /// Names a running instance: `inst_` and 26 characters of base32.
    InstanceId, "inst_"
}

record_id! {
    /// Names an event: `evt_` and 26 characters of base32.
    EventId, "evt_"
}

record_id! {
    /// Names a hook, an address that a key or owner has for its own events: `hook_` and 26
    /// characters of base32.
    HookId, "hook_"
}

record_id! {
    /// Names an event on its way to one address: `dlv_` and 26 characters of base32.
    DeliveryId, "dlv_"
}

record_id! {
    /// Names a row of the audit log: `aud_` and 26 characters of base32.
    AuditId, "aud_"
}

record_id! {
    /// Names a process's usage journal and whoever holds its leases: `jrn_` and 26 characters of
    /// base32.
    JournalId, "jrn_"
}

record_id! {
    /// Names an admin token: `adm_` and 26 characters of base32.
    AdminTokenId, "adm_"
}

record_id! {
    /// Names a session of the dashboard: `ses_` and 26 characters of base32. Not what the browser
    /// shows to be let in, which nobody but the browser keeps.
    SessionId, "ses_"
}

fn base32(mut value: u128) -> String {
    let mut text = [0u8; 26];
    for place in text.iter_mut().rev() {
        *place = BASE32[(value & 31) as usize];
        value >>= 5;
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// The eight public base62 characters of a secret, by which its row is found.
///
/// They may be logged and shown: with them alone nothing can be called.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicId([u8; 8]);

/// The text is not eight characters of `0-9A-Za-z`.
#[derive(Debug, Error)]
#[error("a secret's id is eight characters of 0-9, A-Z and a-z")]
pub struct PublicIdError;

impl PublicId {
    /// Takes eight bytes of base62; anything else is `None`.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: [u8; 8] = bytes.try_into().ok()?;
        bytes.iter().all(u8::is_ascii_alphanumeric).then_some(Self(bytes))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("a public id is ASCII")
    }

    /// The id as a number, for sets that hold every id: eight bytes each.
    pub fn as_u64(self) -> u64 {
        u64::from_le_bytes(self.0)
    }
}

impl FromStr for PublicId {
    type Err = PublicIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::from_bytes(text.as_bytes()).ok_or(PublicIdError)
    }
}

impl fmt::Display for PublicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for PublicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for PublicId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_their_making_and_have_one_length() {
        let first = KeyId::mint();
        let second = KeyId::mint();
        assert!(first < second, "{first} {second}");
        assert_eq!(first.as_str().len(), 30);
    }

    #[test]
    fn a_public_id_is_eight_base62_characters() {
        assert!("aB3dE6gH".parse::<PublicId>().is_ok());
        for wrong in ["", "aB3dE6g", "aB3dE6gH1", "aB3dE6g-", "aB3dE6gé"] {
            assert!(wrong.parse::<PublicId>().is_err(), "{wrong}");
        }
    }
}
