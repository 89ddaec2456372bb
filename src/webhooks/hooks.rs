//! Addresses that keys and owners name for their own events: registered, found, removed.

use std::sync::Arc;

use arc_swap::ArcSwap;
use thiserror::Error;

use super::guard::{Guard, GuardError, Network, SystemNetwork};
use super::keys::Source;
use crate::auth::seal::SealError;
use crate::config::LoadedConfig;
use crate::domain::{Clock, HookId, WebhookUrl, WebhookUrlError};
use crate::key::SigningSecret;
use crate::key::format::MintError;
use crate::store::{Hook, Store, StoreError};

/// Hooks that are read at once when all of them are gone through.
const BATCH: u32 = 500;

/// Keeps hooks. Their secrets are shown once and stand encrypted in the store.
pub struct Hooks {
    store: Arc<dyn Store>,
    clock: Clock,
    network: Arc<dyn Network>,
    settings: ArcSwap<HookSettings>,
}

/// What of the configuration hooks go by.
pub(super) struct HookSettings {
    guard: Guard,
    source: Source,
}

impl HookSettings {
    fn new(loaded: &LoadedConfig, network: &Arc<dyn Network>) -> Result<Self, String> {
        let allow = loaded.config.webhooks.allow_private_networks;
        let guard = Guard::over(Arc::clone(network), allow);
        Ok(Self { guard, source: Source::of(loaded)? })
    }
}

/// Why there is no hook.
#[derive(Debug, Error)]
pub enum HookError {
    /// The URL is none that events can go to. The asker's fault.
    #[error("the webhook's URL cannot be used: {0}")]
    Url(#[from] WebhookUrlError),
    /// What it leads to is none that events may go to. The asker's fault.
    #[error("the webhook's URL cannot be used: {0}")]
    Address(#[from] GuardError),
    /// There is nothing to encrypt its secret with. The operator's fault.
    #[error(
        "webhooks of keys and owners need a key for their secrets: set `webhooks.key_file` or \
         `cache.key_file`"
    )]
    NoKey,
    /// The file with the key can't be used. The operator's fault.
    #[error("the key for webhooks' secrets cannot be used: {0}")]
    KeyFile(String),
    /// The secret could not be encrypted, or not be read again.
    #[error("the webhook's secret cannot be read: {0}")]
    Vault(SealError),
    /// No random bytes.
    #[error(transparent)]
    Mint(#[from] MintError),
    /// The store did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Hooks {
    /// Hooks in that store, as the configuration says; the error says what is wrong with the key's
    /// file.
    pub fn new(store: Arc<dyn Store>, loaded: &LoadedConfig, clock: Clock) -> Result<Self, String> {
        Self::over(Arc::new(SystemNetwork), store, loaded, clock)
    }

    /// The same, over another network.
    pub fn over(
        network: Arc<dyn Network>,
        store: Arc<dyn Store>,
        loaded: &LoadedConfig,
        clock: Clock,
    ) -> Result<Self, String> {
        let settings = ArcSwap::from_pointee(HookSettings::new(loaded, &network)?);
        Ok(Self { store, clock, network, settings })
    }

    /// Reads another configuration, which [`Self::put_in_force`] takes.
    pub(super) fn prepare(&self, loaded: &LoadedConfig) -> Result<HookSettings, String> {
        HookSettings::new(loaded, &self.network)
    }

    /// Takes another configuration up.
    pub(super) fn put_in_force(&self, settings: HookSettings) {
        self.settings.store(Arc::new(settings));
    }

    /// Registers where a key's or an owner's own events go, in the place of what it had before;
    /// the new secret, which nobody can be shown again.
    ///
    /// No name is resolved: what it leads to is judged when there is something to send, and who may
    /// register learns nothing of the names inside the operator's network.
    pub async fn register(&self, subject: &str, url: &str) -> Result<SigningSecret, HookError> {
        let settings = self.settings.load_full();
        let url = WebhookUrl::parse(url, settings.guard.allow_private_networks)?;
        settings.guard.check_host(&url)?;
        let secret = SigningSecret::mint()?;
        let sealed = settings.source.vault(true)?.seal(subject, &secret.text());
        let hook = Hook {
            id: HookId::mint(),
            subject: subject.to_owned(),
            url: url.as_str().to_owned(),
            sealed: sealed.map_err(HookError::Vault)?,
            created_at: self.clock.now(),
        };
        self.store.put_hook(&hook, &url.shown(), &url.place()).await?;
        Ok(secret)
    }

    /// Where a subject's own events go.
    pub async fn find(&self, subject: &str) -> Result<Option<String>, HookError> {
        Ok(self.store.hook(subject).await?.map(|hook| hook.url))
    }

    /// Removes a subject's hook; whether there was one. What waits for it has failed then.
    pub async fn remove(&self, subject: &str) -> Result<bool, HookError> {
        Ok(self.store.remove_hook(subject, self.clock.now()).await?)
    }

    /// Reads a secret that [`Self::register`] has made, to sign with.
    pub(super) fn open(&self, subject: &str, sealed: &str) -> Result<SigningSecret, HookError> {
        let settings = self.settings.load();
        let vault = settings.source.vault(false)?;
        let (text, _) = vault.open(subject, sealed).map_err(HookError::Vault)?;
        let secret = SigningSecret::parse(text.expose());
        secret.ok_or(HookError::Vault(SealError::Unreadable))
    }

    /// Encrypts under the key in force what is still under the one before it, if there are two;
    /// how many secrets those were.
    pub async fn renew(&self) -> Result<usize, HookError> {
        let settings = self.settings.load_full();
        let two = matches!(&settings.source, Source::Given(keys) if keys.iter().count() > 1);
        let (mut renewed, mut after) = (0, String::new());
        if !two {
            return Ok(0);
        }
        loop {
            let hooks = self.store.hooks_after(&after, BATCH).await?;
            let Some(last) = hooks.last() else { return Ok(renewed) };
            last.id.as_str().clone_into(&mut after);
            let vault = settings.source.vault(false)?;
            for hook in &hooks {
                if let Ok((text, true)) = vault.open(&hook.subject, &hook.sealed) {
                    let sealed = vault.seal(&hook.subject, &text).map_err(HookError::Vault)?;
                    self.store.reseal_hook(hook, &sealed).await?;
                    renewed += 1;
                }
            }
        }
    }
}
