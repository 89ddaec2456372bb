//! Tokens, sessions and instances as the page shows them.

use jiff::{SignedDuration, Timestamp};

use crate::admin::access::Caller;
use crate::admin::dashboard::words::Moment;
use crate::domain::{
    AdminSession, AdminToken, InstanceId, InstanceStatus, SeenInstance, TokenStatus,
};

/// A running instance, or one that was running a moment ago.
pub(super) struct InstanceRow {
    pub(super) id: String,
    pub(super) host: String,
    pub(super) version: String,
    pub(super) status: &'static str,
    /// Whether it is the one that answers.
    pub(super) is_own: bool,
    pub(super) started: Moment,
    pub(super) lag: String,
    /// The beginning of its configuration's hash, and whether that is ours.
    pub(super) hash: String,
    pub(super) is_alike: bool,
}

/// An admin token.
pub(super) struct TokenRow {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) role: &'static str,
    pub(super) status: &'static str,
    pub(super) hint: String,
    pub(super) created: Moment,
    pub(super) expires: Option<Moment>,
    pub(super) used: Option<Moment>,
    /// Whether it is the one that the caller has signed in with.
    pub(super) is_own: bool,
}

/// A browser that is signed in.
pub(super) struct SessionRow {
    pub(super) id: String,
    pub(super) token: String,
    pub(super) agent: String,
    pub(super) address: String,
    pub(super) begun: Moment,
    pub(super) used: Moment,
    pub(super) ends: Moment,
    /// Whether it is the caller's.
    pub(super) is_own: bool,
}

impl InstanceRow {
    pub(super) fn new(seen: &SeenInstance, own: &InstanceId, hash: &str, now: Timestamp) -> Self {
        let instance = &seen.instance;
        let heard = i64::try_from(seen.seen_ms_ago).unwrap_or(i64::MAX);
        let lag = match (seen.status, seen.lag_ms) {
            (InstanceStatus::Silent, _) => {
                let heard = now.checked_sub(SignedDuration::from_millis(heard)).ok();
                let heard = Moment::of(heard, now).map(|heard| heard.relative());
                format!("last heard of {}", heard.unwrap_or_default())
            }
            (InstanceStatus::Running, 0) => "none".to_owned(),
            (InstanceStatus::Running, ms) => format!("{ms} ms"),
        };
        Self {
            id: instance.id.to_string(),
            host: instance.host.clone(),
            version: instance.version.clone(),
            status: seen.status.name(),
            is_own: instance.id == *own,
            started: Moment::new(instance.started_at, now),
            lag,
            hash: instance.config_hash.chars().take(12).collect(),
            is_alike: instance.config_hash == hash,
        }
    }
}

impl TokenRow {
    pub(super) fn new(token: &AdminToken, caller: &Caller, now: Timestamp) -> Self {
        Self {
            id: token.id.to_string(),
            name: token.name.clone(),
            role: token.role.name(),
            status: match token.status(now) {
                TokenStatus::Active => "active",
                TokenStatus::Expired => "expired",
                TokenStatus::Revoked => "revoked",
            },
            hint: token.hint.clone(),
            created: Moment::new(token.created_at, now),
            expires: Moment::of(token.expires_at, now),
            used: Moment::of(token.last_used_at, now),
            is_own: token.id == caller.token.id,
        }
    }
}

impl SessionRow {
    pub(super) fn new(
        (session, token): &(AdminSession, AdminToken),
        caller: &Caller,
        now: Timestamp,
    ) -> Self {
        Self {
            id: session.id.to_string(),
            token: token.name.clone(),
            agent: session.agent.clone(),
            address: session.address.to_string(),
            begun: Moment::new(session.created_at, now),
            used: Moment::new(session.last_used_at, now),
            ends: Moment::new(session.expires_at, now),
            is_own: caller.session.as_ref() == Some(&session.id),
        }
    }
}
