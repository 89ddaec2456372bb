//! What the endpoints and the dashboard's pages answer from.

use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::json;
use tokio::task::spawn_blocking;

use super::access::{Caller, Door, Knock, token};
use super::error::ApiError;
use super::live::{Live, NotReloaded};
use crate::auth::mint::{Asker, Mint, MintError};
use crate::auth::view::KeyView;
use crate::config::LoadedConfig;
use crate::domain::{Act, AdminToken, Clock, KeyId, KeyWithSecrets, Month, Role};
use crate::key::format::Minted;
use crate::store::{Store, StoreError};
use crate::telemetry::metrics::Metrics;

/// What the endpoints answer from.
#[derive(Clone)]
pub struct AdminState {
    /// The process's metrics.
    pub metrics: Arc<Metrics>,
    /// The running gateway.
    pub live: Arc<dyn Live>,
    /// Where everything is kept.
    pub store: Arc<dyn Store>,
    /// What now is.
    pub clock: Clock,
    /// Who may come in.
    pub door: Arc<Door>,
}

impl AdminState {
    /// The time now.
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Somebody at the door, who comes from there.
    pub(super) fn knock(&self, address: IpAddr) -> Knock<'_> {
        let limit = self.loaded().config.admin.failed_sign_in_per_ip;
        Knock { address, limit, store: &self.store, now: self.now() }
    }

    /// Whether browsers come over TLS.
    pub(super) fn is_https(&self) -> bool {
        self.loaded().config.admin.tls.is_some()
    }

    /// The configuration in force.
    pub(super) fn loaded(&self) -> Arc<LoadedConfig> {
        self.live.config()
    }

    /// What makes and changes keys, in the name of who asked, under that configuration.
    pub(super) fn mint<'a>(&'a self, loaded: &'a LoadedConfig, asker: &'a Asker) -> Mint<'a> {
        Mint { store: &*self.store, config: &loaded.config, clock: &self.clock, asker }
    }

    /// Makes an admin token, on a thread that may take its time; it is the caller's to keep it.
    pub(super) async fn mint_token(
        &self,
        name: String,
        role: Role,
        expires_at: Option<Timestamp>,
    ) -> Result<(AdminToken, Minted), MintError> {
        let (loaded, now) = (self.loaded(), self.now());
        let minting = move || token::mint(&name, role, expires_at, &loaded.config.keys, now);
        spawn_blocking(minting).await.expect("minting neither panics nor is cancelled")
    }

    /// A change by who asked, now.
    pub(super) fn act(&self, caller: &Caller) -> Act {
        let Asker { actor, address } = caller.asker();
        Act { actor, address, at: self.now() }
    }

    /// Reads the configuration again and puts it in force, which is noted in the audit log; its hash.
    pub(super) async fn reload(
        &self,
        caller: &Caller,
    ) -> Result<Result<String, NotReloaded>, StoreError> {
        if let Err(refused) = self.live.reload().await {
            return Ok(Err(refused));
        }
        let hash = self.loaded().hash();
        let (act, instance) = (self.act(caller), self.live.instance());
        let after = json!({ "hash": hash });
        self.store.note(&act, "config.reload", instance.as_str(), after).await?;
        Ok(Ok(hash))
    }

    /// Keys as programs are shown them, in their order, with what they have spent this month.
    pub(super) async fn views<'a>(
        &self,
        keys: &'a [KeyWithSecrets],
        loaded: &LoadedConfig,
    ) -> Result<Vec<KeyView<'a>>, ApiError> {
        let (now, policy) = (self.now(), &loaded.config.keys);
        let ids: Vec<KeyId> = keys.iter().map(|key| key.key.id.clone()).collect();
        let spent = self.store.spent(&ids, Month::of(now)).await?;
        let spent = |key: &KeyWithSecrets| spent.get(&key.key.id).copied().unwrap_or_default();
        Ok(keys.iter().map(|key| KeyView::new(key, policy, spent(key), now)).collect())
    }
}
