//! Open connections by client address, so that no one of them takes all the places.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::failed::network;

/// Locks, so that workers that accept at once seldom meet.
const SHARDS: usize = 16;

/// How many connections each address has open. IPv6 addresses count by their /64.
#[derive(Debug, Default)]
pub struct ConnectionCounts {
    shards: [Mutex<HashMap<IpAddr, usize>>; SHARDS],
}

impl ConnectionCounts {
    /// Counts one more, unless there are `most` already.
    pub fn take(&self, address: IpAddr, most: usize) -> bool {
        let network = network(address);
        let mut shard = self.shard(network);
        let open = shard.entry(network).or_default();
        let free = *open < most;
        *open += usize::from(free);
        free
    }

    /// One that was counted has ended.
    pub fn give_back(&self, address: IpAddr) {
        let network = network(address);
        let mut shard = self.shard(network);
        if let Some(open) = shard.get_mut(&network) {
            *open -= 1;
            if *open == 0 {
                shard.remove(&network);
            }
        }
    }

    fn shard(&self, network: IpAddr) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        let bits = match network {
            IpAddr::V4(v4) => v4.to_bits(),
            IpAddr::V6(v6) => (v6.to_bits() >> 64) as u32,
        };
        let shard = bits.wrapping_mul(0x9e37_79b9) >> 28;
        // Nothing under the lock can be left half done.
        self.shards[shard as usize].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_and_no_more_until_one_ends() {
        let counts = ConnectionCounts::default();
        let [one, mapped, other] =
            ["203.0.113.9", "::ffff:203.0.113.9", "203.0.113.10"].map(|a| a.parse().unwrap());
        assert!(counts.take(one, 2) && counts.take(mapped, 2));
        assert!(!counts.take(one, 2));
        assert!(counts.take(other, 2));
        counts.give_back(one);
        assert!(counts.take(mapped, 2));
        assert!(!counts.take(one, 2));
    }

    #[test]
    fn addresses_of_one_network_of_ipv6_are_one_client_and_none_is_remembered() {
        let counts = ConnectionCounts::default();
        let [one, two, far] = ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"]
            .map(|address| address.parse().unwrap());
        assert!(counts.take(one, 1));
        assert!(!counts.take(two, 1));
        assert!(counts.take(far, 1));
        counts.give_back(one);
        counts.give_back(far);
        assert!(counts.shards.iter().all(|shard| shard.lock().unwrap().is_empty()));
    }
}
