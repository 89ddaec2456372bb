//! What a key looks like, for the document: what is sent is a [`crate::auth::view::KeyView`].
#![expect(dead_code, reason = "only described")]

use std::collections::BTreeMap;

use utoipa::ToSchema;

use crate::admin::api::Receipt;

/// A key. No secret can be in it.
#[derive(ToSchema)]
pub(in crate::admin::api) struct Key {
    /// `key_…`; ids sort by the keys' making.
    id: String,
    /// What people call it; need not be unique.
    name: String,
    /// The owner's id.
    owner: String,
    /// The key that it is under.
    #[schema(required = true)]
    parent_id: Option<String>,
    environment: Environment,
    status: KeyStatus,
    /// Names of the catalogue, `prefix:*` or `*`.
    scopes: Vec<String>,
    /// Its own, like `60/min`; empty: the configuration's.
    limits: Vec<String>,
    /// Addresses and CIDR ranges; empty: from anywhere.
    allowed_ips: Vec<String>,
    /// What it may spend in a calendar month (UTC), as a decimal; null: without bound.
    #[schema(required = true)]
    monthly_budget: Option<String>,
    /// What it and those below it have spent in this month, as a decimal.
    spent: String,
    #[schema(format = DateTime)]
    created_at: String,
    /// When it stops by itself; null: never.
    #[schema(required = true, format = DateTime)]
    expires_at: Option<String>,
    /// When any of its secrets was last used, to the minute.
    #[schema(required = true, format = DateTime)]
    last_used_at: Option<String>,
    /// The operator's notes.
    metadata: BTreeMap<String, String>,
    /// Every secret that it ever had, oldest first.
    secrets: Vec<Secret>,
    rotation: Rotation,
}

/// One secret's record.
#[derive(ToSchema)]
pub(super) struct Secret {
    /// Its eight public characters.
    id: String,
    /// Prefix and public characters.
    hint: String,
    #[schema(format = DateTime)]
    created_at: String,
    /// The end of its grace.
    #[schema(required = true, format = DateTime)]
    expires_at: Option<String>,
    /// To the minute.
    #[schema(required = true, format = DateTime)]
    last_used_at: Option<String>,
    status: SecretStatus,
}

/// When a key's newest live secret is to be replaced.
#[derive(ToSchema)]
pub(super) struct Rotation {
    /// The key's own schedule.
    #[schema(required = true, minimum = 1)]
    interval_days: Option<u32>,
    /// By that schedule, else by `keys.rotate_after`; null without a live secret.
    #[schema(required = true, format = DateTime)]
    due_at: Option<String>,
    /// Of a key with a schedule only once the grace to claim it is over too.
    overdue: bool,
}

/// Production, or trying things out.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(super) enum Environment {
    Live,
    Test,
}

/// What a key's record says of it; its owner and the keys above it are not looked at.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(super) enum KeyStatus {
    Active,
    Disabled,
    Expired,
    Revoked,
}

/// What a secret's record says of it.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(super) enum SecretStatus {
    Active,
    Grace,
    Expired,
    Revoked,
}

/// A key with its new secret, which is shown this once.
#[derive(ToSchema)]
pub(super) struct KeyWithSecret {
    #[schema(inline = false)]
    #[serde(flatten)]
    key: Key,
    /// What clients send. Nobody can be told it again.
    secret: String,
}

/// A key that was switched off, and who has confirmed it.
#[derive(ToSchema)]
pub(super) struct SwitchedKey {
    #[serde(flatten)]
    key: Key,
    #[serde(flatten)]
    receipt: Option<Receipt>,
}

/// What was ended for good, and who has confirmed it.
#[derive(ToSchema)]
pub(super) struct Ended {
    /// The key's.
    id: String,
    /// The key's; `revoked` unless only one of its secrets was ended.
    status: KeyStatus,
    /// The secret's, where only that was ended.
    secret_id: Option<String>,
    /// Keys that ended, those below it counted, or secrets; 0 where it had ended before.
    revoked: u64,
    #[serde(flatten)]
    receipt: Option<Receipt>,
}
