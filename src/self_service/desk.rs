//! From the data plane to the control plane and back: a bounded queue of calls.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::idempotency::once;
use super::{Answered, Asked, Outcome, PATIENCE, agents, auto_rotate, balance, keys, me, rotate};
use crate::auth::mint::{Asker, Mint};
use crate::auth::once::KEPT;
use crate::config::Config;
use crate::domain::{Actor, Call, Clock, Reason};
use crate::store::Store;
use crate::usage::Journal;
use crate::webhooks::Hooks;

/// Calls that wait at most.
const QUEUE: usize = 256;
/// Calls that are served at once: some hash, and the store has so many connections.
const AT_ONCE: usize = 8;
/// How long who asks for a balance waits for the last requests to be booked.
const BOOKED: Duration = Duration::from_secs(1);
/// How often answers that have had their time are removed.
const PRUNE: Duration = Duration::from_hours(1);

/// Where workers hand calls in.
#[derive(Clone)]
pub struct Desk {
    jobs: mpsc::Sender<Job>,
}

/// Who serves them: a task of the control plane.
pub struct Clerk {
    jobs: mpsc::Receiver<Job>,
}

/// What calls are served with.
pub struct Office {
    /// Where keys are kept.
    pub store: Arc<dyn Store>,
    /// The configuration in force.
    pub config: Box<dyn Fn() -> Arc<Config> + Send + Sync>,
    /// What was used here and may not be on the books yet.
    pub journal: Arc<Journal>,
    /// Where keys' own events go.
    pub hooks: Arc<Hooks>,
    /// What now is.
    pub clock: Clock,
}

struct Job {
    asked: Asked,
    answer: oneshot::Sender<Outcome>,
}

impl Desk {
    /// The desk and its clerk, who serves nobody until he runs.
    pub fn new() -> (Self, Clerk) {
        let (sender, jobs) = mpsc::channel(QUEUE);
        (Self { jobs: sender }, Clerk { jobs })
    }

    /// Has a call served. One that takes too long goes on, and may still be done.
    pub async fn ask(&self, asked: Asked) -> Outcome {
        let (answer, answered) = oneshot::channel();
        if self.jobs.try_send(Job { asked, answer }).is_err() {
            return Err(Reason::Overloaded.into());
        }
        match timeout(PATIENCE, answered).await {
            Ok(Ok(outcome)) => outcome,
            // It panicked, which has been told of.
            Ok(Err(_)) => Err(Reason::InternalError.into()),
            Err(_) => Err(Reason::StoreUnavailable.into()),
        }
    }
}

impl Clerk {
    /// Serves calls, several at once, until there is no desk any more.
    pub async fn run(mut self, office: Arc<Office>) {
        let places = Arc::new(Semaphore::new(AT_ONCE));
        let mut prune = interval(PRUNE);
        prune.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                job = self.jobs.recv() => {
                    let Some(Job { asked, answer }) = job else { return };
                    let place = Arc::clone(&places).acquire_owned().await;
                    let office = Arc::clone(&office);
                    tokio::spawn(async move {
                        let _place = place;
                        // Whoever asked may have left.
                        let _ = answer.send(office.serve(asked).await);
                    });
                }
                _ = prune.tick() => office.prune().await,
            }
        }
    }
}

impl Office {
    /// Removes answers that are not given again any more.
    async fn prune(&self) {
        let before = self.clock.now().checked_sub(KEPT).unwrap_or(Timestamp::MIN);
        if let Err(error) = self.store.prune_answers(before).await {
            tracing::debug!(%error, "answers that have had their time were not removed");
        }
    }

