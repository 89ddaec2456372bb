//! Receipts: who has confirmed a change that was just committed, and how long it took.
//!
//! An instance has confirmed it once it has reported a revision that is as new: from then on it lets
//! nobody in by what was true before.

use std::collections::HashSet;
use std::time::Duration;

use serde::{Serialize, Serializer};
use tokio::time::{Instant, sleep};

use crate::domain::{InstanceStatus, SeenInstance};
use crate::store::{Result, Store};

/// The longest that a command waits.
pub const AT_MOST: Duration = Duration::from_secs(5);
/// Between two looks at first; later a tenth of what has passed, up to [`SLOWEST_LOOK`].
const LOOK: Duration = Duration::from_millis(5);
const SLOWEST_LOOK: Duration = Duration::from_millis(100);
/// An instance that was cut off notices it so long after its last heartbeat at most.
const NOTICED_AFTER: Duration = Duration::from_secs(10);

/// What the running instances say to a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Receipt {
    /// Running ones: those heard of within three heartbeats.
    pub instances: usize,
    /// How many of them have confirmed it.
    pub confirmed: usize,
    /// From the commit until the last of these was seen to have; `None` where there is none.
    pub slowest_ms: Option<u64>,
    /// Not counted, since they are not heard of any more; but cut off from the store they may still
    /// go by what they knew.
    #[serde(serialize_with = "as_count")]
    pub silent: Vec<SeenInstance>,
    /// Those running that have not confirmed it.
    #[serde(skip)]
    pub late: Vec<SeenInstance>,
}

impl Receipt {
    /// How many have confirmed it, and how long the slowest took: a clause to stand in a sentence.
    pub fn in_words(&self) -> String {
        let after = self.slowest_ms.unwrap_or(0);
        match (self.instances, self.confirmed) {
            (0, _) => "no instance is running".to_owned(),
            (1, 1) => format!("the one running instance has confirmed it, after {after} ms"),
            (all, some) if all == some => format!(
                "all {all} running instances have confirmed it, the slowest after {after} ms"
            ),
            (all, some) => format!(
                "{some} of {all} running instances have confirmed it within {} s",
                AT_MOST.as_secs()
            ),
        }
    }
}

/// Waits until every running instance has confirmed what was committed at `committed`, or `at_most`
/// has passed since. An instance that falls silent meanwhile is not waited for any longer.
/// `stale_if_down` is how long one that is cut off from the store goes by what it knew.
pub async fn wait(
    store: &dyn Store,
    committed: Instant,
    at_most: Duration,
    stale_if_down: Duration,
) -> Result<Receipt> {
    let revision = store.revision().await?;
    let mut confirmed = HashSet::new();
    let mut slowest = None;
    loop {
        let seen = store.instances().await?;
        let elapsed = committed.elapsed();
        for instance in seen.iter().filter(|seen| has_confirmed(seen, revision)) {
            if is_running(instance) && confirmed.insert(instance.instance.id.clone()) {
                slowest = Some(elapsed);
            }
        }
        let receipt = receipt(seen, revision, slowest, stale_if_down);
        if receipt.late.is_empty() || elapsed >= at_most {
            return Ok(receipt);
        }
        let pause = (elapsed / 10).clamp(LOOK, SLOWEST_LOOK);
        sleep(pause.min(at_most.saturating_sub(elapsed))).await;
    }
}

/// How long after it was last heard of a silent instance may go by what it knew.
pub fn trusted_for(stale_if_down: Duration) -> Duration {
    stale_if_down.saturating_add(NOTICED_AFTER)
}

fn receipt(
    seen: Vec<SeenInstance>,
    revision: i64,
    slowest: Option<Duration>,
    stale_if_down: Duration,
) -> Receipt {
    let trusted_ms = trusted_for(stale_if_down).as_millis();
    let (running, silent): (Vec<_>, Vec<_>) = seen.into_iter().partition(is_running);
    let instances = running.len();
    let late: Vec<_> = running.into_iter().filter(|seen| !has_confirmed(seen, revision)).collect();
    let may_serve = |seen: &SeenInstance| {
        !has_confirmed(seen, revision) && u128::from(seen.seen_ms_ago) <= trusted_ms
    };
    let confirmed = instances - late.len();
    Receipt {
        instances,
        confirmed,
        slowest_ms: slowest.filter(|_| confirmed > 0).map(|slowest| slowest.as_millis() as u64),
        silent: silent.into_iter().filter(may_serve).collect(),
        late,
    }
}

fn is_running(seen: &SeenInstance) -> bool {
    seen.status == InstanceStatus::Running
}

fn has_confirmed(seen: &SeenInstance, revision: i64) -> bool {
    seen.instance.revision >= revision
}

fn as_count<S: Serializer>(silent: &[SeenInstance], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(silent.len() as u64)
}
