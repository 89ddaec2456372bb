//! Who fails to come in too often waits, before anything is done for them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Mutex as Turn;
use tokio::time::Instant;

use crate::admin::error::ApiError;
use crate::domain::Limit;
use crate::limit::{FailedAuth, network};
use crate::telemetry::metrics::Metrics;

/// Failed tries to come in, by address.
pub(super) struct Failures {
    counted: FailedAuth,
    began: Instant,
    /// Those of an address take turns: many at once are no more than the limit.
    turns: Mutex<HashMap<IpAddr, Weak<Turn<()>>>>,
    metrics: Arc<Metrics>,
}

impl Failures {
    /// Nobody has failed yet.
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            counted: FailedAuth::default(),
            began: Instant::now(),
            turns: Mutex::default(),
            metrics,
        }
    }

    /// What `judge` says of who is not known yet; `None` of it is a failure. An address that is past
    /// the limit is not judged at all.
    pub(super) async fn judged<T>(
        &self,
        address: IpAddr,
        limit: Option<Limit>,
        judge: impl Future<Output = Result<Option<T>, ApiError>>,
    ) -> Result<Option<T>, ApiError> {
        let turn = self.turn(address);
        let _turn = turn.lock().await;
        if let Some(limit) = limit
            && let Some(seconds) = self.counted.blocked(address, limit, self.now_ms())
        {
            self.metrics.sign_ins_blocked.increment();
            return Err(ApiError::too_many(seconds));
        }
        let mut attempt = Attempt { failures: self, address, limit, counts: true };
        let judged = judge.await;
        attempt.counts = matches!(judged, Ok(None));
        judged
    }

    /// Counts a failure of that address.
    pub(super) fn count(&self, address: IpAddr, limit: Option<Limit>) {
        self.metrics.sign_ins_failed.increment();
        if let Some(limit) = limit {
            self.counted.record(address, limit, self.now_ms());
        }
    }

    fn turn(&self, address: IpAddr) -> Arc<Turn<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| turn.strong_count() > 0);
        let network = network(address);
        if let Some(turn) = turns.get(&network).and_then(Weak::upgrade) {
            return turn;
        }
        let turn = Arc::default();
        turns.insert(network, Arc::downgrade(&turn));
        turn
    }

    fn now_ms(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }
}

/// One that is being judged. Whoever goes away before the verdict has failed: it cost us as much.
struct Attempt<'a> {
    failures: &'a Failures,
    address: IpAddr,
    limit: Option<Limit>,
    counts: bool,
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if self.counts {
            self.failures.count(self.address, self.limit);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use futures_util::future::join_all;
    use tokio::time::{advance, sleep, timeout};

    use super::*;
    use crate::domain::Reason;

    const ADDRESS: [u8; 4] = [203, 0, 113, 7];

    fn failures() -> Failures {
        Failures::new(Metrics::new(1, "test"))
    }

    async fn fail(failures: &Failures, address: [u8; 4]) -> Result<Option<()>, ApiError> {
        let limit = Some("3/min".parse().unwrap());
        failures.judged(address.into(), limit, async { Ok(None) }).await
    }

    #[tokio::test(start_paused = true)]
    async fn many_at_once_are_no_more_than_the_limit() {
        let (failures, judged) = (failures(), AtomicUsize::new(0));
        let limit = Some("3/min".parse().unwrap());
        let attempt = || {
            failures.judged(ADDRESS.into(), limit, async {
                judged.fetch_add(1, Ordering::Relaxed);
                sleep(Duration::from_millis(10)).await;
                Ok(None::<()>)
            })
        };
        let outcomes = join_all((0..20).map(|_| attempt())).await;
        assert_eq!(judged.load(Ordering::Relaxed), 3);
        let blocked = outcomes.iter().filter(|outcome| outcome.is_err()).count();
        assert_eq!((blocked, failures.metrics.sign_ins_blocked.read()), (17, 17));
        assert!(outcomes.contains(&Err(ApiError::too_many(60))), "{outcomes:?}");
        assert_eq!(fail(&failures, [203, 0, 113, 8]).await, Ok(None), "another one goes on");
        advance(Duration::from_secs(62)).await;
        assert_eq!(fail(&failures, ADDRESS).await, Ok(None));
        assert_eq!(failures.metrics.sign_ins_failed.read(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn what_could_not_be_judged_is_no_failure_and_going_away_is_one() {
        let failures = failures();
        let limit = Some("1/min".parse().unwrap());
        let away = async { Err::<Option<()>, _>(Reason::StoreUnavailable.into()) };
        assert!(failures.judged(ADDRESS.into(), limit, away).await.is_err());
        assert_eq!(
            failures.judged(ADDRESS.into(), limit, async { Ok(Some(1)) }).await,
            Ok(Some(1))
        );
        assert_eq!(failures.metrics.sign_ins_failed.read(), 0);
        let never =
            failures.judged(ADDRESS.into(), limit, std::future::pending::<Result<Option<()>, _>>());
        assert!(timeout(Duration::from_millis(1), never).await.is_err());
        assert_eq!(failures.metrics.sign_ins_failed.read(), 1);
        let blocked = failures.judged(ADDRESS.into(), limit, async { Ok(Some(1)) }).await;
        assert_eq!(blocked, Err(ApiError::too_many(60)));
    }
}
