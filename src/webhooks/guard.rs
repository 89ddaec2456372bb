//! Which addresses events may go to: those of the public internet, unless all are allowed.
//!
//! A name is resolved once, every address that comes of it is judged, and connections are made to
//! exactly these: so no second answer of a resolver, no odd spelling of an address and no redirect
//! leads anywhere else.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::domain::WebhookUrl;

/// Addresses that one name has at most; more are not looked at.
const MOST: usize = 16;

/// Resolves names and makes connections.
#[async_trait]
pub trait Network: Send + Sync + 'static {
    /// The addresses of a host, with that port.
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>>;
    /// A connection to exactly that address.
    async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream>;
}

/// The system's.
pub struct SystemNetwork;

#[async_trait]
impl Network for SystemNetwork {
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((host, port)).await?.collect())
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        TcpStream::connect(address).await
    }
}

/// Resolves and judges.
#[derive(Clone)]
pub struct Guard {
    network: Arc<dyn Network>,
    /// Whether every address will do.
    pub allow_private_networks: bool,
}

/// Why there is no address to connect to.
#[derive(Debug, Error)]
pub enum GuardError {
    /// The name has no address, or the resolver did not answer.
    #[error("the host's name cannot be resolved: {0}")]
    Unresolved(io::Error),
    /// One of its addresses, which may be one of several, is not to be connected to.
    #[error("the host has an address that is not on the public internet, which is not allowed")]
    Forbidden,
    /// None of its addresses took a connection.
    #[error("no connection: {0}")]
    Unreachable(io::Error),
}

impl Guard {
    /// A guard over the system's network.
    pub fn new(allow_private_networks: bool) -> Self {
        Self::over(Arc::new(SystemNetwork), allow_private_networks)
    }

    /// A guard over another network.
    pub fn over(network: Arc<dyn Network>, allow_private_networks: bool) -> Self {
        Self { network, allow_private_networks }
    }

    /// A connection to one of the host's addresses: the first that takes it, each within its share
    /// of the time.
    pub async fn connect(
        &self,
        url: &WebhookUrl,
        within: Duration,
    ) -> Result<TcpStream, GuardError> {
        let addresses = self.addresses(url).await?;
        let share = within / addresses.len() as u32;
        let mut failure = io::Error::from(io::ErrorKind::NotFound);
        for address in addresses {
            match timeout(share, self.network.connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => failure = error,
                Err(late) => failure = late.into(),
            }
        }
        Err(GuardError::Unreachable(failure))
    }

    /// Whether what stands for the host may be, as far as it says so itself: an address that is not
    /// allowed may not, nor an address in a spelling of old, nor a name of this machine's (RFC 6761
    /// section 6.3).
    pub fn check_host(&self, url: &WebhookUrl) -> Result<(), GuardError> {
        let host = url.host().trim_end_matches('.');
        let last = host.rsplit('.').next().unwrap_or_default();
        let of_this_machine = host
            .parse::<IpAddr>()
            .map_or_else(|_| last == "localhost" || is_number(last), |address| !is_public(address));
        if of_this_machine && !self.allow_private_networks {
            return Err(GuardError::Forbidden);
        }
        Ok(())
    }

    /// The addresses to connect to, at least one: all that the host has, or none where one of them
    /// is not allowed.
    pub async fn addresses(&self, url: &WebhookUrl) -> Result<Vec<SocketAddr>, GuardError> {
        let mut addresses = if let Ok(address) = url.host().parse::<IpAddr>() {
            vec![SocketAddr::new(address, url.port())]
        } else {
            let asked = self.network.resolve(url.host(), url.port()).await;
            asked.map_err(GuardError::Unresolved)?
        };
        if addresses.is_empty() {
            let none = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
            return Err(GuardError::Unresolved(none));
        }
        if !self.allow_private_networks && !addresses.iter().all(|at| is_public(at.ip())) {
            return Err(GuardError::Forbidden);
        }
        addresses.truncate(MOST);
        Ok(addresses)
    }
}

/// Whether a name's last label has resolvers take the whole for an IPv4 address (WHATWG URL, "ends in a
/// number").
fn is_number(label: &str) -> bool {
    let hexadecimal =
        label.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_hexdigit()));
    hexadecimal || (!label.is_empty() && label.bytes().all(|b| b.is_ascii_digit()))
}

