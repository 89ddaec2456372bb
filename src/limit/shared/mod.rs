//! Limits that all instances share, with Redis.
//!
//! An instance draws allowance from Redis in batches that shrink as a limit comes near: of what is
//! left, all instances together hold a hundredth unused, and of a small limit no more than they have
//! requests for. A request that finds a batch asks nobody. One that finds none waits for the answer,
//! for five milliseconds at most; then, and while Redis is away, its instance goes by its own share,
//! and tells Redis later. Requests wait for no lock and no connection but that answer.

mod allowance;
mod client;
mod connection;
mod draw;
mod key;
mod request;
mod view;

use std::pin::pin;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout, timeout_at};

pub use client::RedisClient;
pub use connection::RedisSetupError;
pub(crate) use key::SharedKey;

use self::client::{Ask, Message};
use self::connection::Connector;
use self::request::{Asked, How, Subjects, Verdict};
use super::{Exceeded, KeyCounters, RouteId, Standing};
use crate::config::RedisLocation;
use crate::domain::{KeyId, Limit};
use crate::telemetry::metrics::Metrics;

/// How long a request waits for Redis. A timer, which rounds up twice, is up to two milliseconds late,
/// and five are promised.
const WAIT: Duration = Duration::from_millis(3);
/// After so many requests in a row that have waited in vain, Redis is not slow for once but far away.
const FAR: u32 = 16;
/// How long the start waits for the first connection.
const START: Duration = Duration::from_millis(1_500);
/// How long the end waits until what is held is given back.
const END: Duration = Duration::from_millis(500);

/// The limits as all instances share them.
pub struct SharedLimits {
    inner: Arc<Inner>,
    messages: mpsc::UnboundedSender<Message>,
}

/// What requests and the client share.
struct Inner {
    /// A [`Link`], for requests.
    link: AtomicU8,
    /// The same, for those who wait for a change of it.
    changes: watch::Sender<Link>,
    /// How many instances share the limits, this one included; the client's task follows it.
    live: AtomicU32,
    /// Requests that have waited in vain since one that has not.
    late_in_a_row: AtomicU32,
    keys: papaya::HashMap<KeyId, Weak<SharedKey>>,
    /// Milliseconds of the clock that requests bring.
    now_ms: Box<dyn Fn() -> u64 + Send + Sync>,
    metrics: Arc<Metrics>,
}

/// Whether Redis is in reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    /// Nobody knows yet.
    Unknown,
    Up,
    Down,
}

impl SharedLimits {
    /// Limits that so many `instances`, this one included, share by the Redis at that place, and the
    /// task that speaks with it. Until that has reached it, each instance goes by its share.
    /// `now_ms` is the clock by which requests are counted.
    pub fn new(
        location: &RedisLocation,
        instances: watch::Receiver<usize>,
        now_ms: impl Fn() -> u64 + Send + Sync + 'static,
        metrics: Arc<Metrics>,
    ) -> Result<(Self, RedisClient), RedisSetupError> {
        let connector = Connector::new(location)?;
        let inner = Arc::new(Inner {
            link: AtomicU8::new(Link::Unknown as u8),
            changes: watch::Sender::new(Link::Unknown),
            live: AtomicU32::new(1),
            late_in_a_row: AtomicU32::new(0),
            keys: papaya::HashMap::new(),
            now_ms: Box::new(now_ms),
            metrics,
        });
        let (messages, receiver) = mpsc::unbounded_channel();
        let client = RedisClient::new(Arc::clone(&inner), connector, receiver, instances);
        Ok((Self { inner, messages }, client))
    }

    /// Lets a request of a key through all the limits or none, as [`KeyCounters::take`] does for one
    /// instance alone. Waits where Redis is to be asked, and five milliseconds at most.
    pub async fn take(
        &self,
        counters: &KeyCounters,
        key: &KeyId,
        own: &[Limit],
        route: Option<(RouteId, &[Limit])>,
        now_ms: u64,
    ) -> Result<Option<Standing>, Exceeded> {
        let Some(asked) = Asked::of(own, route) else { return Ok(None) };
        let key = counters.shared(|| self.inner.register(key));
        let verdict = self.decide(key, asked, Subjects::default(), self.inner.how(), now_ms);
        match verdict {
            Verdict::Pass(standing) => Ok(standing),
            Verdict::Refuse(exceeded) => Err(exceeded),
            // Boxed, so that a request that need not wait has not its room.
            Verdict::Wait(about) => Box::pin(self.wait(key, asked, about)).await,
        }
    }

    /// How a key's own limits stand, and those of it on a route, as far as this instance knows;
    /// counts nothing.
    pub fn peek(
        &self,
        counters: &KeyCounters,
        key: &KeyId,
        own: &[Limit],
        route: Option<(RouteId, &[Limit])>,
        now_ms: u64,
    ) -> Vec<Standing> {
        let Some(asked) = Asked::of(own, route) else { return Vec::new() };
        let key = counters.shared(|| self.inner.register(key));
        let (how, live) = (self.inner.how(), self.inner.live());
        let subjects = asked.subjects();
        subjects.flat_map(|(of, limits)| key.standings(of, limits, how, live, now_ms)).collect()
    }

