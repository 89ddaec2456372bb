//! How many connections a worker has to one target, and who waits for one.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::telemetry::metrics::TargetMetrics;

/// Connections that one worker has to one target at most. A target that needs more at once is not
/// keeping up: each of these has a request of its own.
pub(super) const MOST_CONNECTIONS: usize = 1_024;
/// Requests that wait for one of them at most; beyond, waiting only makes it worse.
pub(super) const MOST_WAITING: usize = 256;

/// The connections of a worker to a target, counted. `C` is what a free connection is handed on as.
pub(super) struct Room<C> {
    open: Cell<usize>,
    waiting: Cell<usize>,
    waiters: RefCell<VecDeque<oneshot::Sender<Grant<C>>>>,
    metrics: Arc<TargetMetrics>,
}

/// What a request that waited gets.
pub(super) enum Grant<C> {
    /// A connection that another request is done with.
    Connection(C),
    /// Room for a connection of its own.
    Place(Place<C>),
}

/// Room for one connection, given up when it is dropped.
pub(super) struct Place<C> {
    room: Rc<Room<C>>,
}

impl<C> Room<C> {
    /// With nothing in it.
    pub(super) fn new(metrics: Arc<TargetMetrics>) -> Rc<Self> {
        Rc::new(Self {
            open: Cell::new(0),
            waiting: Cell::new(0),
            waiters: RefCell::default(),
            metrics,
        })
    }

    /// Room for one more, if there is any.
    pub(super) fn place(self: &Rc<Self>) -> Option<Place<C>> {
        if self.open.get() >= MOST_CONNECTIONS {
            return None;
        }
        self.open.set(self.open.get() + 1);
        self.metrics.connections.increment();
        Some(Place { room: Rc::clone(self) })
    }

    /// Waits in turn, so long at most; `None`: in vain, or too many wait already.
    pub(super) async fn wait(&self, at_most: Duration) -> Option<Grant<C>> {
        let waiter = self.queue()?;
        let _waiting = Waiting::new(self);
        timeout(at_most, waiter).await.ok()?.ok()
    }

    /// Hands a free connection to whoever has waited longest; gives it back where nobody has.
    pub(super) fn hand_on(&self, connection: C) -> Option<C> {
        let Some(waiter) = self.next_waiter() else { return Some(connection) };
        match waiter.send(Grant::Connection(connection)) {
            Err(Grant::Connection(connection)) => Some(connection),
            _ => None,
        }
    }

    fn queue(&self) -> Option<oneshot::Receiver<Grant<C>>> {
        if self.waiting.get() >= MOST_WAITING {
            return None;
        }
        let (grant, waiter) = oneshot::channel();
        let mut waiters = self.waiters.borrow_mut();
        if waiters.len() >= 2 * MOST_WAITING {
            waiters.retain(|waiter| !waiter.is_closed());
        }
        waiters.push_back(grant);
        Some(waiter)
    }

    fn next_waiter(&self) -> Option<oneshot::Sender<Grant<C>>> {
        let mut waiters = self.waiters.borrow_mut();
        std::iter::from_fn(|| waiters.pop_front()).find(|waiter| !waiter.is_closed())
    }
}

impl<C> Drop for Place<C> {
    fn drop(&mut self) {
        if let Some(waiter) = self.room.next_waiter() {
            let place = Self { room: Rc::clone(&self.room) };
            // One that is gone after all gives the place up in turn.
            let _ = waiter.send(Grant::Place(place));
            return;
        }
        self.room.open.set(self.room.open.get() - 1);
        self.room.metrics.connections.decrement();
    }
}

/// Counts a request that waits, however its waiting ends.
struct Waiting<'r, C>(&'r Room<C>);

impl<'r, C> Waiting<'r, C> {
    fn new(room: &'r Room<C>) -> Self {
        room.waiting.set(room.waiting.get() + 1);
        room.metrics.waiting.increment();
        Self(room)
    }
}

impl<C> Drop for Waiting<'_, C> {
    fn drop(&mut self) {
        self.0.waiting.set(self.0.waiting.get() - 1);
        self.0.metrics.waiting.decrement();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    const LONG: Duration = Duration::from_secs(2);

    fn full() -> (Rc<Room<u8>>, Vec<Place<u8>>) {
        let room = Room::new(Arc::default());
        let places: Vec<_> = std::iter::from_fn(|| room.place()).collect();
        assert_eq!(places.len(), MOST_CONNECTIONS);
        (room, places)
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_gets_a_free_connection_or_a_place_in_turn() {
        let (room, mut places) = full();
        let (mut first, mut second) = (Box::pin(room.wait(LONG)), Box::pin(room.wait(LONG)));
        assert!((&mut first).now_or_never().is_none() && (&mut second).now_or_never().is_none());
        assert_eq!(room.metrics.waiting.read(), 2);
        assert_eq!(room.hand_on(7), None);
        places.pop();
        assert!(matches!(first.await, Some(Grant::Connection(7))));
        let Some(Grant::Place(place)) = second.await else { panic!("no place") };
        assert!(room.place().is_none(), "the place was handed on, not set free");
        drop(place);
        assert!(room.place().is_some());
        assert_eq!(room.hand_on(8), Some(8), "nobody waits");
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_ends_in_time_and_who_left_is_passed_over() {
        let (room, mut places) = full();
        assert!(room.wait(LONG).await.is_none());
        let mut gone = Box::pin(room.wait(LONG));
        assert!((&mut gone).now_or_never().is_none());
        let mut there = Box::pin(room.wait(LONG));
        assert!((&mut there).now_or_never().is_none());
        drop(gone);
        places.pop();
        assert!(matches!(there.await, Some(Grant::Place(_))));
        assert_eq!(room.metrics.waiting.read(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn too_many_do_not_wait_at_all_and_a_place_given_to_one_who_leaves_is_not_lost() {
        let (room, mut places) = full();
        let mut all: Vec<_> = (0..MOST_WAITING).map(|_| Box::pin(room.wait(LONG))).collect();
        assert!(all.iter_mut().all(|waiting| waiting.now_or_never().is_none()));
        assert!(matches!(room.wait(LONG).now_or_never(), Some(None)));
        places.pop();
        drop(all);
        assert!(room.place().is_some());
        places.clear();
        assert_eq!(room.metrics.connections.read(), 0);
    }
}
