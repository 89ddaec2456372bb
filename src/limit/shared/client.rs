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

use super::allowance::After;
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
/// Looks after which it is checked that Redis is there and has its data, though nobody asks it
/// anything: whoever asks next relies on what all instances have booked.
const LOOKS_A_CHECK: u32 = 2;
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
    /// Why Redis is away, as it was last said.
    said: Option<String>,
}

/// Questions that are under way.
type Running = FuturesUnordered<BoxFuture<'static, Done>>;

/// What came of a question.
enum Done {
    /// About a subject.
    Draw(Ask, Draw, Result<Answer, Away>),
    /// Whether all is there still.
    Epoch(Result<Option<String>, Away>),
}

/// What is to be done next about a subject.
enum Next {
    Nothing,
    /// Redis is to be asked, which is noted.
    Again(Ask),
    /// It knows nothing any more of what was counted: maybe of nothing at all.
    Lost(Ask),
}

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
            said: None,
        }
    }

    /// Serves until nobody is left to ask.
    pub async fn run(mut self) {
        self.count_instances();
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
            for key in &keys {
                key.lose();
            }
        }
        self.book(connection, keys, lost).await?;
        let young = SETTLE.saturating_sub(Duration::from_millis(age_ms));
        let settled = if self.epoch.is_some() { begun + SETTLE } else { begun + young };
        self.epoch = Some(epoch);
        sleep_until(settled).await;
        let keys = self.inner.keys();
        for key in &keys {
            key.doubt(self.inner.live(), self.inner.now_ms());
        }
        // What passed meanwhile.
        self.book(connection, keys, false).await
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

    async fn finish_one(
        &mut self,
        connection: &Connection,
        running: &mut Running,
    ) -> Result<(), Away> {
        let Some(done) = running.next().await else { return Ok(()) };
        match self.finish(done)? {
            Next::Nothing => {}
            Next::Again(ask) => self.begin(connection, running, ask),
            Next::Lost(ask) => self.begin_anew(connection, running, ask),
        }
        Ok(())
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
                    Some(Message::Ask(ask)) => Ok(Next::Again(ask)),
                    Some(Message::Release(done)) => self.release(connection, &mut running, done).await,
                    None => break None,
                },
                Some(done) = running.next() => self.finish(done),
                _ = look.tick() => {
                    looks += 1;
                    self.look(connection, &running, looks);
                    Ok(Next::Nothing)
                }
            };
            match outcome {
                Ok(Next::Nothing) => {}
                Ok(Next::Again(ask)) => self.begin(connection, &running, ask),
                // Before anybody is granted anything by what is left of it.
                Ok(Next::Lost(ask)) => match self.check(connection.clone().epoch_now().await) {
                    Ok(()) => self.begin_anew(connection, &running, ask),
                    Err(away) => break Some(away),
                },
                Err(away) => break Some(away),
            }
        };
        // Whoever waits goes on alone, and nobody asks any more.
        self.inner.set_link(Link::Down);
        while let Some(done) = running.next().await {
            if let Ok(Next::Again(ask)) = self.finish(done) {
                ask.key.fail(ask.subject, None, self.inner.now_ms());
            }
        }
        ended
    }

    /// Unless somebody who waited for the answer has asked already.
    fn begin_anew(&self, connection: &Connection, running: &Running, ask: Ask) {
        if ask.key.ask(ask.subject, self.inner.now_ms()) {
            self.begin(connection, running, ask);
        }
    }

    fn begin(&self, connection: &Connection, running: &Running, ask: Ask) {
        let draw = ask.key.draw(ask.subject, self.inner.now_ms());
        let (mut connection, live) = (connection.clone(), self.inner.live());
        self.inner.metrics.redis_calls.increment();
        running.push(Box::pin(async move {
            let answer = connection.draw(&ask.key.id, &draw, live).await;
            Done::Draw(ask, draw, answer)
        }));
    }

    /// Takes up an answer, and has somebody look after what it leaves over.
    fn finish(&mut self, done: Done) -> Result<Next, Away> {
        let (ask, draw, answer) = match done {
            Done::Draw(ask, draw, answer) => (ask, draw, answer),
            Done::Epoch(epoch) => return self.check(epoch).map(|()| Next::Nothing),
        };
        let now_ms = self.inner.now_ms();
        let answer = match answer {
            Ok(answer) => answer,
            Err(away) => {
                ask.key.fail(ask.subject, Some(draw), now_ms);
                return Err(away);
            }
        };
        let After { look_at_ms, lost } = ask.key.take_up(draw, &answer, now_ms);
        match look_at_ms {
            _ if lost => return Ok(Next::Lost(ask)),
            // It was not done, or not all of it.
            Some(at_ms) if at_ms <= now_ms && ask.key.ask(ask.subject, now_ms) => {
                return Ok(Next::Again(ask));
            }
            Some(at_ms) if at_ms <= now_ms => {}
            Some(at_ms) if ask.key.watch(ask.subject, now_ms) => self.watch(at_ms, ask),
            _ => {}
        }
        Ok(Next::Nothing)
    }

    fn look(&mut self, connection: &Connection, running: &Running, looks: u32) {
        self.count_instances();
        self.look_after(connection, running);
        if looks.is_multiple_of(LOOKS_A_CHECK) {
            let mut connection = connection.clone();
            running.push(Box::pin(async move { Done::Epoch(connection.epoch_now().await) }));
        }
        if looks.is_multiple_of(LOOKS_A_PRUNING) {
            self.inner.prune();
        }
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

    /// Whether Redis still has what was booked.
    fn check(&self, epoch: Result<Option<String>, Away>) -> Result<(), Away> {
        if epoch? == self.epoch { Ok(()) } else { Err(Away::DataLost) }
    }

    async fn release(
        &mut self,
        connection: &Connection,
        running: &mut Running,
        done: oneshot::Sender<()>,
    ) -> Result<Next, Away> {
        // What is granted by them is given back too.
        while !running.is_empty() {
            self.finish_one(connection, running).await?;
        }
        let watched = std::mem::take(&mut self.watched);
        let keys: Vec<_> = watched.into_values().map(|ask| ask.key).collect();
        for key in &keys {
            key.give_up();
        }
        let released = self.book(connection, keys, false).await;
        // Who waits for it may have had enough.
        let _ = done.send(());
        released.map(|()| Next::Nothing)
    }

    fn count_instances(&self) {
        let live = u32::try_from(*self.instances.borrow()).unwrap_or(u32::MAX);
        self.inner.live.store(live.max(1), Ordering::Relaxed);
    }

    fn go_down(&mut self, away: &Away) {
        self.inner.set_link(Link::Down);
        let reason = away.to_string();
        match &self.said {
            None => {
                tracing::error!(%reason, "Redis is away: this instance keeps limits by its own share");
            }
            Some(said) if *said != reason => tracing::warn!(%reason, "Redis is still away"),
            Some(_) => {}
        }
        self.said = Some(reason);
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
