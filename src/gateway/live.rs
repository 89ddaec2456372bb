//! What the running gateway says of itself to the admin plane.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;

use super::Control;
use crate::admin::{Live, NotReloaded, ReadyReport, RefusalFilter};
use crate::auth::sync::StoreState;
use crate::config::LoadedConfig;
use crate::domain::{InstanceId, KeyId, LimitStanding, RefusedRequest, TrafficSample};
use crate::limit::SharedLimits;
use crate::proxy::plan::Plan;
use crate::proxy::refusals::Noted;
use crate::proxy::worker::Shared;
use crate::telemetry::access::masked;

#[async_trait]
impl Live for Control {
    fn ready(&self) -> ReadyReport {
        let Shared { auth, plan, .. } = &*self.shared;
        let stale_ms = plan.load().config.cache.stale_if_down.as_millis() as u64;
        let state = auth.sync.state();
        let still_good = match state {
            StoreState::Live | StoreState::Checking => true,
            StoreState::Away { since_ms } => auth.sync.monotonic_ms() - since_ms <= stale_ms,
        };
        ReadyReport {
            store_up: state == StoreState::Live,
            cache_usable: still_good && !auth.sync.table.is_empty(),
            redis_up: self.shared.limits.as_ref().map(SharedLimits::is_up),
            draining: self.draining.load(Ordering::Acquire),
        }
    }

    fn config(&self) -> Arc<LoadedConfig> {
        self.loaded.load_full()
    }

    fn plan(&self) -> Arc<Plan> {
        self.shared.plan.load_full()
    }

    fn instance(&self) -> InstanceId {
        self.membership.id()
    }

    fn limits(&self, _key: &KeyId) -> Option<Vec<LimitStanding>> {
        None
    }

    fn refusals(&self, filter: &RefusalFilter, most: usize) -> Vec<RefusedRequest> {
        let RefusalFilter { reason, key, request_id } = filter;
        let config = &self.shared.plan.load().config;
        // As it was kept: masked.
        let request_id = request_id.as_ref().map(|id| masked(id, &config.keys.format));
        let wanted = |noted: &Noted| {
            let key_id = || noted.rights.as_ref().map(|rights| &rights.record.key.id);
            reason.is_none_or(|reason| noted.refusal.reason() == reason)
                && key.as_ref().is_none_or(|key| key_id() == Some(key))
                && request_id.as_ref().is_none_or(|id| *noted.request_id == **id)
        };
        self.shared.refusals.last(config.admin.keep_refusals, most, wanted)
    }

    fn traffic(&self) -> Vec<TrafficSample> {
        Vec::new()
    }

    async fn reload(&self) -> Result<(), NotReloaded> {
        Err(NotReloaded::Other("send SIGHUP".to_owned()))
    }
}
