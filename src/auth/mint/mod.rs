//! Making and changing keys and owners, in domain words: used by the commands and by the APIs.
//!
//! The one rule: whatever is written to the store was checked here first, against the same
//! configuration that the gateway serves by. Who may ask for it is the caller's to say.

mod credits;
mod error;
mod expiry;
mod family;
mod owners;
mod rules;
mod schedule;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;

use crate::config::Config;
use crate::domain::id::DEFAULT_OWNER;
use crate::domain::{
    Act, Actor, AddressRange, Clock, Environment, Key, KeyId, KeyWithSecrets, Limit, Millionths,
    OwnerId, PublicId, Secret,
};
use crate::key::format::Minted;
use crate::store::{KeyPatch, Rotation, Store};

pub use error::{Field, MintError};
pub use expiry::Expiry;
pub use rules::name as check_name;

/// A key to be made. What is `None` is taken over from its parent, where it has one.
#[derive(Clone, Debug, Default)]
pub struct NewKey {
    /// 1 to 100 characters.
    pub name: String,
    /// The key that it will be under, and never have more than.
    pub parent: Option<KeyId>,
    /// An owner's id or name; else the default owner.
    pub owner: Option<String>,
    /// Live or test; else live.
    pub environment: Option<Environment>,
    /// What it may do; else nothing.
    pub grants: Option<Grants>,
    /// Its own limits, one a window; none: the configuration's.
    pub limits: Option<Vec<Limit>>,
    /// None: from anywhere.
    pub allowed_ips: Option<Vec<AddressRange>>,
    /// `Some(None)` and, without a parent, `None`: never.
    pub expires_at: Option<Option<Timestamp>>,
    /// What it may spend in a month. Not taken over: the parent's binds it all the same.
    pub monthly_budget: Option<Millionths>,
    /// Notes.
    pub metadata: BTreeMap<String, String>,
    /// Every how many days a new secret is due; `None`: no schedule.
    pub rotation_interval_days: Option<u32>,
}

/// Scopes and bundles of them; the bundles are opened up when the key is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// Names of the catalogue, `prefix:*` or `*`.
    pub scopes: Vec<String>,
    /// Names under `[permissions]`.
    pub permissions: Vec<String>,
}

/// What is changed of a key; a field that is `None` stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyChange {
    /// A new name.
    pub name: Option<String>,
    /// Another owner, by id or name.
    pub owner: Option<String>,
    /// All scopes anew.
    pub grants: Option<Grants>,
    /// All limits anew; empty: the configuration's.
    pub limits: Option<Vec<Limit>>,
    /// All addresses anew; empty: from anywhere.
    pub allowed_ips: Option<Vec<AddressRange>>,
    /// A new budget; `Some(None)`: without bound.
    pub monthly_budget: Option<Option<Millionths>>,
    /// A new end; `Some(None)`: never.
    pub expires_at: Option<Option<Timestamp>>,
    /// Notes to set (`Some`) or remove (`None`).
    pub metadata: BTreeMap<String, Option<String>>,
}

impl From<NewKey> for KeyChange {
    /// What a new key is given beside its place.
    fn from(new: NewKey) -> Self {
        Self {
            name: Some(new.name),
            owner: None,
            grants: new.grants,
            limits: new.limits,
            allowed_ips: new.allowed_ips,
            monthly_budget: new.monthly_budget.map(Some),
            expires_at: new.expires_at,
            metadata: new.metadata.into_iter().map(|(name, note)| (name, Some(note))).collect(),
        }
    }
}

/// Makes and changes keys and owners in one store under one configuration.
#[derive(Clone, Copy)]
pub struct Mint<'a> {
    /// Where they are kept.
    pub store: &'a dyn Store,
    /// The catalogue, the secrets' form, the policy.
    pub config: &'a Config,
    /// What now is.
    pub clock: &'a Clock,
    /// Who changes something, and from where.
    pub asker: &'a Asker,
}