/// Whether an address is one of a host on the public internet: none of the special ranges in the
/// registries of IANA (RFC 6890 and what came after), and none in which such a one is wrapped.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = matches!(
        (a, b, c),
        // This network, loopback; multicast, what is kept for later, broadcast; private.
        (0 | 10 | 127 | 224.., _, _)
            | (172, 16..=31, _)
            // Private; carriers' own (RFC 6598); link-local, and with it clouds' metadata; benchmarks.
            | (192, 168, _)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (198, 18 | 19, _)
            // IETF's own, documentation, the relays of 6to4, AS112.
            | (192, 0, 0 | 2)
            | (198, 51, 100)
            | (203, 0, 113)
            | (192, 88, 99)
            | (192, 31, 196)
            | (192, 52, 193)
            | (192, 175, 48)
    );
    // In the public range, and yet the host's own services in a large cloud.
    let of_a_cloud = address == Ipv4Addr::new(168, 63, 129, 16);
    !special && !of_a_cloud
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    match (a, b) {
        // Global unicast is 2000::/3; of the rest nothing is routed. Of it, not: Teredo, ORCHID,
        // benchmarks and all else of 2001::/23, documentation, 6to4, which wraps any IPv4 address.
        (0x2001, 0..=0x01ff | 0x0db8) | (0x2002, _) | (0x3fff, 0..=0x0fff) => false,
        _ => a & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn judged(text: &str) -> bool {
        is_public(text.parse().unwrap())
    }

    #[test]
    fn addresses_of_the_public_internet_pass() {
        for public in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.0.0.1",
            "128.0.0.1",
            "169.253.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "192.167.0.1",
            "198.17.0.1",
            "198.20.0.1",
            "203.0.112.1",
            "223.255.255.255",
            "168.63.129.17",
            "2606:4700::1111",
            "2a00:1450::1",
            "2001:200::1",
            "2003::1",
            "2620:fe::fe",
        ] {
            assert!(judged(public), "{public}");
        }
    }

    #[test]
    fn every_special_range_is_refused_at_both_its_ends() {
        for special in [
            "0.0.0.0",
            "0.255.255.255",
            "10.0.0.0",
            "10.255.255.255",
            "100.64.0.0",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.255",
            "169.254.0.0",
            "169.254.169.254",
            "169.254.255.255",
            "172.16.0.0",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.0",
            "192.168.255.255",
            "198.18.0.0",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "168.63.129.16",
            "100.100.100.200",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::127.0.0.1",
            "::ffff:0:127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::808:808",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:2::1",
            "2001:10::1",
            "2001:20::1",
            "2001:1ff::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
            "fc00::1",
            "fd00:ec2::254",
            "fdff::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
            "5f00::1",
            "4000::1",
        ] {
            assert!(!judged(special), "{special}");
        }
    }

    struct Answers(AtomicUsize, Vec<Vec<&'static str>>);

    #[async_trait]
    impl Network for Answers {
        async fn resolve(&self, _: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
            let turn = self.0.fetch_add(1, Ordering::Relaxed).min(self.1.len() - 1);
            let address = |text: &&str| SocketAddr::new(text.parse().unwrap(), port);
            Ok(self.1[turn].iter().map(address).collect())
        }

        async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
            panic!("{address} is connected to")
        }
    }

    async fn judge(guard: &Guard, url: &str) -> Result<Vec<SocketAddr>, GuardError> {
        guard.addresses(&WebhookUrl::parse(url, true).unwrap()).await
    }

    #[tokio::test]
    async fn one_address_that_is_not_public_spoils_a_name() {
        let guard = |answers| Guard::over(Arc::new(Answers(AtomicUsize::new(0), answers)), false);
        let good = guard(vec![vec!["1.1.1.1", "2606:4700::1111"]]);
        let addresses = judge(&good, "https://a:8443").await.unwrap();
        let expected = ["1.1.1.1:8443", "[2606:4700::1111]:8443"].map(|text| text.parse().unwrap());
        assert_eq!(addresses, expected);
        let bad = guard(vec![vec!["1.1.1.1", "127.0.0.1"]]);
        assert!(matches!(judge(&bad, "https://a").await, Err(GuardError::Forbidden)));
        let none = guard(vec![vec![]]);
        assert!(matches!(judge(&none, "https://a").await, Err(GuardError::Unresolved(_))));
        let turning = guard(vec![vec!["1.1.1.1"], vec!["127.0.0.1"]]);
        assert!(judge(&turning, "https://a").await.is_ok());
        assert!(matches!(judge(&turning, "https://a").await, Err(GuardError::Forbidden)));
    }

    #[tokio::test]
    async fn an_odd_spelling_of_an_address_is_what_it_leads_to() {
        let guard = Guard::new(false);
        for url in [
            "http://2130706433/",
            "http://0x7f.1/",
            "http://127.1/",
            "http://0/",
            "http://[::ffff:127.0.0.1]/",
            "http://[::1]/",
            "http://localhost/",
            "http://017700000001/",
        ] {
            assert!(judge(&guard, url).await.is_err(), "{url}");
            let allowed = Guard::new(true);
            // Where the resolver takes it for an address at all, it is the loopback's.
            if let Ok(addresses) = judge(&allowed, url).await {
                assert!(addresses.iter().all(|at| !is_public(at.ip())), "{url}: {addresses:?}");
            }
        }
    }
}
