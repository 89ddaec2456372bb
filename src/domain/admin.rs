//! Who may look at keygate and who may change it: admin tokens and the dashboard's sessions.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use jiff::Timestamp;
use serde::Serialize;

use super::id::{AdminTokenId, PublicId, SessionId};

/// Where browsers keep a session of the dashboard that they have over TLS: set over TLS, by this host
/// alone, for all its paths (RFC 6265bis, section 4.1.3.2).
pub const SECURE_SESSION_COOKIE: &str = "__Host-keygate_session";
/// Where they keep one that they have in clear.
pub const PLAIN_SESSION_COOKIE: &str = "keygate_session";
/// Both.
pub const SESSION_COOKIES: [&str; 2] = [SECURE_SESSION_COOKIE, PLAIN_SESSION_COOKIE];

/// What a token may do on the admin plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// See and change everything.
    Admin,
    /// See everything, change nothing.
    Viewer,
}

impl Role {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Admin, Self::Viewer];

    /// As commands, the API and the store write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Viewer => "viewer",
        }
    }
}

impl FromStr for Role {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|role| role.name() == text).ok_or(())
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A credential for the admin API and the dashboard. Like a key's secret it is kept as its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminToken {
    /// Names it in the audit log.
    pub id: AdminTokenId,
    /// What people call it.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// The eight public characters, by which its row is found.
    pub public_id: PublicId,
    /// Prefix and public characters, for people.
    pub hint: String,
    /// The Argon2id hash of the whole token.
    pub phc: String,
    /// When it was minted.
    pub created_at: Timestamp,
    /// When it stops by itself.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// When it was ended for good.
    pub revoked_at: Option<Timestamp>,
}

/// How an admin token stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenStatus {
    /// It lets in.
    Active,
    /// It is past its end.
    Expired,
    /// It was ended for good.
    Revoked,
}

impl TokenStatus {
    /// As commands and the API write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

impl AdminToken {
    /// How it stands at `now`.
    pub fn status(&self, now: Timestamp) -> TokenStatus {
        if self.revoked_at.is_some() {
            TokenStatus::Revoked
        } else if self.expires_at.is_some_and(|end| end <= now) {
            TokenStatus::Expired
        } else {
            TokenStatus::Active
        }
    }

    /// Whether it lets in at `now`.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.status(now) == TokenStatus::Active
    }
}

/// A browser that has signed in with a token. It ends with its token, and never outlives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminSession {
    /// Names it to people.
    pub id: SessionId,
    /// SHA-256, in hex, of what the browser shows.
    pub digest: String,
    /// The token it was begun with.
    pub token: AdminTokenId,
    /// When it was begun.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// When it was last used, to the minute.
    pub last_used_at: Timestamp,
    /// From where it was begun.
    pub address: IpAddr,
    /// What the browser called itself, up to 200 characters.
    pub agent: String,
}
