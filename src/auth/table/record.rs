//! One reading of a key's row, compiled for what requests ask of it.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;
use jiff::Timestamp;

use super::expiry::{Expiry, Rotation, SecretEnd};
use super::{KeyPolicy, OwnerEntry};
use crate::domain::{Environment, Key, Limit, PublicId, ScopeSet};

/// One reading of a key's row, compiled.
pub struct KeyRecord {
    /// The row.
    pub key: Key,
    /// Its owner.
    pub owner: Arc<OwnerEntry>,
    /// When it ends by itself.
    pub expiry: Expiry,
    /// What its schedule asks for, where it has one.
    pub rotation: Option<Box<Rotation>>,
    /// When its newest secret was made.
    pub(super) newest_made: Option<Timestamp>,
    /// Its scopes over the catalogue.
    pub scopes: ScopeSet,
    /// Whether its requests are counted at all.
    pub counted: bool,
    /// The limits that count for it.
    pub limits: Arc<[Limit]>,
    /// Its secrets, and when each ends.
    pub secrets: Box<[(PublicId, SecretEnd)]>,
    /// What the upstream is told.
    pub identity: Identity,
    /// See [`super::KeyTable::doubt_all`].
    pub(super) epoch: u64,
    pub(super) generation: u64,
}

/// The values of the identity headers that are the key's own, ready to be cloned by reference count.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The key's id.
    pub key_id: HeaderValue,
    /// Its name.
    pub key_name: HeaderValue,
    /// Its scopes as granted, space-separated.
    pub scopes: HeaderValue,
    /// Its parent's id.
    pub parent: Option<Box<HeaderValue>>,
}

impl KeyRecord {
    pub(super) fn compile(
        mut key: Key,
        secrets: Box<[(PublicId, SecretEnd)]>,
        newest_made: Option<Timestamp>,
        owner: Arc<OwnerEntry>,
        policy: &KeyPolicy,
        epoch: u64,
    ) -> Self {
        // One text for all the owner's keys, and no room that nothing will come to.
        key.owner_id = owner.id.clone();
        key.name.shrink_to_fit();
        key.scopes.shrink_to_fit();
        let limits = if key.limits.is_empty() {
            Arc::clone(&policy.per_key)
        } else {
            key.limits.as_slice().into()
        };
        Self {
            expiry: Expiry::new(key.expires_at.map(Timestamp::as_millisecond)),
            rotation: Rotation::of(&key, newest_made, policy).map(Box::new),
            newest_made,
            scopes: policy.catalogue.granted(&key.scopes),
            counted: key.environment == Environment::Live || policy.test_keys_count,
            limits,
            identity: Identity::of(&key),
            epoch,
            generation: policy.generation,
            secrets,
            owner,
            key,
        }
    }

    /// Takes over which ends were reached.
    pub(super) fn remember(&self, before: &Self) {
        self.expiry.remember(&before.expiry);
        if let (Some(rotation), Some(before)) = (&self.rotation, &before.rotation) {
            rotation.remember(before);
        }
        for (id, end) in &self.secrets {
            if let Some(before) = before.end_of(*id) {
                end.expiry.remember(&before.expiry);
            }
        }
    }

    /// `live` or `test` as a header's value.
    pub fn env_value(&self) -> HeaderValue {
        const LIVE: HeaderValue = HeaderValue::from_static("live");
        const TEST: HeaderValue = HeaderValue::from_static("test");
        match self.key.environment {
            Environment::Live => LIVE,
            Environment::Test => TEST,
        }
    }

    /// When a secret of the key ends; `None`: it is none of the key's, or not any more.
    pub fn end_of(&self, secret: PublicId) -> Option<&SecretEnd> {
        self.secrets.iter().find(|(id, _)| *id == secret).map(|(_, end)| end)
    }
}

impl Identity {
    fn of(key: &Key) -> Self {
        let scopes = key.scopes.join(" ");
        let [key_id, key_name, scopes] = header_values([key.id.as_str(), &key.name, &scopes]);
        let parent = key.parent_id.as_ref().map(|id| Box::new(header_value(id.as_str())));
        Self { key_id, key_name, scopes, parent }
    }
}

pub(super) fn header_value(text: &str) -> HeaderValue {
    let [value] = header_values([text]);
    value
}

/// Several texts as values that share one allocation.
///
/// Names are free of control characters when they are minted; what a hand wrote into the store
/// and no header can carry is left empty rather than refused.
fn header_values<const N: usize>(texts: [&str; N]) -> [HeaderValue; N] {
    let mut rest = Bytes::from(texts.concat());
    texts.map(|text| {
        let value = rest.split_to(text.len());
        HeaderValue::from_maybe_shared(value).unwrap_or(HeaderValue::from_static(""))
    })
}
