//! What a key's record says, and why it is not let in where it is not.

use std::time::Duration;

use jiff::Timestamp;

use super::row::Spent;
use crate::admin::dashboard::words::{Moment, listed};
use crate::auth::view::{KeyView, SecretView};
use crate::config::Config;
use crate::domain::{Key, KeyStatus, LimitStanding, Owner, SecretStatus};

/// The record.
pub(super) struct Facts {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) owner_id: String,
    pub(super) owner: String,
    pub(super) environment: &'static str,
    pub(super) status: &'static str,
    pub(super) revoked: Option<(Moment, Option<String>)>,
    pub(super) created: Moment,
    pub(super) expires: Option<Moment>,
    pub(super) last_used: Option<Moment>,
    /// Its own, or the configuration's, and whose they are.
    pub(super) limits: String,
    pub(super) addresses: String,
    pub(super) budget: Option<Spent>,
    pub(super) spent: String,
    pub(super) rotation: Option<Moment>,
    pub(super) rotation_every: Option<u32>,
    pub(super) overdue: bool,
    pub(super) notes: Vec<(String, String)>,
}

/// One of its secrets.
pub(super) struct SecretRow {
    pub(super) id: String,
    pub(super) hint: String,
    pub(super) status: &'static str,
    pub(super) live: bool,
    pub(super) created: Moment,
    pub(super) ends: Option<Moment>,
    pub(super) last_used: Option<Moment>,
    pub(super) last_used_from: Option<String>,
}

/// How one of its limits stands.
pub(super) struct LimitRow {
    pub(super) limit: String,
    pub(super) route: Option<String>,
    pub(super) remaining: u32,
    pub(super) most: u32,
    pub(super) used_percent: u64,
    pub(super) reset: Moment,
}

impl Facts {
    pub(super) fn new(
        view: &KeyView<'_>,
        key: &Key,
        owner: &Owner,
        config: &Config,
        now: Timestamp,
    ) -> Self {
        let own = !view.limits.is_empty();
        let limits = if own { view.limits } else { &config.limits.per_key };
        let limits = match (limits.is_empty(), own) {
            (true, _) => "none".to_owned(),
            (false, true) => listed(limits),
            (false, false) => format!("{} (the configuration's)", listed(limits)),
        };
        Self {
            id: view.id.to_string(),
            name: view.name.to_owned(),
            owner_id: owner.id.to_string(),
            owner: owner.name.clone(),
            environment: view.environment.name(),
            status: view.status.name(),
            revoked: key.revoked_at.map(|at| (Moment::new(at, now), key.revoke_reason.clone())),
            created: Moment::new(view.created_at, now),
            expires: Moment::of(view.expires_at, now),
            last_used: Moment::of(view.last_used_at, now),
            limits,
            addresses: match view.allowed_ips {
                [] => "anywhere".to_owned(),
                ranges => listed(ranges),
            },
            budget: view.monthly_budget.map(|budget| Spent::of(view.spent, budget)),
            spent: view.spent.to_string(),
            rotation: Moment::of(view.rotation.due_at, now),
            rotation_every: view.rotation.interval_days,
            overdue: view.rotation.overdue && view.status == KeyStatus::Active,
            notes: view.metadata.iter().map(|(n, v)| (n.clone(), v.clone())).collect(),
        }
    }
}

impl SecretRow {
    pub(super) fn new(secret: &SecretView<'_>, now: Timestamp) -> Self {
        Self {
            id: secret.id.to_string(),
            hint: secret.hint.to_owned(),
            status: secret.status.name(),
            live: matches!(secret.status, SecretStatus::Active | SecretStatus::Grace),
            created: Moment::new(secret.created_at, now),
            ends: Moment::of(secret.expires_at, now),
            last_used: Moment::of(secret.last_used_at, now),
            last_used_from: secret.last_used_from.map(|from| from.to_string()),
        }
    }
}

impl LimitRow {
    pub(super) fn new(standing: &LimitStanding, now: Timestamp) -> Self {
        let most = standing.limit.max.get();
        let used = most.saturating_sub(standing.remaining);
        Self {
            limit: standing.limit.to_string(),
            route: standing.route.clone(),
            remaining: standing.remaining,
            most,
            used_percent: u64::from(used) * 100 / u64::from(most),
            reset: Moment::new(standing.reset_at, now),
        }
    }

    /// In a sentence, for who cannot see a bar.
    pub(super) fn words(&self) -> String {
        format!("{} of {} used", self.most.saturating_sub(self.remaining), self.limit)
    }
}

/// Why nobody is let in with the key, each reason with what to do about it. `family` is the key and
/// those above it.
pub(super) fn stopped(
    family: &[Key],
    owner: &Owner,
    view: &KeyView<'_>,
    config: &Config,
    now: Timestamp,
) -> Vec<String> {
    let mut why = Vec::new();
    match view.status {
        KeyStatus::Active => {}
        KeyStatus::Disabled => why.push("It is disabled. Enable it to let it in again.".to_owned()),
        KeyStatus::Expired => {
            why.push("It has expired. Give it another end to let it in again.".to_owned());
        }
        KeyStatus::Revoked => why.push("It was revoked, which is for good.".to_owned()),
    }
    if owner.disabled {
        why.push(format!("Its owner {} is disabled, and all keys with it.", owner.name));
    }
    for above in family.iter().skip(1) {
        let status = above.status(now);
        if status != KeyStatus::Active {
            why.push(format!("The key above it, {}, is {}.", above.name, status.name()));
        }
    }
    let is_live = |secret: &SecretView<'_>| SecretRow::new(secret, now).live;
    if view.status == KeyStatus::Active && !view.secrets.iter().any(is_live) {
        why.push("It has no live secret. Rotate it to have a new one.".to_owned());
    }
    let enforced = config.keys.enforce_rotation && view.rotation.interval_days.is_some();
    if enforced && view.rotation.overdue && config.keys.rotation_grace > Duration::ZERO {
        why.push("Its rotation is overdue. Rotate it to let it in again.".to_owned());
    }
    why
}