    /// Has what the caller has just used counted in what it is told.
    async fn bring_books_up_to_date(&self) {
        match timeout(BOOKED, self.journal.flush_now()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::debug!(%error, "a balance is told without the last requests");
            }
            Err(_) => {
                tracing::debug!("a balance is told without the last requests: booking is slow");
            }
        }
    }

    async fn serve(&self, asked: Asked) -> Outcome {
        if matches!(asked.call, Call::Balance | Call::Me) {
            self.bring_books_up_to_date().await;
        }
        let config = (self.config)();
        let (actor, address) = (Actor::Key(asked.caller.id().clone()), asked.caller.address);
        let by = Asker { actor, address: Some(address) };
        let mint = Mint { store: &*self.store, config: &config, clock: &self.clock, asker: &by };
        match &asked.once {
            Some(name) => once(mint, &asked, name, answer(mint, &self.hooks, &asked)).await,
            None => answer(mint, &self.hooks, &asked).await,
        }
    }
}

async fn answer(mint: Mint<'_>, hooks: &Hooks, asked: &Asked) -> Outcome<Answered> {
    match asked.call {
        Call::CreateKey => keys::create(mint, asked).await,
        Call::ListKeys => keys::list(mint, asked).await,
        Call::ShowKey => keys::show(mint, asked).await,
        Call::RevokeKey => keys::revoke(mint, asked).await,
        Call::Rotate => rotate::rotate(mint, asked).await,
        Call::StartAutoRotation => auto_rotate::start(mint, hooks, asked).await,
        Call::ShowAutoRotation => auto_rotate::show(mint, hooks, asked).await,
        Call::StopAutoRotation => auto_rotate::stop(mint, hooks, asked).await,
        Call::CreateChild => agents::create(mint, asked).await,
        Call::ListChildren => agents::list(mint, asked).await,
        Call::RevokeChild => agents::revoke(mint, asked).await,
        Call::Me => me::me(mint, asked).await,
        Call::Balance => balance::balance(mint, asked).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::table::{KeyPolicy, KeyTable, Moment};
    use crate::domain::{
        Catalogue, Environment, Key, KeyWithSecrets, Owner, OwnerId, PublicId, Refusal,
    };
    use crate::key::SecretText;
    use crate::self_service::Caller;
    use crate::store::Loaded;

    fn asked() -> Asked {
        let (now, id) = (Timestamp::UNIX_EPOCH, OwnerId::from_text("default"));
        let key = Key::new("k".to_owned(), id.clone(), Environment::Live, now);
        let owner = Owner::new(id, "default".to_owned(), now);
        let policy = KeyPolicy {
            generation: 1,
            catalogue: Catalogue::default(),
            per_key: Arc::default(),
            test_keys_count: false,
            rotation_grace: Duration::ZERO,
            enforce_rotation: false,
        };
        let id = key.id.clone();
        let loaded = Loaded { key: KeyWithSecrets { key, secrets: Vec::new() }, owner };
        let at = Moment { monotonic_ms: 0, wall_ms: 0 };
        let entry = KeyTable::holding([loaded], &policy, at).key(&id).unwrap();
        let record = Arc::clone(&entry.record(&policy));
        let secret: PublicId = "AAAAAAAA".parse().unwrap();
        let address = "127.0.0.1".parse().unwrap();
        Asked {
            call: Call::Me,
            subject: SecretText::new(String::new()),
            query: None,
            body: bytes::Bytes::new(),
            caller: Caller { rights: entry.rights(record, &policy), secret, address },
            standings: Vec::new(),
            once: None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_beyond_those_that_may_wait_is_told_so_at_once_and_none_waits_for_ever() {
        let (desk, clerk) = Desk::new();
        let waiting: Vec<_> = (0..QUEUE)
            .map(|_| {
                let desk = desk.clone();
                tokio::spawn(async move { desk.ask(asked()).await })
            })
            .collect();
        while desk.jobs.capacity() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(desk.ask(asked()).await, Err(Refusal::Plain(Reason::Overloaded)));
        for waiting in waiting {
            let outcome = waiting.await.unwrap();
            assert_eq!(outcome, Err(Refusal::Plain(Reason::StoreUnavailable)));
        }
        drop(clerk);
        assert_eq!(desk.ask(asked()).await, Err(Refusal::Plain(Reason::Overloaded)));
    }
}
