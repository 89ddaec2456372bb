//! What most commands work with: the configuration, the store, the time.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;

use super::failure::Result;
use super::{Failure, Globals};
use crate::auth::mint::{Asker, Mint};
use crate::auth::view::KeyView;
use crate::config::{self, Config, Environment, LoadedConfig};
use crate::domain::{Act, Actor, Clock, KeyId, KeyWithSecrets, Month};
use crate::store::{self, Store};

/// A loaded configuration and its store, with a schema that fits.
pub(crate) struct Session {
    /// As the file and the environment say.
    pub(crate) loaded: LoadedConfig,
    /// Open.
    pub(crate) store: Arc<dyn Store>,
    /// The system's.
    pub(crate) clock: Clock,
    /// The user of this machine who typed it.
    asker: Asker,
}

impl Session {
    /// Loads the configuration and opens its store.
    ///
    /// A SQLite store is made and brought up to date by this; a Postgres store that is behind is
    /// an error, see [`store::prepare`].
    pub(crate) async fn open(globals: &Globals) -> Result<Self> {
        Self::on(load(globals)?).await
    }

    /// Opens the store of a configuration that is loaded already.
    pub(crate) async fn on(loaded: LoadedConfig) -> Result<Self> {
        let store = open_store(&loaded.config).await?;
        store::prepare(&*store, &loaded.config.store).await?;
        let asker = Asker { actor: Actor::Command(user().into()), address: None };
        Ok(Self { loaded, store, clock: Clock::system(), asker })
    }

    /// The checked configuration.
    pub(crate) fn config(&self) -> &Config {
        &self.loaded.config
    }

    /// What makes and changes keys here.
    pub(crate) fn mint(&self) -> Mint<'_> {
        Mint { store: &*self.store, config: self.config(), clock: &self.clock, asker: &self.asker }
    }

    /// A change by who typed it, now.
    pub(crate) fn act(&self) -> Act {
        Act { actor: self.asker.actor.clone(), address: self.asker.address, at: self.now() }
    }

    /// A key as programs are shown it.
    pub(crate) async fn view<'a>(&self, key: &'a KeyWithSecrets) -> Result<KeyView<'a>> {
        let mut views = self.views(std::slice::from_ref(key)).await?;
        Ok(views.pop().expect("a key has a view"))
    }

    /// Keys as programs are shown them, in their order.
    pub(crate) async fn views<'a>(&self, keys: &'a [KeyWithSecrets]) -> Result<Vec<KeyView<'a>>> {
        let (now, policy) = (self.now(), &self.config().keys);
        let ids: Vec<KeyId> = keys.iter().map(|key| key.key.id.clone()).collect();
        let spent = self.store.spent(&ids, Month::of(now)).await?;
        let spent = |key: &KeyWithSecrets| spent.get(&key.key.id).copied().unwrap_or_default();
        Ok(keys.iter().map(|key| KeyView::new(key, policy, spent(key), now)).collect())
    }

    /// The time now.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// The file that the configuration is read from.
pub(crate) fn locate(globals: &Globals) -> Result<PathBuf> {
    config::locate(globals.config.as_deref()).map_err(|error| {
        Failure::mistaken(error.to_string())
            .with_hint("to try keygate out without one: `keygate demo`")
    })
}

/// Reads and checks the configuration.
pub(crate) fn load(globals: &Globals) -> Result<LoadedConfig> {
    let file = locate(globals)?;
    Ok(config::load(&file, &Environment::process())?)
}

/// Opens the store without a look at its schema.
pub(crate) async fn open_store(config: &Config) -> Result<Arc<dyn Store>> {
    Ok(store::open(&config.store).await?)
}

/// The name of who runs the command, or the number where the machine knows no name.
fn user() -> String {
    let id = rustix::process::getuid().as_raw().to_string();
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, _, number) = (fields.next()?, fields.next()?, fields.next()?);
        (number == id).then(|| name.to_owned())
    });
    named.unwrap_or(id)
}
