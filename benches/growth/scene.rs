//! Gateways that are measured beside each other: all of them on one core, one worker each, clients and
//! upstream on the other. Postgres may run on both, since it does nothing while known keys are asked.

use std::rc::Rc;

use anyhow::{Result, anyhow, ensure};

use crate::common::cores::{pin, pin_to, two_cores};
use crate::stage::filled::{fill, mint};
use crate::stage::load::{Clients, Target};
use crate::stage::pinned::target;
use crate::stage::plans::{Requests, statuses, warm_up};
use crate::stage::site::{self, PATH};
use crate::support::load::get;
use crate::support::{TestGateway, TestStore};

/// Without a line for each request; every address is one client's here.
const CONFIG: &str = "[server]\nworkers = 1\nmax_connections = 40000";
/// Connections that use keys for the first time.
const FIRST_USES: usize = 64;

/// The clients, and who runs where.
pub struct Scene {
    /// Clients and upstream.
    pub clients: Clients,
    own: usize,
    its: usize,
}

/// A gateway and the keys that are used of its store.
pub struct Place {
    /// The gateway.
    pub gateway: TestGateway,
    /// One request for each key.
    pub requests: Requests,
}

impl Scene {
    /// Pins the calling thread.
    pub fn new() -> Result<Self> {
        let (own, its) = two_cores()?;
        pin(own)?;
        Ok(Self { clients: Clients::new(true)?, own, its })
    }

    /// A gateway on a Postgres with `size` keys, of which `used` can be used; `config` is added to its
    /// configuration.
    pub fn place(&self, size: usize, used: usize, config: &str) -> Result<Place> {
        pin_to(&[self.own, self.its])?;
        let store =
            TestStore::postgres().ok_or_else(|| anyhow!("Debian's postgresql is needed"))?;
        let setup = site::setup(store, self.clients.upstream()?).config(CONFIG).config(config);
        let (installation, store) = setup.variable("KEYGATE_LOG", "info").install();
        installation.run(&["migrate"]);
        fill(&store, u32::try_from(size.saturating_sub(used))?);
        let secrets = mint(&store, used)?;
        pin(self.its)?;
        let gateway = installation.serve(store);
        pin(self.own)?;
        let requests = secrets.iter().map(|secret| get(PATH, secret).into()).collect();
        Ok(Place { gateway, requests })
    }

    /// One more gateway like that on its store, on the same core.
    pub fn another(&self, gateway: &TestGateway) -> Result<TestGateway> {
        pin(self.its)?;
        let another = gateway.another();
        pin(self.own)?;
        Ok(another)
    }

    /// Uses each of these once.
    pub fn use_once(&mut self, gateway: &TestGateway, requests: &[Rc<[u8]>]) -> Result<()> {
        let to = target(gateway, FIRST_USES);
        warm_up(&mut self.clients, to, &requests.to_vec())
    }

    /// Sends a plan's requests, all of which must be answered with 200; how many they were.
    pub fn ask<P: crate::stage::load::Plan>(
        &mut self,
        to: Target,
        plan: impl FnOnce() -> P,
    ) -> Result<usize> {
        let outcomes = self.clients.run(&[to], plan)?;
        let statuses = statuses(&outcomes);
        ensure!(statuses.keys().eq([&200]), "the requests were answered with {statuses:?}");
        Ok(outcomes.len())
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        // The next one looks for two cores again.
        let _ = pin_to(&[self.own, self.its]);
    }
}
