//! The one task that speaks with Redis, on the control plane: it sends the draws that requests ask
//! for, gives back what was not used, and finds out when Redis goes and when it is back.
//!
//! When it is back, what passed without it is booked first, by every instance. So an instance trusts
//! Redis again only after a time in which the others could do so too.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};

use super::connection::{Away, Connection, Connector};
use super::draw::{Answer, Draw, Subject};
use super::key::SharedKey;
use super::{Inner, Link};

/// How often it is tried whether Redis is back.
const TRY_AGAIN: Duration = Duration::from_millis(100);
/// How long after Redis is back it is not trusted yet. By then every instance has noticed it, which
/// takes an attempt and the pause behind it, and has booked what it counted.
const SETTLE: Duration = Duration::from_secs(1);
/// How often leftovers are looked after.
const LOOK: Duration = Duration::from_millis(100);
/// Looks after which keys that are gone are forgotten.
const LOOKS_A_PRUNING: u32 = 600;
/// Draws under way at once while what passed alone is booked.
const BOOKING_AT_ONCE: usize = 256;

/// What it is told.
pub(super) enum Message {
    /// Ask Redis about a subject.
    Ask(Ask),
    /// Give back and book all that is held, and say when that is done.
    Release(oneshot::Sender<()>),
}

/// A subject of a key.
pub(super) struct Ask {
    pub(super) key: Arc<SharedKey>,
    pub(super) subject: Subject,
}

/// The task.
pub struct RedisClient {
    inner: Arc<Inner>,
    connector: Connector,
    messages: mpsc::UnboundedReceiver<Message>,
    instances: watch::Receiver<usize>,
    /// When to look after what; a number tells those of the same moment apart.
    watched: BTreeMap<(u64, u64), Ask>,
    watched_so_far: u64,
    /// Which life of Redis's data our bookings are in.
    epoch: Option<String>,
    /// Whether Redis may have lost some of them.
    suspects: bool,
    /// Why Redis is away, as it was last said.
    said: Option<String>,
}

type Running = FuturesUnordered<BoxFuture<'static, Drawn>>;
type Drawn = (Ask, Draw, Result<Answer, Away>);

impl RedisClient {
    pub(super) fn new(
        inner: Arc<Inner>,
        connector: Connector,
        messages: mpsc::UnboundedReceiver<Message>,
        instances: watch::Receiver<usize>,
    ) -> Self {
        Self {
            inner,
            connector,
            messages,
            instances,
            watched: BTreeMap::new(),
            watched_so_far: 0,
            epoch: None,
            suspects: false,
            said: None,
        }
    }

    /// Serves until nobody is left to ask.
    pub async fn run(mut self) {
        loop {
            let ended = match self.connected().await {
                Ok(connection) => self.serve(&connection).await,
                Err(away) => Some(away),
            };
            let Some(away) = ended else { return };
            self.go_down(&away);
            if !self.pause().await {
                return;
            }
        }
    }

    /// A connection that is settled: requests go by Redis from then on.
    async fn connected(&mut self) -> Result<Connection, Away> {
        let connection = self.connector.connect().await?;
        self.settle(&connection).await?;
        self.inner.set_link(Link::Up);
        self.said = None;
        tracing::info!("Redis is in reach: limits are shared by all instances");
        Ok(connection)
    }

    /// Books what passed without Redis, and gives the others the time to do so.
    async fn settle(&mut self, connection: &Connection) -> Result<(), Away> {
        let begun = Instant::now();
        let (epoch, age_ms) = connection.clone().epoch().await?;
        let lost = self.epoch.as_ref().is_some_and(|known| *known != epoch);
        let keys = self.inner.keys();
        if lost {
            keys.iter().for_each(|key| key.lose());
        }
        self.book(connection, keys, lost).await?;
        let young = SETTLE.saturating_sub(Duration::from_millis(age_ms));
        let settled = if self.epoch.is_some() { begun + SETTLE } else { begun + young };
        self.epoch = Some(epoch);
        sleep_until(settled).await;
        // What passed meanwhile.
        self.book(connection, self.inner.keys(), false).await
    }

    async fn book(
        &mut self,
        connection: &Connection,
        keys: Vec<Arc<SharedKey>>,
        nothing_is_known: bool,
    ) -> Result<(), Away> {
        let mut running = Running::new();
        let mut outcome = Ok(());
        for key in keys {
            for subject in key.unsettled(nothing_is_known, self.inner.now_ms()) {
                self.begin(connection, &running, Ask { key: Arc::clone(&key), subject });
            }
            while running.len() >= BOOKING_AT_ONCE && outcome.is_ok() {
                outcome = self.finish_one(connection, &mut running).await;
            }
            if outcome.is_err() {
                break;
            }
        }
        while !running.is_empty() {
            let finished = self.finish_one(connection, &mut running).await;
            outcome = outcome.and(finished);
        }
        outcome
    }

