//! What only the running process knows: the wiring implements it, the endpoints ask it.

use std::sync::Arc;

use async_trait::async_trait;

use crate::config::{LoadedConfig, Problem};
use crate::domain::{InstanceId, KeyId, LimitStanding, Reason, RefusedRequest, TrafficSample};
use crate::limit::Standing;
use crate::proxy::plan::Plan;
use crate::proxy::route::Route;

/// How the gateway stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadyReport {
    /// Whether the store is in reach and its changes are followed.
    pub store_up: bool,
    /// Whether the key table holds anything that may still be used while the store is away.
    pub cache_usable: bool,
    /// Whether limits are shared by Redis now; `None`: there is none. Requests may be sent either way.
    pub redis_up: Option<bool>,
    /// Whether the gateway is ending: no new requests, please.
    pub draining: bool,
}

impl ReadyReport {
    /// Why no requests should be sent; `None`: they should.
    pub fn reason(&self) -> Option<&'static str> {
        if self.draining {
            Some("the gateway is draining")
        } else if !self.store_up && !self.cache_usable {
            Some("the store is out of reach and nothing is cached")
        } else {
            None
        }
    }
}

/// Which refusals are told of: all that every given field says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RefusalFilter {
    /// For this reason.
    pub reason: Option<Reason>,
    /// Of this key.
    pub key: Option<KeyId>,
    /// Of this request.
    pub request_id: Option<String>,
}

/// Why a configuration was not put in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotReloaded {
    /// What is wrong with the file.
    Problems(Vec<Problem>),
    /// Something else that it needs.
    Other(String),
}

/// The running gateway. What is not `async` must not block.
#[async_trait]
pub trait Live: Send + Sync {
    /// How it stands now.
    fn ready(&self) -> ReadyReport;
    /// The configuration in force.
    fn config(&self) -> Arc<LoadedConfig>;
    /// The same as requests go by it: the routes, and how the upstreams' targets stand.
    fn plan(&self) -> Arc<Plan>;
    /// Which of the running instances it is.
    fn instance(&self) -> InstanceId;
    /// How a key's limits stand, its routes' among them; `None` where this instance does not hold the
    /// key, for which nothing is counted then.
    fn limits(&self, key: &KeyId) -> Option<Vec<LimitStanding>>;
    /// How the limits stand that a request of a key on a route of the [plan](Live::plan) is counted
    /// against, and whether each is the route's; `None` as for [`Live::limits`].
    fn standings(&self, key: &KeyId, route: &Route) -> Option<Vec<(Standing, bool)>>;
    /// The last requests that this instance refused, newest first, so many at most.
    fn refusals(&self, filter: &RefusalFilter, most: usize) -> Vec<RefusedRequest>;
    /// What this instance did of late, oldest first.
    fn traffic(&self) -> Vec<TrafficSample>;
    /// Reads the configuration again and puts it in force.
    async fn reload(&self) -> Result<(), NotReloaded>;
}
