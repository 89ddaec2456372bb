//! The usage journal's start, and what goes on for it beside requests.

use std::sync::Arc;

use tokio::task::{AbortHandle, JoinHandle};

use crate::config::Config;
use crate::proxy::worker::Shared;
use crate::store::Store;
use crate::telemetry::metrics::Metrics;
use crate::usage::{
    Journal, JournalError, Keeping, Sizes, keep_booking, keep_tidy, take_over_others,
};

/// Begins this process's journal.
pub(super) fn begin(config: &Config) -> Result<Arc<Journal>, JournalError> {
    let workers = config.server.workers;
    let journal = Journal::start(&config.usage.journal, workers, Sizes::of(workers))?;
    journal.know_routes(config.routes.iter().map(|route| route.path.as_str()))?;
    journal.keep(keeping(config));
    Ok(journal)
}

/// How long usage is kept.
pub(super) fn keeping(config: &Config) -> Keeping {
    Keeping { requests: config.usage.keep_requests, hours: config.usage.keep_hours }
}

/// Has the metrics tell how the journal stands.
pub(super) fn show(journal: &Arc<Journal>, metrics: &Metrics) {
    let journal = Arc::clone(journal);
    metrics.read_with(move |metrics| {
        let totals = journal.totals();
        metrics.usage_written.take_over(totals.written);
        metrics.usage_booked.take_over(totals.booked);
        metrics.usage_refused.take_over(totals.refused);
        metrics.usage_bytes.set(totals.bytes);
    });
}

/// Makes segments ahead, books what is written, and takes over what others have left.
pub(super) fn start_background(shared: &Arc<Shared>, store: &Arc<dyn Store>) -> Vec<AbortHandle> {
    let (journal, clock) = (&shared.journal, &shared.auth.sync.clock);
    let supply = tokio::spawn(Arc::clone(journal).keep_supplied());
    let book = keep_booking(Arc::clone(journal), Arc::clone(store), clock.clone());
    let take_over = take_over_others(Arc::clone(journal), Arc::clone(store), clock.clone());
    let tidy = keep_tidy(Arc::clone(journal), Arc::clone(store), clock.clone());
    let tasks = [supply, tokio::spawn(book), tokio::spawn(take_over), tokio::spawn(tidy)];
    tasks.iter().map(JoinHandle::abort_handle).collect()
}