    /// `None`: nobody is left to ask.
    async fn serve(&mut self, connection: &Connection) -> Option<Away> {
        let mut running = Running::new();
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looks = 0;
        let ended = loop {
            let outcome = tokio::select! {
                message = self.messages.recv() => match message {
                    Some(Message::Ask(ask)) => {
                        self.begin(connection, &running, ask);
                        Ok(())
                    }
                    Some(Message::Release(done)) => self.release(connection, done).await,
                    None => break None,
                },
                Some(drawn) = running.next() => self.finish(connection, &running, drawn),
                _ = look.tick() => {
                    looks += 1;
                    if looks % LOOKS_A_PRUNING == 0 {
                        self.inner.prune();
                    }
                    self.count_instances();
                    self.look_after(connection, &running);
                    self.check_epoch(connection).await
                }
            };
            if let Err(away) = outcome {
                break Some(away);
            }
        };
        // Whoever waits goes on alone, and nobody asks any more.
        self.inner.set_link(Link::Down);
        while let Some(drawn) = running.next().await {
            let _ = self.finish(connection, &running, drawn);
        }
        ended
    }

    fn begin(&self, connection: &Connection, running: &Running, ask: Ask) {
        let draw = ask.key.draw(ask.subject, self.inner.now_ms());
        let (mut connection, live) = (connection.clone(), self.inner.live());
        self.inner.metrics.redis_calls.increment();
        running.push(Box::pin(async move {
            let answer = connection.draw(&ask.key.id, &draw, live).await;
            (ask, draw, answer)
        }));
    }

    async fn finish_one(
        &mut self,
        connection: &Connection,
        running: &mut Running,
    ) -> Result<(), Away> {
        match running.next().await {
            Some(drawn) => self.finish(connection, running, drawn),
            None => Ok(()),
        }
    }

    /// Takes up an answer, and has somebody look after what it leaves over.
    fn finish(
        &mut self,
        connection: &Connection,
        running: &Running,
        (ask, draw, answer): Drawn,
    ) -> Result<(), Away> {
        let now_ms = self.inner.now_ms();
        let answer = match answer {
            Ok(answer) => answer,
            Err(away) => {
                ask.key.fail(ask.subject, Some(draw), now_ms);
                return Err(away);
            }
        };
        let after = ask.key.take_up(draw, &answer, now_ms);
        self.suspects |= after.lost;
        match after.look_at_ms {
            // It was not done, or not all of it.
            Some(at_ms) if at_ms <= now_ms => {
                if ask.key.ask(ask.subject, now_ms) {
                    self.begin(connection, running, ask);
                }
            }
            Some(at_ms) if ask.key.watch(ask.subject, now_ms) => self.watch(at_ms, ask),
            _ => {}
        }
        Ok(())
    }

    /// What is past its time is given back, by a draw that wants nothing.
    fn look_after(&mut self, connection: &Connection, running: &Running) {
        let now_ms = self.inner.now_ms();
        while let Some(first) = self.watched.first_entry()
            && first.key().0 <= now_ms
        {
            let ask = first.remove();
            match ask.key.look_after(ask.subject, now_ms) {
                Some(at_ms) if at_ms > now_ms => self.watch(at_ms, ask),
                Some(_) => self.begin(connection, running, ask),
                None => {}
            }
        }
    }

    fn watch(&mut self, at_ms: u64, ask: Ask) {
        self.watched_so_far += 1;
        self.watched.insert((at_ms, self.watched_so_far), ask);
    }

    /// Where a key's data is gone, all of it may be.
    async fn check_epoch(&mut self, connection: &Connection) -> Result<(), Away> {
        if !std::mem::take(&mut self.suspects) {
            return Ok(());
        }
        let (epoch, _) = connection.clone().epoch().await?;
        if self.epoch.as_ref() == Some(&epoch) { Ok(()) } else { Err(Away::DataLost) }
    }

    async fn release(
        &mut self,
        connection: &Connection,
        done: oneshot::Sender<()>,
    ) -> Result<(), Away> {
        let watched = std::mem::take(&mut self.watched);
        let keys: Vec<_> = watched.into_values().map(|ask| ask.key).collect();
        keys.iter().for_each(|key| key.give_up());
        let released = self.book(connection, keys, false).await;
        // Who waits for it may have had enough.
        let _ = done.send(());
        released
    }

    fn count_instances(&self) {
        let live = u32::try_from(*self.instances.borrow()).unwrap_or(u32::MAX);
        self.inner.live.store(live.max(1), Ordering::Relaxed);
    }

    fn go_down(&mut self, away: &Away) {
        self.inner.set_link(Link::Down);
        let reason = away.to_string();
        if self.said.as_ref() != Some(&reason) {
            tracing::error!(%reason, "Redis is away: this instance keeps limits by its own share");
            self.said = Some(reason);
        }
    }

    /// Until it is tried again. What was asked for before everybody knew that there is nobody to ask
    /// fails. False: nobody is left to ask.
    async fn pause(&mut self) -> bool {
        self.count_instances();
        let mut over = std::pin::pin!(sleep(TRY_AGAIN));
        loop {
            tokio::select! {
                () = &mut over => return true,
                message = self.messages.recv() => match message {
                    Some(Message::Ask(ask)) => {
                        ask.key.fail(ask.subject, None, self.inner.now_ms());
                    }
                    Some(Message::Release(done)) => drop(done.send(())),
                    None => return false,
                },
            }
        }
    }
}

impl Drop for RedisClient {
    /// Nobody is to wait for answers that nobody sends.
    fn drop(&mut self) {
        self.inner.link.store(Link::Down as u8, Ordering::Release);
    }
}
