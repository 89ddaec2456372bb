//! 401s by address: who keeps guessing is answered without any work.
//!
//! Only requests that were not verified come here, so its lock is none that a known key takes.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};

use crate::domain::Limit;
use crate::limit::window::{Counters, Exceeded, Rule};

/// Addresses remembered at most; past it the idle ones are forgotten, and then all.
const CAPACITY: usize = 100_000;

/// Counts failed authentications by client address; IPv6 addresses by their /64, of which one
/// client has as many addresses as it likes.
#[derive(Default)]
pub struct Failures {
    by_address: Mutex<HashMap<IpAddr, Counters>>,
}

impl Failures {
    /// Whether the address may try again.
    pub fn check(&self, address: IpAddr, limit: Limit, now_ms: u64) -> Result<(), Exceeded> {
        let mut by_address = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        match by_address.get_mut(&network(address)) {
            Some(counters) => counters.check(rule(limit), now_ms),
            None => Ok(()),
        }
    }

    /// Counts one failure.
    pub fn count(&self, address: IpAddr, limit: Limit, now_ms: u64) {
        let mut by_address = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if by_address.len() >= CAPACITY {
            by_address.retain(|_, counters| !counters.is_idle(now_ms));
        }
        if by_address.len() >= CAPACITY {
            by_address.clear();
        }
        // What is past the limit need not be counted: the address is refused already.
        let _ = by_address.entry(network(address)).or_default().admit(rule(limit), now_ms);
    }
}

fn rule(limit: Limit) -> std::iter::Once<Rule> {
    std::iter::once(Rule { subject: 0, limit })
}

fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn past_the_limit_an_address_is_refused_and_another_is_not() {
        let failures = Failures::default();
        let limit: Limit = "3/min".parse().unwrap();
        let guesser: IpAddr = "203.0.113.7".parse().unwrap();
        for _ in 0..3 {
            assert!(failures.check(guesser, limit, 0).is_ok());
            failures.count(guesser, limit, 0);
        }
        assert!(failures.check(guesser, limit, 0).is_err());
        assert!(failures.check("::ffff:203.0.113.7".parse().unwrap(), limit, 0).is_err());
        assert!(failures.check("203.0.113.8".parse().unwrap(), limit, 0).is_ok());
        assert!(failures.check(guesser, limit, 64_000).is_ok());
    }

    #[test]
    fn the_addresses_of_one_ipv6_network_count_together() {
        let failures = Failures::default();
        let limit: Limit = "1/min".parse().unwrap();
        failures.count("2001:db8::1".parse().unwrap(), limit, 0);
        assert!(failures.check("2001:db8::2".parse().unwrap(), limit, 0).is_err());
        assert!(failures.check("2001:db8:0:1::1".parse().unwrap(), limit, 0).is_ok());
    }
}
