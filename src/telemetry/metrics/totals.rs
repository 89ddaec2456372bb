//! What requests came to until a moment, in a few sums: for a look at what came between two.

use super::cells::{OVERHEAD_BOUNDS, Reading};
use super::{Metrics, lock};
use crate::domain::Reason;

/// Classes of statuses by their first digit, 1 to 5; 0: none of them.
pub(super) const CLASSES: usize = 6;
/// Of a request whose client left before it was answered.
const CLIENT_LEFT: u16 = 499;

/// The class of a status. Nobody was answered with what says that the client left.
pub(super) fn class(status: u16) -> usize {
    match status {
        CLIENT_LEFT => 0,
        status => Some(usize::from(status / 100)).filter(|class| *class < CLASSES).unwrap_or(0),
    }
}

/// Sums since the start.
#[derive(Clone, Debug)]
pub(in crate::telemetry) struct Totals {
    /// Requests that were answered and not refused, by the class of their status.
    pub(in crate::telemetry) answered: [u64; CLASSES],
    /// Refusals, in the order of [`Reason::ALL`].
    pub(in crate::telemetry) refused: Vec<u64>,
    /// What the gateway itself took.
    pub(in crate::telemetry) overhead: Reading,
}

impl Metrics {
    /// What requests have come to.
    pub(in crate::telemetry) fn totals(&self) -> Totals {
        // Refusals first: none is counted there and not yet among all answers.
        let refused_with: [u64; CLASSES] =
            std::array::from_fn(|class| self.total(|worker| &worker.refused_with[class]));
        let refused = Reason::ALL.iter().map(|r| self.total(|worker| &worker.refusals[r.index()]));
        let mut totals = Totals {
            refused: refused.collect(),
            answered: [0; CLASSES],
            overhead: Reading::of(&OVERHEAD_BOUNDS, self.workers.iter().map(|w| &w.overhead)),
        };
        for route in lock(&self.routes).values() {
            for (status, count) in route.read() {
                totals.answered[class(status)] += count;
            }
        }
        for (answered, refused) in totals.answered.iter_mut().zip(refused_with) {
            *answered = answered.saturating_sub(refused);
        }
        totals
    }
}
