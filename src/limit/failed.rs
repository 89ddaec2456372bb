//! 401s by client address: who keeps guessing is answered without any work.
//!
//! Only what is not verified comes here, so no known key ever waits for it. An address that has
//! never failed costs one look-up without a lock; only those that fail lock, each its own window.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use papaya::HashMap;

use super::window::SlidingWindow;
use crate::domain::Limit;

/// Addresses remembered at most. One that fails thirty times a minute, evenly, takes some 370 bytes,
/// and none takes more than 630: a flood from everywhere holds 25 MiB, at the very most 40.
const CAPACITY: usize = 65_536;

/// Failed authentications by client address. IPv6 addresses count by their /64, of which one client
/// has as many as it likes; an IPv4-mapped address is its IPv4 form.
///
/// When it is full, the address that failed first is forgotten for each new one. Such an address
/// may fail as often again, which is no use against 190 random bits.
pub struct FailedAuth {
    by_network: HashMap<IpAddr, Mutex<SlidingWindow>>,
    /// The order they came in; touched by an address's first failure alone.
    order: Mutex<VecDeque<IpAddr>>,
    capacity: usize,
}

impl Default for FailedAuth {
    fn default() -> Self {
        Self::with_capacity(CAPACITY)
    }
}

impl FailedAuth {
    fn with_capacity(capacity: usize) -> Self {
        Self { by_network: HashMap::new(), order: Mutex::default(), capacity }
    }

    /// Counts a 401 that was given to a credential from this address.
    ///
    /// Where the limit's length has changed since, counting begins anew.
    pub fn record(&self, address: IpAddr, limit: Limit, now_ms: u64) {
        let network = network(address);
        let by_network = self.by_network.pin();
        let inserted = by_network.try_insert_with(network, || {
            let mut window = SlidingWindow::new(limit.window);
            window.take(now_ms);
            Mutex::new(window)
        });
        if let Err(known) = inserted {
            let mut window = lock(known);
            if window.window() != limit.window {
                *window = SlidingWindow::new(limit.window);
            }
            window.take(now_ms);
            return;
        }
        let mut order = lock(&self.order);
        order.push_back(network);
        if order.len() > self.capacity
            && let Some(oldest) = order.pop_front()
        {
            by_network.remove(&oldest);
        }
    }

    /// How many seconds the address has to wait before anything unverified of it is looked at, at
    /// least 1; `None`: it need not wait. `limit` failures pass in any window, the next is blocked.
    pub fn blocked(&self, address: IpAddr, limit: Limit, now_ms: u64) -> Option<u64> {
        let by_network = self.by_network.pin();
        let mut window = lock(by_network.get(&network(address))?);
        if window.window() != limit.window {
            return None;
        }
        let standing = window.state(limit.max, now_ms);
        (standing.remaining == 0).then(|| standing.retry_after_seconds())
    }
}

/// What counts as one client: an IPv4 address, or a /64 of IPv6.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn limit(text: &str) -> Limit {
        text.parse().unwrap()
    }

    #[test]
    fn past_the_limit_an_address_waits_and_another_does_not() {
        let failed = FailedAuth::default();
        let limit = limit("3/min");
        let guesser = address("203.0.113.7");
        for _ in 0..3 {
            assert_eq!(failed.blocked(guesser, limit, 1_000), None);
            failed.record(guesser, limit, 1_000);
        }
        assert_eq!(failed.blocked(guesser, limit, 1_000), Some(60));
        assert_eq!(failed.blocked(guesser, limit, 60_500), Some(1));
        assert_eq!(failed.blocked(address("203.0.113.8"), limit, 1_000), None);
        assert_eq!(failed.blocked(guesser, limit, 62_000), None);
    }

    #[test]
    fn one_client_is_one_address_however_it_is_spelt() {
        let failed = FailedAuth::default();
        let limit = limit("1/min");
        failed.record(address("203.0.113.7"), limit, 0);
        assert!(failed.blocked(address("::ffff:203.0.113.7"), limit, 0).is_some());
        failed.record(address("2001:db8::1"), limit, 0);
        assert!(failed.blocked(address("2001:db8::2"), limit, 0).is_some());
        assert!(failed.blocked(address("2001:db8:0:1::1"), limit, 0).is_none());
    }

    #[test]
    fn a_changed_limit_judges_what_was_counted_and_a_changed_length_begins_anew() {
        let failed = FailedAuth::default();
        let guesser = address("203.0.113.7");
        (0..3).for_each(|_| failed.record(guesser, limit("3/min"), 0));
        assert!(failed.blocked(guesser, limit("2/min"), 0).is_some());
        assert!(failed.blocked(guesser, limit("4/min"), 0).is_none());
        assert!(failed.blocked(guesser, limit("1/hour"), 0).is_none());
        failed.record(guesser, limit("1/hour"), 0);
        assert!(failed.blocked(guesser, limit("1/hour"), 0).is_some());
    }

    #[test]
    fn when_it_is_full_the_oldest_goes() {
        let failed = FailedAuth::with_capacity(3);
        let limit = limit("1/min");
        let numbered = |n: u8| IpAddr::from([10, 0, 0, n]);
        (1..=5).for_each(|n| failed.record(numbered(n), limit, 0));
        let blocked: Vec<u8> =
            (1..=5).filter(|n| failed.blocked(numbered(*n), limit, 0).is_some()).collect();
        assert_eq!(blocked, [3, 4, 5]);
        assert_eq!(failed.by_network.len(), 3);
    }

    #[test]
    fn many_threads_lose_no_failure_and_keep_the_bound() {
        let failed = FailedAuth::with_capacity(64);
        let limit = limit("4000/min");
        thread::scope(|scope| {
            for worker in 0..4u8 {
                let failed = &failed;
                scope.spawn(move || {
                    for turn in 0..1_000u32 {
                        failed.record(IpAddr::from([10, worker, 0, turn as u8]), limit, 0);
                    }
                });
            }
        });
        assert_eq!(failed.by_network.len(), 64);
        let one = FailedAuth::default();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    (0..1_000).for_each(|_| one.record(address("192.0.2.1"), limit, 0));
                });
            }
        });
        assert!(one.blocked(address("192.0.2.1"), limit, 0).is_some());
        assert!(one.blocked(address("192.0.2.1"), "4001/min".parse().unwrap(), 0).is_none());
    }
}
