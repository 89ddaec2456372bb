//! Who changes something, from where, and when: what the audit log says of every change.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;

use super::id::{AdminTokenId, KeyId};

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

/// Somebody who may change something. As text: `keygate`, `setup`,
/// `command:USER`, `key:ID`, `token:ID`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// keygate itself, by a schedule.
    Keygate,
    /// A command, run by this user of the machine.
    Command(Arc<str>),
    /// A key, through the self-service API.
    Key(KeyId),
    /// An admin token, through the admin API or the dashboard.
    Token(AdminTokenId),
    /// Who had the one-time address that `serve` prints while there is no admin token.
    Setup,
}

impl Act {
    /// By keygate itself.
    pub fn own(at: Timestamp) -> Self {
        Self { actor: Actor::Keygate, address: None, at }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keygate => f.write_str("keygate"),
            Self::Command(user) => write!(f, "command:{user}"),
            Self::Key(id) => write!(f, "key:{id}"),
            Self::Token(id) => write!(f, "token:{id}"),
            Self::Setup => f.write_str("setup"),
        }
    }
}
