//! The last refusals of this instance, kept so that each can be explained by its request id.
//!
//! Each worker keeps its own in a ring behind a lock that nobody else takes but who asks for them, so
//! that no two workers meet, and a request that passes meets nothing at all. What is kept is what is
//! there anyway, by reference count, and a copy of what the client chose: masked, and cut to a bounded
//! length. It is put in words when somebody asks ([`super::explain::refused`]).

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{Method, Uri};

use super::explain::Ground;
use super::explain::refused::explained;
use crate::auth::table::Rights;
use crate::domain::{Refusal, RefusedRequest};
use crate::key::SecretFormat;
use crate::limit::Standing;
use crate::telemetry::access::masked;

/// Bytes that are kept of a target at most.
const TARGET_BYTES: usize = 512;
/// Bytes that are kept of a method; the longest in use have fewer.
const METHOD_BYTES: usize = 15;

/// What is kept of a refused request.
#[derive(Clone)]
pub struct Noted {
    /// As the client was told it; masked.
    pub request_id: Box<str>,
    /// When it came, in milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// From where.
    pub client: IpAddr,
    /// `None`: its head was not read.
    pub method: Option<Method>,
    /// Path and query, masked; `None`: its head was not read.
    pub target: Option<Box<str>>,
    /// The configuration that it was refused under.
    pub ground: Arc<Ground>,
    /// Its route's place in the configuration.
    pub route: Option<usize>,
    /// Whose secret it came with, and what the key might do then.
    pub rights: Option<Rights>,
    /// Whether it had its place in the usage journal.
    pub journaled: bool,
    /// Whether it was let in, and what followed refused it.
    pub admitted: bool,
    /// How the limit nearest to its end stood when it was counted.
    pub standing: Option<Standing>,
    /// What was held of a spent budget, in millionths.
    pub held: Option<i64>,
    /// Why, with its numbers.
    pub refusal: Refusal,
}

impl Noted {
    /// Whether it was refused as a proxy's method, before any route was looked for.
    pub(super) fn is_proxys(&self) -> bool {
        matches!(self.method, Some(Method::CONNECT | Method::TRACE))
    }
}

/// A method as it is kept: masked, where it is long enough for a secret.
pub fn kept_method(method: &Method, format: &SecretFormat) -> Method {
    let text = method.as_str();
    if text.len() <= METHOD_BYTES {
        return method.clone();
    }
    let masked = masked(text, format);
    Method::from_bytes(&masked.as_bytes()[..METHOD_BYTES.min(masked.len())]).unwrap_or_default()
}

/// A target as it is kept: masked as a whole, so that no part of a secret is left where it is cut.
pub fn kept_target(target: &Uri, format: &SecretFormat) -> Box<str> {
    let path = masked(target.path(), format);
    let cut = |text: &str| text[..text.floor_char_boundary(TARGET_BYTES)].into();
    match target.query() {
        None => cut(&path),
        Some(query) => cut(&format!("{path}?{}", masked(query, format))),
    }
}

/// The last refusals, of each worker.
pub struct Refusals {
    rings: Box<[Mutex<Ring>]>,
}

/// Oldest first.
type Ring = VecDeque<Arc<Noted>>;

impl Refusals {
    /// None yet, of so many workers.
    pub fn of(workers: usize) -> Self {
        Self { rings: (0..workers).map(|_| Mutex::default()).collect() }
    }

    /// Keeps one more of a worker, and so many of it in all, at least one.
    pub fn note(&self, worker: usize, noted: Noted, most: usize) {
        let noted = Arc::new(noted);
        let mut ring = lock(&self.rings[worker]);
        if ring.capacity() == 0 {
            ring.reserve_exact(most);
        }
        let mut oldest = None;
        while ring.len() >= most.max(1) {
            oldest = ring.pop_front();
        }
        ring.push_back(noted);
        drop(ring);
        // Whatever else it held on to is let go of outside the lock.
        drop(oldest);
    }

    /// Keeps no more than so many from here on.
    pub fn keep(&self, most: usize) {
        for ring in &self.rings {
            let mut ring = lock(ring);
            let excess = ring.len().saturating_sub(most);
            ring.drain(..excess);
            ring.shrink_to(most);
        }
    }

