//! Who changes something, from where, and when: what the audit log says of every change.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;

use super::id::{KeyId, OwnerId};

/// One change by somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    /// Who.
    pub actor: Actor,
    /// From where, where that was over the network.
    pub address: Option<IpAddr>,
    /// When.
    pub at: Timestamp,
}

/// Somebody who may change something. As text: `keygate`, `command:USER`, `key:ID`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// keygate itself, by a schedule.
    Keygate,
    /// A command, run by this user of the machine.
    Command(Arc<str>),
    /// A key, through the self-service API.
    Key(KeyId),
}

impl Act {
    /// By keygate itself.
    pub fn own(at: Timestamp) -> Self {
        Self { actor: Actor::Keygate, address: None, at }
    }

    /// By a command of this user's.
    pub fn command(user: &str, at: Timestamp) -> Self {
        Self { actor: Actor::Command(user.into()), address: None, at }
    }

    /// By a key, from that address.
    pub fn key(key: KeyId, address: IpAddr, at: Timestamp) -> Self {
        Self { actor: Actor::Key(key), address: Some(address), at }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keygate => f.write_str("keygate"),
            Self::Command(user) => write!(f, "command:{user}"),
            Self::Key(id) => write!(f, "key:{id}"),
        }
    }
}

/// What was changed: a key or an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// A key.
    Key(&'a KeyId),
    /// An owner.
    Owner(&'a OwnerId),
}

impl Target<'_> {
    /// Its id.
    pub fn id(&self) -> &str {
        match self {
            Self::Key(id) => id.as_str(),
            Self::Owner(id) => id.as_str(),
        }
    }
}
