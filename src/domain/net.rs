//! Addresses and the ranges that an allowlist names.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Serialize, Serializer};
use thiserror::Error;

/// A range of addresses: CIDR (`10.0.0.0/8`, `2001:db8::/32`) or a single address.
///
/// An IPv4-mapped IPv6 address is its IPv4 form, on both sides of every comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressRange(IpNet);

/// Why a text is not a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("an address is an IP address or a CIDR range, like 203.0.113.7 or 10.0.0.0/8")]
pub struct AddressRangeError;

impl AddressRange {
    /// Whether every address of the range lies in the other one.
    pub fn is_within(&self, other: &Self) -> bool {
        other.0.contains(&self.0)
    }

    /// Whether the address lies in the range.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl FromStr for AddressRange {
    type Err = AddressRangeError;

    fn from_str(text: &str) -> Result<Self, AddressRangeError> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self(address.to_canonical().into()));
        }
        let net: IpNet = text.parse().map_err(|_| AddressRangeError)?;
        let canonical = match net.addr().to_canonical() {
            IpAddr::V4(v4) if net.addr().is_ipv6() => {
                let length = net.prefix_len().checked_sub(96).ok_or(AddressRangeError)?;
                IpNet::new(v4.into(), length).map_err(|_| AddressRangeError)?
            }
            _ => net,
        };
        Ok(Self(canonical.trunc()))
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.prefix_len() == self.0.max_prefix_len() {
            return self.0.addr().fmt(f);
        }
        self.0.fmt(f)
    }
}

impl Serialize for AddressRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapped_address_is_its_ipv4_form_on_both_sides() {
        let range: AddressRange = "10.0.0.0/8".parse().unwrap();
        assert!(range.contains("10.1.2.3".parse().unwrap()));
        assert!(range.contains("::ffff:10.1.2.3".parse().unwrap()));
        assert!(!range.contains("11.0.0.1".parse().unwrap()));
        let mapped: AddressRange = "::ffff:10.0.0.0/104".parse().unwrap();
        assert!(mapped.contains("10.1.2.3".parse().unwrap()));
        assert_eq!(mapped.to_string(), "10.0.0.0/8");
    }

    #[test]
    fn a_single_address_is_a_range_of_one() {
        let one: AddressRange = "203.0.113.7".parse().unwrap();
        assert!(one.contains("203.0.113.7".parse().unwrap()));
        assert!(!one.contains("203.0.113.8".parse().unwrap()));
        assert_eq!(one.to_string(), "203.0.113.7");
    }

    #[test]
    fn a_range_lies_within_those_that_have_all_its_addresses() {
        let within = |one: &str, other: &str| {
            let range = |text: &str| text.parse::<AddressRange>().unwrap();
            range(one).is_within(&range(other))
        };
        assert!(within("10.1.0.0/16", "10.0.0.0/8") && within("10.0.0.0/8", "10.0.0.0/8"));
        assert!(within("::ffff:10.1.2.3", "10.0.0.0/8") && within("2001:db8::1", "2001:db8::/32"));
        assert!(!within("10.0.0.0/7", "10.0.0.0/8") && !within("11.0.0.1", "10.0.0.0/8"));
        assert!(!within("::/0", "0.0.0.0/0") && !within("10.0.0.1", "::/0"));
    }

    #[test]
    fn a_mapped_range_wider_than_ipv4_is_refused() {
        assert!("::ffff:0.0.0.0/90".parse::<AddressRange>().is_err());
        assert!("10.0.0.0/33".parse::<AddressRange>().is_err());
        assert!("example.com".parse::<AddressRange>().is_err());
    }
}