    /// Of the last `kept` ones of all workers, those that are wanted, newest first, so many at most.
    pub fn last(
        &self,
        kept: usize,
        most: usize,
        wanted: impl Fn(&Noted) -> bool,
    ) -> Vec<RefusedRequest> {
        let mut all: Vec<Arc<Noted>> = Vec::new();
        for ring in &self.rings {
            all.extend(lock(ring).iter().rev().cloned());
        }
        all.sort_by_key(|noted| std::cmp::Reverse(noted.at_ms));
        all.truncate(kept);
        let wanted = all.iter().filter(|noted| wanted(noted));
        wanted.take(most).map(|noted| explained(noted)).collect()
    }
}

/// Nothing under this lock can be left half done.
fn lock(ring: &Mutex<Ring>) -> MutexGuard<'_, Ring> {
    ring.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use http::Uri;

    use super::*;
    use crate::config::{Environment, parse};
    use crate::domain::{self, Reason};
    use crate::proxy::plan::Plan;

    fn ground() -> Arc<Ground> {
        let loaded = parse("", "keygate.toml".as_ref(), &Environment::default()).unwrap();
        Arc::new(Ground::of(&Plan::new(Arc::new(loaded.config), 1).unwrap()))
    }

    fn noted(at_ms: i64, ground: &Arc<Ground>) -> Noted {
        Noted {
            request_id: at_ms.to_string().into(),
            at_ms,
            client: [192, 0, 2, 1].into(),
            method: Some(Method::GET),
            target: Some("/a".into()),
            ground: Arc::clone(ground),
            route: None,
            rights: None,
            journaled: false,
            admitted: false,
            standing: None,
            held: None,
            refusal: Reason::RouteNotFound.into(),
        }
    }

    fn ids(refused: &[RefusedRequest]) -> Vec<&str> {
        refused.iter().map(|refused| refused.request_id.as_str()).collect()
    }

    #[test]
    fn the_last_of_all_workers_are_kept_and_told_newest_first() {
        let (refusals, ground) = (Refusals::of(2), ground());
        for at_ms in 0..10 {
            refusals.note(usize::from(at_ms % 3 == 0), noted(at_ms, &ground), 4);
        }
        assert_eq!(ids(&refusals.last(4, 9, |_| true)), ["9", "8", "7", "6"]);
        assert_eq!(ids(&refusals.last(4, 2, |noted| noted.at_ms % 2 == 0)), ["8", "6"]);
        assert_eq!(lock(&refusals.rings[0]).len(), 4);
        refusals.keep(1);
        assert_eq!(ids(&refusals.last(4, 9, |_| true)), ["9", "8"]);
        refusals.note(0, noted(10, &ground), 1);
        assert_eq!(ids(&refusals.last(4, 9, |_| true)), ["10", "9"]);
    }

    #[test]
    fn a_ring_takes_no_memory_before_its_first_refusal_and_no_more_than_it_keeps_after() {
        let (refusals, ground) = (Refusals::of(1), ground());
        assert_eq!(lock(&refusals.rings[0]).capacity(), 0);
        for at_ms in 0..1_000 {
            refusals.note(0, noted(at_ms, &ground), 100);
        }
        assert_eq!(lock(&refusals.rings[0]).capacity(), 100);
        assert_eq!(Arc::strong_count(&ground), 101);
        refusals.keep(0);
        assert_eq!(Arc::strong_count(&ground), 1);
    }

    #[test]
    fn what_a_client_chose_is_kept_masked_and_short() {
        let loaded = parse("", "keygate.toml".as_ref(), &Environment::default()).unwrap();
        let format = &loaded.config.keys.format;
        let minted = format.mint(domain::Environment::Live).unwrap().unwrap();
        let (secret, hint) = (minted.text.expose(), &minted.hint);
        let uri: Uri = format!("/a/{secret}?key={secret}").parse().unwrap();
        assert_eq!(*kept_target(&uri, format), *format!("/a/{hint}***?key={hint}***"));
        let filling = "x".repeat(TARGET_BYTES - 20);
        let uri: Uri = format!("/{filling}/{secret}/{filling}").parse().unwrap();
        let kept = kept_target(&uri, format);
        assert!(kept.len() == TARGET_BYTES && !kept.contains(&secret[16..20]), "{kept}");
        for text in [secret, &format!("X{secret}")] {
            let method = Method::from_bytes(text.as_bytes()).unwrap();
            let kept = kept_method(&method, format);
            assert!(!kept.as_str().contains(&secret[16..20]), "{kept}");
        }
        assert_eq!(kept_method(&Method::PATCH, format), Method::PATCH);
    }
}
