//! What of usage is kept how long, seen to once an hour.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::sleep;

use super::journal::Journal;
use crate::domain::Clock;
use crate::store::books::Kept;
use crate::store::{Result, Store, StoreError};

const HOUR: Duration = Duration::from_hours(1);
/// The same after the store was away.
const AGAIN: Duration = Duration::from_mins(1);
const DAY: Duration = Duration::from_hours(24);
/// How long the books remember a journal that nobody has brought them anything of. A folder that comes
/// back later than that would be booked again, so it is long: it is one small row a worker.
const JOURNALS: Duration = Duration::from_hours(24 * 400);

/// How long usage is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keeping {
    /// Single requests; zero: not at all.
    pub requests: Duration,
    /// Counts by hour.
    pub hours: Duration,
}

impl Default for Keeping {
    fn default() -> Self {
        Self { requests: Duration::ZERO, hours: 90 * DAY }
    }
}

impl Keeping {
    pub(super) fn keeps_requests(self) -> bool {
        !self.requests.is_zero()
    }

    /// The borders that it comes to now.
    fn at(self, now: Timestamp) -> Kept {
        let before = |length| now.checked_sub(length).unwrap_or(Timestamp::UNIX_EPOCH);
        Kept {
            requests_since: before(self.requests),
            hours_since: before(self.hours),
            journals_since: before(JOURNALS),
        }
    }
}

/// Removes what is kept no longer, for ever. Every instance does so, and it does not matter which.
pub async fn run(journal: Arc<Journal>, store: Arc<dyn Store>, clock: Clock) {
    loop {
        let pause = match tidy(&journal, &*store, clock.now()).await {
            Ok(()) => HOUR,
            // That it is away is told by who follows its changes.
            Err(StoreError::Unavailable(_) | StoreError::Silent(_)) => AGAIN,
            Err(error) => {
                tracing::warn!(%error, "old usage could not be tidied up; it is tried again");
                HOUR
            }
        };
        sleep(pause).await;
    }
}

async fn tidy(journal: &Journal, store: &dyn Store, now: Timestamp) -> Result<()> {
    store.keep_journal(journal.id(), now).await?;
    store.tidy_usage(&journal.keeping().at(now)).await
}
