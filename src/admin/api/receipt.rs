//! Receipts of changes that take rights away: what the running instances have confirmed.

use serde::Deserialize;
use tokio::time::Instant;
use utoipa::{IntoParams, ToSchema};

use crate::admin::AdminState;
use crate::cluster;
use crate::cluster::receipt::{self, AT_MOST};

/// Whether an answer waits for its receipt.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Waiting {
    /// `false`: the answer does not wait until the running instances have confirmed it.
    #[param(default = true)]
    wait: Option<bool>,
}

/// Who has confirmed it. Left out where it was not waited for, or where the store went away: it is done
/// either way.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only described: what is sent is a `cluster::Receipt`")]
pub(super) struct Receipt {
    /// Running instances: those heard of within three heartbeats.
    instances: Option<u32>,
    /// How many of them have confirmed it.
    confirmed: Option<u32>,
    /// From the commit until the last of these was seen to have; null where there is none.
    slowest_ms: Option<u64>,
    /// Instances that are not heard of any more; cut off from the store, they may still go by what
    /// they knew.
    silent: Option<u32>,
}

impl Waiting {
    /// The receipt of what was committed just now.
    pub(super) async fn receipt(&self, state: &AdminState) -> Option<cluster::Receipt> {
        if self.wait == Some(false) {
            return None;
        }
        let lasts = state.loaded().config.cache.stale_if_down;
        match receipt::wait(&*state.store, Instant::now(), AT_MOST, lasts).await {
            Ok(receipt) => Some(receipt),
            Err(error) => {
                tracing::warn!(%error, "which instances have confirmed a change is not known");
                None
            }
        }
    }
}
