//! Wall time as an argument.
//!
//! What depends on the calendar (expiry, the end of a grace, a month) takes its time from a
//! [`Clock`], so that a test can move it. Durations are measured elsewhere, by monotonic instants.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;

/// Where wall time comes from: the system, or a hand that a test moves.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    moved: Option<Arc<AtomicI64>>,
}

impl Clock {
    /// The system's own clock.
    pub fn system() -> Self {
        Self::default()
    }

    /// A clock that stands at `at` until [`Clock::set`] moves it; clones move together.
    pub fn standing_at(at: Timestamp) -> Self {
        Self { moved: Some(Arc::new(AtomicI64::new(at.as_millisecond()))) }
    }

    /// Moves a standing clock; the system's clock cannot be moved and stays as it is.
    pub fn set(&self, at: Timestamp) {
        if let Some(moved) = &self.moved {
            moved.store(at.as_millisecond(), Ordering::Relaxed);
        }
    }

    /// The time now, in milliseconds since the Unix epoch.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that asks the system for the time"
    )]
    pub fn now_ms(&self) -> i64 {
        match &self.moved {
            Some(moved) => moved.load(Ordering::Relaxed),
            None => Timestamp::now().as_millisecond(),
        }
    }

    /// The time now, cut to whole milliseconds as the stores keep it.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.now_ms()).expect("a clock's milliseconds fit a timestamp")
    }
}