    /// Whether limits are shared now.
    pub fn is_up(&self) -> bool {
        self.inner.link() == Link::Up
    }

    /// Waits until it is known whether Redis is in reach, for a moment.
    pub async fn settled(&self) {
        let mut changes = self.inner.changes.subscribe();
        let known = changes.wait_for(|link| *link != Link::Unknown);
        // Then it is found out while requests are served.
        let _ = timeout(START, known).await;
    }

    /// Gives back what is held, before the process ends.
    pub async fn release(&self) {
        let (done, is_done) = oneshot::channel();
        if self.messages.send(Message::Release(done)).is_ok() {
            // What is not given back stays counted for a window.
            let _ = timeout(END, is_done).await;
        }
    }

    async fn wait(
        &self,
        key: &Arc<SharedKey>,
        asked: Asked<'_>,
        about: Subjects,
    ) -> Result<Option<Standing>, Exceeded> {
        let until = Instant::now() + WAIT;
        let mut waiting = Waiting { key, about };
        let verdict = loop {
            let mut answered = pin!(key.answered.notified());
            answered.as_mut().enable();
            // What came before it could be told of.
            let (how, now_ms) = (self.inner.how(), self.inner.now_ms());
            match self.decide(key, asked, waiting.end(), how, now_ms) {
                Verdict::Wait(about) => waiting.about = about,
                verdict => break verdict,
            }
            if timeout_at(until, answered).await.is_err() {
                let (how, now_ms) = (self.inner.how_late(), self.inner.now_ms());
                break self.decide(key, asked, waiting.end(), how, now_ms);
            }
            self.inner.late_in_a_row.store(0, Ordering::Relaxed);
        };
        match verdict {
            Verdict::Pass(standing) => Ok(standing),
            Verdict::Refuse(exceeded) => Err(exceeded),
            Verdict::Wait(_) => unreachable!("only who goes by grants is to wait"),
        }
    }

    fn decide(
        &self,
        key: &Arc<SharedKey>,
        asked: Asked<'_>,
        waited: Subjects,
        how: How,
        now_ms: u64,
    ) -> Verdict {
        let (verdict, asks) = key.decide(asked, waited, how, self.inner.live(), now_ms);
        for subject in asks.each() {
            let ask = Ask { key: Arc::clone(key), subject };
            // Without the task the link is down, and nobody asks.
            let _ = self.messages.send(Message::Ask(ask));
        }
        verdict
    }
}

/// A request that waits, which may also be given up.
struct Waiting<'a> {
    key: &'a SharedKey,
    about: Subjects,
}

impl Waiting<'_> {
    /// It waits for these no longer; whoever gets them says so to the key.
    fn end(&mut self) -> Subjects {
        std::mem::take(&mut self.about)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.about.is_empty() {
            self.key.wait_no_more(self.about);
        }
    }
}

impl Inner {
    fn link(&self) -> Link {
        match self.link.load(Ordering::Acquire) {
            link if link == Link::Up as u8 => Link::Up,
            link if link == Link::Down as u8 => Link::Down,
            _ => Link::Unknown,
        }
    }

    fn set_link(&self, link: Link) {
        self.link.store(link as u8, Ordering::Release);
        self.metrics.redis_up.set((link == Link::Up).into());
        self.changes.send_replace(link);
    }

    fn how(&self) -> How {
        if self.link() == Link::Up { How::Granted } else { How::Alone }
    }

    /// One more has waited in vain.
    fn how_late(&self) -> How {
        self.metrics.redis_late.increment();
        let in_a_row = self.late_in_a_row.fetch_add(1, Ordering::Relaxed);
        match self.link() {
            Link::Up if in_a_row >= FAR => How::FarLate,
            Link::Up => How::Late,
            Link::Unknown | Link::Down => How::Alone,
        }
    }

    fn live(&self) -> u32 {
        self.live.load(Ordering::Relaxed)
    }

    fn now_ms(&self) -> u64 {
        (self.now_ms)()
    }

    /// A key that is counted for the first time.
    fn register(&self, id: &KeyId) -> Arc<SharedKey> {
        let key = Arc::new(SharedKey::new(id.clone()));
        self.keys.pin().insert(id.clone(), Arc::downgrade(&key));
        key
    }

    fn keys(&self) -> Vec<Arc<SharedKey>> {
        self.keys.pin().values().filter_map(Weak::upgrade).collect()
    }

    /// Forgets the keys that the key table no longer holds.
    fn prune(&self) {
        self.keys.pin().retain(|_, key| key.strong_count() > 0);
    }
}

#[cfg(test)]
mod against_redis;
#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
