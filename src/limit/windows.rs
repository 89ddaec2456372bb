//! The windows of one key, of the key as a whole and of the key on routes.
//!
//! No lock and no rule of its own: what they are asked and when they count is for their holder to
//! say.

use std::cmp::Reverse;
use std::fmt;
use std::num::NonZeroU32;

use super::window::{SlidingWindow, Standing};
use crate::domain::{Limit, Window};

/// Stands for a route in the counters; the same after a reload that leaves the route as it is, and
/// in every instance of whatever version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteId(u64);

impl RouteId {
    /// The id of the route that these texts tell from all others: its path and its methods.
    pub fn of<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut hasher = blake3::Hasher::new();
        for text in texts {
            hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
        }
        let hash = hasher.finalize();
        let first = hash.as_bytes().first_chunk().expect("a hash has 32 bytes");
        Self(u64::from_le_bytes(*first))
    }
}

/// Sixteen hexadecimal digits.
impl fmt::Display for RouteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A window is there from its first pass on, whichever limit is asked for it.
#[derive(Debug, Default)]
pub(super) struct Windows {
    /// Of the key as a whole, one a length.
    own: Vec<SlidingWindow>,
    /// Of the key on a route, sorted by route.
    of_routes: Vec<(RouteId, SlidingWindow)>,
}

impl Windows {
    /// How a limit stands.
    pub(super) fn state(&mut self, route: Option<RouteId>, limit: Limit, now_ms: u64) -> Standing {
        match self.find(route, limit) {
            Some(window) => window.state(limit.max, now_ms),
            None => Standing::whole(limit),
        }
    }

    /// Whether there is a window of the key on a route.
    pub(super) fn has_counted(&self, route: RouteId) -> bool {
        self.of_routes.binary_search_by_key(&route, |(id, _)| *id).is_ok()
    }

    /// Windows of routes that are held.
    #[cfg(test)]
    pub(super) fn routes(&self) -> usize {
        self.of_routes.len()
    }

    /// Counts a pass in all of them.
    pub(super) fn count(&mut self, own: &[Limit], route: Option<(RouteId, &[Limit])>, now_ms: u64) {
        for (place, limit) in own.iter().enumerate() {
            self.take(None, *limit, &own[..place], now_ms);
        }
        let Some((id, of_route)) = route else { return };
        for (place, limit) in of_route.iter().enumerate() {
            self.take(Some(id), *limit, &of_route[..place], now_ms);
        }
    }

    /// Counts a pass, unless a limit of the same length among those `before` has counted it.
    fn take(&mut self, route: Option<RouteId>, limit: Limit, before: &[Limit], now_ms: u64) {
        if before.iter().any(|other| other.window == limit.window) {
            return;
        }
        match self.find(route, limit) {
            Some(window) => window.take(now_ms),
            None => self.add(route, limit, now_ms).take(now_ms),
        }
    }

    /// The window that a limit is counted in, once anything was.
    pub(super) fn find(
        &mut self,
        route: Option<RouteId>,
        limit: Limit,
    ) -> Option<&mut SlidingWindow> {
        let Some(route) = route else {
            return self.own.iter_mut().find(|window| window.window() == limit.window);
        };
        let first = self.of_routes.partition_point(|(id, _)| *id < route);
        self.of_routes[first..]
            .iter_mut()
            .take_while(|(id, _)| *id == route)
            .map(|(_, window)| window)
            .find(|window| window.window() == limit.window)
    }

    /// Makes room for one more window, and drops those of routes that were not used for as long as
    /// they count: after reloads, some of them may be no route's any more.
    fn add(&mut self, route: Option<RouteId>, limit: Limit, now_ms: u64) -> &mut SlidingWindow {
        let window = SlidingWindow::new(limit.window);
        let Some(route) = route else {
            // A key has one or two of them, and a list that grows by itself begins with room for four.
            self.own.reserve_exact(1);
            return self.own.push_mut(window);
        };
        self.of_routes.retain_mut(|(_, window)| !window.is_empty(now_ms));
        let place = self.of_routes.partition_point(|(id, _)| *id <= route);
        if self.of_routes.len() < 4 {
            self.of_routes.reserve_exact(1);
        }
        self.of_routes.insert(place, (route, window));
        &mut self.of_routes[place].1
    }
}

/// Each limit with what it is counted for: the key's own first, then the route's.
pub(super) fn subjects<'a>(
    own: &'a [Limit],
    route: Option<(RouteId, &'a [Limit])>,
) -> impl Iterator<Item = (Option<RouteId>, Limit)> {
    let (id, of_route) = route.map_or((None, &[][..]), |(id, limits)| (Some(id), limits));
    let own = own.iter().map(|limit| (None, *limit));
    own.chain(of_route.iter().map(move |limit| (id, *limit)))
}

/// Orders limits by how near to their end they are once a request has been counted in all of them:
/// each has one left less then, and is whole again after its own length.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Nearness {
    remaining: u32,
    window: Reverse<Window>,
    max: NonZeroU32,
}

impl Nearness {
    /// Of a limit that stands so.
    pub(super) fn of(standing: &Standing) -> Self {
        let Limit { max, window } = standing.limit;
        Self { remaining: standing.remaining, window: Reverse(window), max }
    }

    /// Whose it is.
    pub(super) fn limit(self) -> Limit {
        Limit { max: self.max, window: self.window.0 }
    }
}
