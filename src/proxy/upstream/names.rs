//! A target's addresses: of a name, asked for again every ten seconds while it is in use.
//!
//! The system's resolver is asked (so `/etc/hosts` and `nsswitch.conf` hold), on a thread of its
//! own; it says nothing of how long its answer lasts, so the answer is held for a short fixed time.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::Target;

/// How long an answer is believed.
const BELIEVED: Duration = Duration::from_secs(10);

/// Where a target is.
pub(super) struct Names {
    host: String,
    port: u16,
    known: RefCell<Known>,
    asking: Cell<bool>,
}

struct Known {
    addresses: Rc<[SocketAddr]>,
    /// `None`: they are the target's for ever, because it was written as an address.
    asked: Option<Instant>,
}

impl Names {
    /// Where that target is; nothing is asked yet.
    pub(super) fn new(target: &Target) -> Self {
        let literal: Option<IpAddr> = target.host.parse().ok();
        let addresses = literal.map(|address| SocketAddr::new(address, target.port));
        let asked = literal.is_none().then(Instant::now);
        Self {
            host: target.host.clone(),
            port: target.port,
            known: RefCell::new(Known { addresses: addresses.into_iter().collect(), asked }),
            asking: Cell::new(false),
        }
    }

    /// Where to connect to, in the resolver's order; never empty. Asks where nothing is known or
    /// what is known is old. Fails where the name has no address and never had.
    pub(super) async fn addresses(&self) -> io::Result<Rc<[SocketAddr]>> {
        let known = Rc::clone(&self.known.borrow().addresses);
        // While somebody asks, what was known will do for the others.
        if !known.is_empty() && (!self.is_old() || self.asking.get()) {
            return Ok(known);
        }
        self.ask().await
    }

    /// Whether what is known should be asked for again.
    pub(super) fn is_old(&self) -> bool {
        let known = self.known.borrow();
        known.asked.is_some_and(|asked| known.addresses.is_empty() || asked.elapsed() >= BELIEVED)
    }

    /// Whether somebody is asking.
    pub(super) fn is_asked(&self) -> bool {
        self.asking.get()
    }

    /// Asks now. A resolver that is away does not take away what it said before.
    pub(super) async fn ask(&self) -> io::Result<Rc<[SocketAddr]>> {
        let _asking = Asking::new(&self.asking);
        let asked = resolve(&self.host, self.port).await;
        let mut known = self.known.borrow_mut();
        known.asked = Some(Instant::now());
        match asked {
            Ok(addresses) => known.addresses = addresses.into(),
            Err(error) if known.addresses.is_empty() => return Err(error),
            Err(error) => {
                let host = self.host.as_str();
                tracing::warn!(host, %error, "the name cannot be resolved; its last addresses stay");
            }
        }
        Ok(Rc::clone(&known.addresses))
    }

    /// Whether a connection to this address is still one to the target.
    pub(super) fn has(&self, address: SocketAddr) -> bool {
        let known = self.known.borrow();
        known.asked.is_none() || known.addresses.contains(&address)
    }
}

/// The addresses of a host, at least one.
pub(in crate::proxy) async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host.parse() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in tokio::net::lookup_host((host, port)).await? {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the host's name has no address"));
    }
    Ok(addresses)
}

struct Asking<'a>(&'a Cell<bool>);

impl<'a> Asking<'a> {
    fn new(asking: &'a Cell<bool>) -> Self {
        asking.set(true);
        Self(asking)
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(host: &str) -> Names {
        Names::new(&Target { host: host.to_owned(), port: 80, ..Target::default() })
    }

    #[tokio::test]
    async fn an_address_is_never_asked_for() {
        let names = names("::1");
        assert!(!names.is_old());
        assert_eq!(*names.addresses().await.unwrap(), ["[::1]:80".parse().unwrap()]);
        assert!(names.has("[::2]:80".parse().unwrap()), "whatever it is, it was connected to");
    }

    #[tokio::test]
    async fn a_name_is_asked_for_at_first_and_when_its_answer_is_old() {
        let names = names("localhost");
        assert!(names.is_old());
        assert!(names.addresses().await.unwrap().iter().all(|a| a.ip().is_loopback()));
        assert!(!names.is_old());
        // As if the name had moved meanwhile.
        let elsewhere: SocketAddr = "192.0.2.1:80".parse().unwrap();
        names.known.borrow_mut().addresses = [elsewhere].into();
        assert!(names.has(elsewhere));
        tokio::time::pause();
        tokio::time::advance(BELIEVED / 2).await;
        assert_eq!(*names.addresses().await.unwrap(), [elsewhere]);
        tokio::time::advance(BELIEVED / 2).await;
        assert!(names.is_old());
        tokio::time::resume();
        assert!(names.addresses().await.unwrap().iter().all(|a| a.ip().is_loopback()));
        assert!(!names.has(elsewhere));
    }

    #[tokio::test]
    async fn a_resolver_that_fails_does_not_take_away_what_it_said() {
        let names = names("no-such-name.invalid");
        assert!(names.addresses().await.is_err());
        let known: SocketAddr = "192.0.2.1:80".parse().unwrap();
        names.known.borrow_mut().addresses = [known].into();
        assert_eq!(*names.ask().await.unwrap(), [known]);
    }
}
