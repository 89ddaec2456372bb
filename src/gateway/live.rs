//! What the running gateway says of itself to the admin plane.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::oneshot;

use super::Control;
use crate::admin::{Live, NotReloaded, ReadyReport, RefusalFilter};
use crate::auth::sync::StoreState;
use crate::auth::table::Moment;
use crate::config::LoadedConfig;
use crate::domain::{InstanceId, KeyId, Limit, LimitStanding, RefusedRequest, TrafficSample};
use crate::limit::{SharedLimits, Standing};
use crate::proxy::plan::Plan;
use crate::proxy::refusals::Noted;
use crate::proxy::route::Route;
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

    fn limits(&self, key: &KeyId) -> Option<Vec<LimitStanding>> {
        let (shared, plan) = (&self.shared, self.shared.plan.load());
        let key = shared.auth.sync.table.key(key)?;
        let record = key.record(&plan.policy);
        if !record.counted {
            return Some(Vec::new());
        }
        let (books, now) = (shared.books(), shared.auth.sync.now());
        let stand = |own: &[Limit], route| books.standings(&key, own, route, now.monotonic_ms);
        let own = stand(&record.limits, None).into_iter().map(|it| shown(&it, None, now));
        let counted = plan
            .router
            .routes()
            .iter()
            .filter(|route| !route.limits.is_empty() && key.counters.has_counted(route.id));
        let of_routes = counted.flat_map(|route| {
            let standings = stand(&[], Some((route.id, &route.limits))).into_iter();
            standings.map(|it| shown(&it, Some(&route.path), now))
        });
        Some(own.chain(of_routes).collect())
    }

    fn standings(&self, key: &KeyId, route: &Route) -> Option<Vec<(Standing, bool)>> {
        let shared = &self.shared;
        let key = shared.auth.sync.table.key(key)?;
        let record = key.record(&shared.plan.load().policy);
        let (books, now_ms) = (shared.books(), shared.auth.sync.monotonic_ms());
        let own = books.standings(&key, &record.limits, None, now_ms).into_iter();
        let of_route = Some((route.id, route.limits.as_slice()));
        let of_route = books.standings(&key, &[], of_route, now_ms).into_iter();
        Some(own.map(|it| (it, false)).chain(of_route.map(|it| (it, true))).collect())
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
        self.history.samples()
    }

    async fn reload(&self) -> Result<(), NotReloaded> {
        let stopping = || NotReloaded::Other("the gateway is stopping".to_owned());
        let (answer, answered) = oneshot::channel();
        self.reloads.send(answer).await.map_err(|_| stopping())?;
        answered.await.unwrap_or_else(|_| Err(stopping()))
    }
}

/// A standing as it is shown: the time of the window's end by the wall clock.
fn shown(standing: &Standing, route: Option<&str>, now: Moment) -> LimitStanding {
    let reset_ms = now.wall_ms.saturating_add_unsigned(standing.reset_in_ms);
    LimitStanding {
        limit: standing.limit,
        route: route.map(str::to_owned),
        remaining: standing.remaining,
        reset_at: Timestamp::from_millisecond(reset_ms).unwrap_or(Timestamp::MAX),
    }
}
