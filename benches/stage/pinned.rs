//! A stage for fairness: clients and upstream on one core, the gateway on another.
//!
//! So what is measured is what the gateway does on its own core, for its worker, its control plane
//! and its hashing thread together, and not who wakes the clients. With SQLite they have their core
//! to themselves, and spin, so that nobody pays for waking them. A Postgres shares it with them,
//! since it is on neither side in earnest; then they sleep, and what it computes is in their times.

use anyhow::Result;
use keygate::key::hash::Argon2Strength;

use super::load::{Clients, Target};
use super::site;
use crate::common::cores::{pin, pin_to, two_cores};
use crate::support::{Kind, MintedKey, TestGateway, TestStore, bulk};

/// The store, the clients, and who runs where.
pub struct Stage {
    /// Clients and upstream.
    pub clients: Clients,
    /// Starts the others and serves nobody.
    idle: TestGateway,
    own: usize,
    its: usize,
}

impl Stage {
    /// Pins the calling thread. `config` is added to the configuration of every gateway.
    pub fn new(kind: Kind, config: &str) -> Result<Self> {
        let (own, its) = two_cores()?;
        pin(own)?;
        let (store, spin) = match kind {
            Kind::Sqlite => (TestStore::sqlite(), true),
            Kind::Postgres => (site::postgres()?, false),
        };
        let clients = Clients::new(spin)?;
        let setup = site::setup(store, clients.upstream()?);
        let idle = setup.config("[server]\nworkers = 1").config(config).start();
        Ok(Self { clients, idle, own, its })
    }

    /// Writes so many keys with hashes of that strength.
    pub fn keys(&self, count: usize, strength: Argon2Strength) -> Result<Vec<MintedKey>> {
        pin_to(&[self.own, self.its])?;
        let keys = bulk::insert_hashed(self.idle.store(), count, strength, |_, _| {});
        pin(self.own)?;
        Ok(keys)
    }

    /// Starts a gateway on its core, which knows no key yet.
    pub fn gateway(&self) -> Result<TestGateway> {
        pin(self.its)?;
        let gateway = self.idle.another();
        pin(self.own)?;
        Ok(gateway)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // The next stage looks for two cores again.
        let _ = pin_to(&[self.own, self.its]);
    }
}

/// A gateway as a target.
pub fn target(gateway: &TestGateway, connections: usize) -> Target {
    Target { address: gateway.address(), connections }
}