/// Whether the store can be asked for a text: of control characters not every database can be.
fn is_name(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

/// Who asks for a change, and from where.
#[derive(Clone, Debug)]
pub struct Asker {
    /// Who.
    pub actor: Actor,
    /// From where, where that is over the network.
    pub address: Option<IpAddr>,
}

impl Mint<'_> {
    fn act(&self) -> Act {
        Act { actor: self.asker.actor.clone(), address: self.asker.address, at: self.clock.now() }
    }

    /// Makes a key with its first secret, which the caller hands on once and forgets.
    pub async fn create(&self, new: NewKey) -> Result<(KeyWithSecrets, Minted), MintError> {
        let now = self.clock.now();
        rules::interval(new.rotation_interval_days)?;
        let line = match &new.parent {
            Some(parent) => Some(self.line_to_extend(parent).await?),
            None => None,
        };
        let default_owner = OwnerId::from_text(DEFAULT_OWNER);
        let mut key = match &line {
            Some(line) => line.child(new.name.clone(), now),
            None => Key::new(new.name.clone(), default_owner, Environment::Live, now),
        };
        key.rotation_interval_days = new.rotation_interval_days;
        self.place(&mut key, &new).await?;
        let wish = self.patch(&key, new.into()).await?;
        if let Some(line) = &line {
            line.check(&wish)?;
        }
        wish.apply(&mut key);
        let (minted, secret) = self.mint_secret(key.environment, now).await?;
        let most = self.config.keys.max_children;
        if !self.store.create_child(&self.act(), &key, &secret, most).await? {
            return Err(MintError::invalid(format!(
                "a key has at most {most} keys under it here (`keys.max_children`)"
            )));
        }
        Ok((KeyWithSecrets { key, secrets: vec![secret] }, minted))
    }

    /// Puts a key where it belongs: that is its parent's owner and environment, where it has one.
    async fn place(&self, key: &mut Key, new: &NewKey) -> Result<(), MintError> {
        let owner = match &new.owner {
            Some(wished) => self.owner(wished).await?.id,
            None => key.owner_id.clone(),
        };
        let environment = new.environment.unwrap_or(key.environment);
        if key.parent_id.is_some() && (&owner, environment) != (&key.owner_id, key.environment) {
            return Err(MintError::invalid(format!(
                "a key has its parent's owner and environment: {} and {}",
                key.owner_id, key.environment
            )));
        }
        (key.owner_id, key.environment) = (owner, environment);
        Ok(())
    }

    /// The key with that id.
    pub async fn key(&self, id: &KeyId) -> Result<KeyWithSecrets, MintError> {
        let found = if is_name(id.as_str()) { self.store.key(id).await? } else { None };
        found.ok_or_else(|| MintError::NoSuchKey(id.as_str().to_owned()))
    }

    /// Changes a key in place: its secrets, and what it has spent and counted, stay.
    pub async fn update(&self, id: &KeyId, change: KeyChange) -> Result<KeyWithSecrets, MintError> {
        let held = self.unrevoked(id).await?;
        let patch = self.patch(&held.key, change).await?;
        if let Some(parent) = &held.key.parent_id {
            self.line(parent).await?.check(&patch)?;
        }
        if !self.store.update_key(&self.act(), id, &patch).await? {
            return Err(MintError::Revoked(id.clone()));
        }
        self.key(id).await
    }

    /// Gives a key a new secret. The old one works until `grace` is over; where two are live
    /// already, `replace` ends the older one at once.
    pub async fn rotate(
        &self,
        id: &KeyId,
        grace: Duration,
        replace: bool,
    ) -> Result<(KeyWithSecrets, Minted), MintError> {
        let held = self.unrevoked(id).await?;
        let now = self.clock.now();
        if !replace && held.secrets.iter().filter(|secret| secret.is_live(now)).count() > 1 {
            return Err(MintError::TwoLive(id.clone()));
        }
        let old_ends_at = now
            .checked_add(grace)
            .map_err(|_| MintError::invalid("the grace ends after the year 9999: shorten it"))?;
        let (minted, secret) = self.mint_secret(held.key.environment, now).await?;
        match self.store.rotate_key(&self.act(), id, &secret, old_ends_at, replace, now).await? {
            Rotation::Done => Ok((self.key(id).await?, minted)),
            Rotation::TwoLive => Err(MintError::TwoLive(id.clone())),
            Rotation::NoKey => Err(MintError::Revoked(id.clone())),
        }
    }

    /// Switches a key off, or on again.
    pub async fn set_disabled(
        &self,
        id: &KeyId,
        disabled: bool,
    ) -> Result<KeyWithSecrets, MintError> {
        self.unrevoked(id).await?;
        if !self.store.set_key_disabled(&self.act(), id, disabled).await? {
            return Err(MintError::Revoked(id.clone()));
        }
        self.key(id).await
    }

    /// Ends a key and all its descendants for good; how many keys that were, 0 where it had been
    /// ended before.
    pub async fn revoke(&self, id: &KeyId, reason: Option<&str>) -> Result<u64, MintError> {
        if let Some(reason) = reason {
            rules::reason(reason, &self.config.keys.format)?;
        }
        self.key(id).await?;
        Ok(self.store.revoke_key(&self.act(), id, reason, self.clock.now()).await?)
    }

    /// Ends one live secret of a key for good; the key and its other secret stay.
    pub async fn revoke_secret(
        &self,
        id: &KeyId,
        secret: PublicId,
    ) -> Result<KeyWithSecrets, MintError> {
        self.key(id).await?;
        if !self.store.revoke_secret(&self.act(), id, secret, self.clock.now()).await? {
            return Err(MintError::NoSuchSecret { key: id.clone(), secret });
        }
        self.key(id).await
    }

    async fn unrevoked(&self, id: &KeyId) -> Result<KeyWithSecrets, MintError> {
        let held = self.key(id).await?;
        if held.key.revoked_at.is_some() {
            return Err(MintError::Revoked(id.clone()));
        }
        Ok(held)
    }

    async fn patch(&self, key: &Key, change: KeyChange) -> Result<KeyPatch, MintError> {
        if let Some(name) = &change.name {
            rules::name(name, &self.config.keys.format)?;
        }
        if let Some(end) = change.expires_at {
            rules::expiry(end, self.clock.now())?;
        }
        let mut notes = key.metadata.clone();
        for (name, value) in &change.metadata {
            match value {
                Some(value) => notes.insert(name.clone(), value.clone()),
                None => notes.remove(name),
            };
        }
        rules::metadata(&notes, &self.config.keys.format)?;
        let owner_id = match &change.owner {
            Some(owner) => Some(self.owner(owner).await?.id),
            None => None,
        };
        Ok(KeyPatch {
            name: change.name,
            owner_id,
            scopes: change.grants.map(|g| rules::scopes(&g, self.config)).transpose()?,
            limits: change.limits.map(rules::limits).transpose()?,
            allowed_ips: change.allowed_ips.map(rules::allowed_ips),
            monthly_budget: change.monthly_budget,
            expires_at: change.expires_at,
            metadata: change.metadata,
        })
    }

    async fn mint_secret(
        &self,
        environment: Environment,
        now: Timestamp,
    ) -> Result<(Minted, Secret), MintError> {
        let minted = self.config.keys.format.mint(environment)?.ok_or_else(|| {
            MintError::invalid_but(
                "there are no test keys here: `keys.test_prefix` is empty",
                "leave out `--test`, or set `keys.test_prefix` in the configuration",
            )
        })?;
        let (strength, text) = (self.config.keys.argon2, minted.text.clone());
        let phc = tokio::task::spawn_blocking(move || strength.hash(&text))
            .await
            .expect("hashing neither panics nor is cancelled")?;
        let secret = Secret::new(minted.id, minted.hint.clone(), phc, now);
        Ok((minted, secret))
    }
}
