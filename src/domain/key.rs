//! Keys and their secrets, as the stores keep them and as people are shown them.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use jiff::Timestamp;
use serde::Serialize;

use super::id::{KeyId, OwnerId, PublicId};
use super::money::Millionths;
use super::net::AddressRange;
use super::window::Limit;

/// The longest name of a key or an owner, in characters.
pub const MAX_NAME: usize = 100;

/// Which of the operator's two worlds a key belongs to; told by the prefix of its secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Environment {
    /// Production.
    Live,
    /// Trying things out: goes to the sandbox where there is one.
    Test,
}

impl Environment {
    /// `live` or `test`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Test => "test",
        }
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Environment {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "live" => Ok(Self::Live),
            "test" => Ok(Self::Test),
            _ => Err(()),
        }
    }
}

/// The lasting record of who may call: all policy stands here, none on a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// `key_…`.
    pub id: KeyId,
    /// What people call it; need not be unique.
    pub name: String,
    /// Whose it is.
    pub owner_id: OwnerId,
    /// The key that made it, whose rights bound its own.
    pub parent_id: Option<KeyId>,
    /// Live or test; fixed at minting, because the secrets' prefix says it.
    pub environment: Environment,
    /// What it may do: names of the catalogue, `*`, or `prefix:*`.
    pub scopes: Vec<String>,
    /// Its own rate limits; empty: the configuration's defaults.
    pub limits: Vec<Limit>,
    /// From where it may call; empty: from anywhere.
    pub allowed_ips: Vec<AddressRange>,
    /// What it may spend in a calendar month (UTC); `None`: without bound.
    pub monthly_budget: Option<Millionths>,
    /// When it stops by itself.
    pub expires_at: Option<Timestamp>,
    /// Whether it was disabled, which can be undone.
    pub disabled: bool,
    /// When it was revoked, which cannot.
    pub revoked_at: Option<Timestamp>,
    /// What the operator gave as the reason of the revocation.
    pub revoke_reason: Option<String>,
    /// The operator's own notes, passed on to nobody.
    pub metadata: BTreeMap<String, String>,
    /// Every how many days a new secret is due; `None`: no schedule.
    pub rotation_interval_days: Option<u32>,
    /// When that schedule was set, where that was after the key was made: nothing is due before.
    pub rotation_due_from: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What a key's record says of it at a moment; its ancestors and owner are not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyStatus {
    /// May call.
    Active,
    /// Switched off, reversibly.
    Disabled,
    /// Past its end.
    Expired,
    /// Ended for good.
    Revoked,
}

impl KeyStatus {
    /// Every status, in the order of the contract.
    pub const ALL: [Self; 4] = [Self::Active, Self::Disabled, Self::Expired, Self::Revoked];

    /// The status as the contract writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

impl Key {
    /// A key that was made just now and may nothing yet: no scope, the default limits, from
    /// anywhere, for ever.
    pub fn new(name: String, owner_id: OwnerId, environment: Environment, now: Timestamp) -> Self {
        Self {
            id: KeyId::mint(),
            name,
            owner_id,
            parent_id: None,
            environment,
            scopes: Vec::new(),
            limits: Vec::new(),
            allowed_ips: Vec::new(),
            monthly_budget: None,
            expires_at: None,
            disabled: false,
            revoked_at: None,
            revoke_reason: None,
            metadata: BTreeMap::new(),
            rotation_interval_days: None,
            rotation_due_from: None,
            created_at: now,
        }
    }

    /// The status at `now`: the most final of what applies (revoked, expired, disabled, active).
    pub fn status(&self, now: Timestamp) -> KeyStatus {
        if self.revoked_at.is_some() {
            KeyStatus::Revoked
        } else if self.expires_at.is_some_and(|end| end <= now) {
            KeyStatus::Expired
        } else if self.disabled {
            KeyStatus::Disabled
        } else {
            KeyStatus::Active
        }
    }
}

/// One credential string of a key, without the string itself, which nobody keeps.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    /// Its eight public characters.
    pub id: PublicId,
    /// The prefix and the public characters, for people.
    pub hint: String,
    /// The Argon2id PHC string of the whole secret.
    pub phc: String,
    /// What spares it a second Argon2: see [`crate::auth::cache_mac`].
    pub cache_mac: Option<String>,
    /// When it was minted.
    pub created_at: Timestamp,
    /// The end of its grace, once it has been rotated away.
    pub expires_at: Option<Timestamp>,
    /// When it was ended for good.
    pub revoked_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// From where that was.
    pub last_used_from: Option<IpAddr>,
}

/// That a secret was used: when, to the minute, and from where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastUse {
    /// Which.
    pub secret: PublicId,
    /// When.
    pub at: Timestamp,
    /// The address of a client that used it then, where it is known.
    pub from: Option<IpAddr>,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").field("id", &self.id).finish_non_exhaustive()
    }
}

/// What a secret's record says of it at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SecretStatus {
    /// The key's secret.
    Active,
    /// Rotated away and still good until its end.
    Grace,
    /// Past the end of its grace.
    Expired,
    /// Ended for good.
    Revoked,
}

impl SecretStatus {
    /// The status as it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Grace => "grace",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

impl Secret {
    /// A secret that was made just now: good for ever, and not used yet.
    pub fn new(id: PublicId, hint: String, phc: String, now: Timestamp) -> Self {
        Self {
            id,
            hint,
            phc,
            cache_mac: None,
            created_at: now,
            expires_at: None,
            revoked_at: None,
            last_used_at: None,
            last_used_from: None,
        }
    }

    /// The status at `now`.
    pub fn status(&self, now: Timestamp) -> SecretStatus {
        match (self.revoked_at, self.expires_at) {
            (Some(_), _) => SecretStatus::Revoked,
            (None, Some(end)) if end <= now => SecretStatus::Expired,
            (None, Some(_)) => SecretStatus::Grace,
            (None, None) => SecretStatus::Active,
        }
    }

    /// Whether it still lets its key in at `now`.
    pub fn is_live(&self, now: Timestamp) -> bool {
        matches!(self.status(now), SecretStatus::Active | SecretStatus::Grace)
    }
}

/// A key with all secrets that it ever had, oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyWithSecrets {
    /// The record.
    pub key: Key,
    /// Its secrets.
    pub secrets: Vec<Secret>,
}

impl KeyWithSecrets {
    /// When any of its secrets was last used.
    pub fn last_used_at(&self) -> Option<Timestamp> {
        self.secrets.iter().filter_map(|secret| secret.last_used_at).max()
    }
}
