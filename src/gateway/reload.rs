//! The configuration kept fresh: what a reload puts in force, and what it can't.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::certificates::Certificates;
use super::{Control, systemd, usage};
use crate::admin::NotReloaded;
use crate::config::reload::Watch;
use crate::config::{Config, LoadedConfig, Problem};
use crate::proxy::plan::Plan;
use crate::proxy::probe::Probers;

/// Keeps the configuration fresh.
pub(super) struct Reloader {
    pub(super) control: Arc<Control>,
    pub(super) watch: Watch,
    /// What the parts that can't be changed while they run were started with.
    pub(super) config: Arc<Config>,
    pub(super) probers: Probers,
    pub(super) certificates: Certificates,
}

impl Reloader {
    pub(super) fn reload_now(&mut self) -> Result<(), NotReloaded> {
        systemd::reloading();
        let loaded = self.watch.reload();
        let taken = self.take_over(loaded);
        self.certificates.refresh(&self.control);
        systemd::ready();
        taken
    }

    pub(super) fn reload_if_changed(&mut self) {
        if let Some(loaded) = self.watch.changed() {
            // What is wrong is in the log.
            let _ = self.take_over(loaded);
        }
        self.certificates.refresh(&self.control);
    }

    /// Puts a good file in force from the next request on; a bad one is told of and changes nothing.
    fn take_over(&mut self, loaded: Result<LoadedConfig, Vec<Problem>>) -> Result<(), NotReloaded> {
        let taken =
            loaded.map_err(NotReloaded::Problems).and_then(|loaded| self.put_in_force(&loaded));
        self.control.shared.metrics.config_reloaded(taken.is_ok());
        match &taken {
            Ok(()) => tracing::info!("the configuration was reloaded"),
            Err(refused) => {
                log(refused);
                tracing::error!("the configuration was not reloaded; the old one stays in force");
            }
        }
        taken
    }

    fn put_in_force(&mut self, loaded: &LoadedConfig) -> Result<(), NotReloaded> {
        for warning in &loaded.warnings {
            tracing::warn!("{warning}");
        }
        for name in needs_restart(&self.config, &loaded.config) {
            tracing::warn!("a change of {name} takes effect at the next start");
        }
        let shared = &self.control.shared;
        let generation = shared.generation.load(Ordering::Acquire) + 1;
        let plan = Plan::new(Arc::new(loaded.config.clone()), generation)
            .map_err(|error| NotReloaded::Other(error.to_string()))?
            .in_service(&shared.metrics, Some(&shared.plan.load()));
        let cache_keys = loaded.cache_keys().map_err(NotReloaded::Other)?;
        let routes = plan.config.routes.iter().map(|route| route.path.as_str());
        shared
            .journal
            .know_routes(routes)
            .map_err(|error| NotReloaded::Other(error.to_string()))?;
        shared.journal.keep(usage::keeping(&plan.config));
        let webhooks = self.control.webhooks.prepare(loaded).map_err(NotReloaded::Other)?;
        let followed = self.certificates.follow(&loaded.config);
        followed.map_err(|error| NotReloaded::Other(error.to_string()))?;
        self.certificates.put_in_force(&self.control);
        self.control.webhooks.put_in_force(webhooks);
        shared.auth.macs.replace_keys(cache_keys.as_ref());
        shared.auth.sync.policy.store(Arc::new(plan.policy.clone()));
        self.probers.follow(&plan);
        shared.refusals.keep(plan.config.admin.keep_refusals);
        shared.plan.store(Arc::new(plan));
        self.control.loaded.store(Arc::new(loaded.clone()));
        shared.generation.store(generation, Ordering::Release);
        self.control.membership.set_config_hash(loaded.hash());
        if let Err(error) = shared.access_log.reopen(&loaded.config.access_log) {
            tracing::error!(%error, "the access log stays where it was: it cannot be opened");
        }
        Ok(())
    }
}

/// Tells why a new configuration was not taken.
fn log(refused: &NotReloaded) {
    match refused {
        NotReloaded::Problems(problems) => {
            for problem in problems {
                tracing::error!(hint = problem.hint.as_deref(), "{problem}");
            }
        }
        NotReloaded::Other(problem) => tracing::error!("{problem}"),
    }
}

/// The settings that differ and are read at the start alone.
fn needs_restart(running: &Config, new: &Config) -> Vec<&'static str> {
    [
        ("server.listen", running.server.listen != new.server.listen),
        ("server.redirect_http", running.server.redirect_http != new.server.redirect_http),
        ("server.workers", running.server.workers != new.server.workers),
        ("admin.listen", running.admin.listen != new.admin.listen),
        ("store.url", running.store != new.store),
        ("usage.journal", running.usage.journal != new.usage.journal),
        ("cluster.redis", running.redis != new.redis),
        ("cache.capacity", running.cache.capacity != new.cache.capacity),
    ]
    .into_iter()
    .filter_map(|(name, differs)| differs.then_some(name))
    .collect()
}
