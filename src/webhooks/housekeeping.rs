//! What is done now and then: old rows go, and the metrics learn what waits.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::deliver::Webhooks;
use crate::store::Result;

/// How long deliveries that were taken, and events, are kept.
const DELIVERED: SignedDuration = SignedDuration::from_hours(30 * 24);
/// How long deliveries that were given up are kept.
const FAILED: SignedDuration = SignedDuration::from_hours(90 * 24);
/// How long what no instance knows the endpoint of is kept for one that does.
const UNKNOWN: SignedDuration = SignedDuration::from_hours(24);
/// Between two looks at what waits.
const COUNT: Duration = Duration::from_secs(10);
/// Between two sweeps.
const SWEEP: Duration = Duration::from_mins(10);

/// When it was done last.
#[derive(Default)]
pub(super) struct Times {
    counted: Option<Instant>,
    swept: Option<Instant>,
}

impl Times {
    /// Does what is due.
    pub(super) async fn look(&mut self, webhooks: &Webhooks) -> Result<()> {
        if is_due(self.counted, COUNT) {
            count(webhooks).await?;
            self.counted = Some(Instant::now());
        }
        if is_due(self.swept, SWEEP) {
            sweep(webhooks).await?;
            self.swept = Some(Instant::now());
        }
        Ok(())
    }
}

fn is_due(last: Option<Instant>, every: Duration) -> bool {
    last.is_none_or(|last| last.elapsed() >= every)
}

async fn count(webhooks: &Webhooks) -> Result<()> {
    let backlog = webhooks.store.backlog().await?;
    let now = webhooks.clock.now_ms();
    let age = backlog.oldest.map_or(0, |oldest| now - oldest.as_millisecond());
    webhooks.metrics.webhooks_waiting.set(backlog.pending);
    webhooks.metrics.webhooks_oldest_seconds.set(u64::try_from(age / 1_000).unwrap_or(0));
    Ok(())
}

async fn sweep(webhooks: &Webhooks) -> Result<()> {
    let now = webhooks.clock.now();
    let ago = |age: SignedDuration| now.saturating_sub(age).unwrap_or(Timestamp::MIN);
    let known = webhooks.settings.load().names();
    let abandoned = webhooks.store.abandon(&known, ago(UNKNOWN), now).await?;
    if abandoned > 0 {
        tracing::warn!(abandoned, "deliveries are given up whose endpoint is in no configuration");
    }
    if let Err(error) = webhooks.hooks().renew().await {
        tracing::warn!(%error, "webhooks' secrets are not all under the new key yet");
    }
    while webhooks.store.prune_deliveries(ago(DELIVERED), ago(FAILED)).await? {}
    Ok(())
}
