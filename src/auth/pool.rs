//! Argon2 on threads of its own: few, at low priority, behind a bounded queue.
//!
//! The one rule: a worker never hashes. It hands a secret over and waits without blocking; when the
//! queue is full it is told so at once.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use thiserror::Error;
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use crate::domain::PublicId;
use crate::key::hash::{Argon2Verifier, HashError};
use crate::telemetry::metrics::Metrics;

/// Hashes that wait at most: some seconds' work for one thread at the default strength.
const QUEUE: usize = 256;
/// The nicest there is: the workers' requests come first whenever both want the core.
const NICENESS: i32 = 19;

/// Why a secret was not checked.
#[derive(Debug, Error)]
pub enum PoolError {
    /// Too many are waiting already.
    #[error("too many secrets are waiting to be checked")]
    Full,
    /// The stored hash is unusable, or Argon2 itself failed.
    #[error(transparent)]
    Hash(#[from] HashError),
}

/// The threads and their queue. Dropping it lets the threads end after what they are at.
pub struct Argon2Pool {
    queue: SyncSender<Job>,
    metrics: Arc<Metrics>,
}

struct Job {
    secret: Zeroizing<Vec<u8>>,
    phc: String,
    id: PublicId,
    answer: oneshot::Sender<Result<bool, HashError>>,
}

impl Argon2Pool {
    /// Starts `threads` threads, at least one.
    pub fn start(threads: usize, metrics: Arc<Metrics>) -> std::io::Result<Self> {
        let (queue, jobs) = sync_channel(QUEUE);
        let jobs = Arc::new(Mutex::new(jobs));
        for number in 0..threads.max(1) {
            let (jobs, metrics) = (Arc::clone(&jobs), Arc::clone(&metrics));
            thread::Builder::new()
                .name(format!("argon2-{number}"))
                .spawn(move || work(&jobs, &metrics))?;
        }
        Ok(Self { queue, metrics })
    }

    /// Whether `secret` is what `phc` was made of.
    pub async fn verify(&self, secret: &[u8], phc: &str, id: PublicId) -> Result<bool, PoolError> {
        let (answer, answered) = oneshot::channel();
        let job = Job { secret: Zeroizing::new(secret.to_vec()), phc: phc.to_owned(), id, answer };
        self.metrics.argon2_queue.increment();
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = self.queue.try_send(job)
        {
            self.metrics.argon2_queue.decrement();
            return Err(PoolError::Full);
        }
        // A thread that died over a hash drops the answer: the secret was not checked.
        answered.await.map_or(Err(PoolError::Full), |outcome| outcome.map_err(PoolError::Hash))
    }
}

fn work(jobs: &Mutex<Receiver<Job>>, metrics: &Metrics) {
    // Without the right to be nice the gateway still works, only less politely.
    let _ = rustix::process::setpriority_process(None, NICENESS);
    let mut verifier = Argon2Verifier::default();
    loop {
        let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = next else { return };
        if job.answer.is_closed() {
            // Nobody waits for the answer any more: the client has gone.
            metrics.argon2_queue.decrement();
            continue;
        }
        metrics.argon2_runs.increment();
        let outcome = verifier.verify(&job.secret, &job.phc, job.id.as_str());
        metrics.argon2_queue.decrement();
        let _ = job.answer.send(outcome);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::SecretText;
    use crate::key::hash::Argon2Strength;

    fn pool() -> Argon2Pool {
        Argon2Pool::start(1, Metrics::new(1, "test")).unwrap()
    }

    fn phc(secret: &str, memory_kib: u32) -> String {
        Argon2Strength { memory_kib, iterations: 1, parallelism: 1 }
            .hash(&SecretText::new(secret.to_owned()))
            .unwrap()
    }

    #[tokio::test]
    async fn the_pool_tells_right_from_wrong_and_counts_each_run() {
        let pool = pool();
        let (phc, id) = (phc("right", 64), "AAAAAAAA".parse().unwrap());
        assert!(pool.verify(b"right", &phc, id).await.unwrap());
        assert!(!pool.verify(b"wrong", &phc, id).await.unwrap());
        assert_eq!(pool.metrics.argon2_runs.read(), 2);
    }

    #[tokio::test]
    async fn a_full_queue_says_so_at_once() {
        let pool = pool();
        let (phc, id) = (phc("right", 4096), "AAAAAAAA".parse().unwrap());
        let all = (0..QUEUE + 64).map(|_| pool.verify(b"right", &phc, id));
        let outcomes = futures_util::future::join_all(all).await;
        let full = outcomes.iter().filter(|o| matches!(o, Err(PoolError::Full))).count();
        assert!(full > 0, "none of {} was turned away", outcomes.len());
        assert_eq!(pool.metrics.argon2_queue.read(), 0);
    }

    #[tokio::test]
    async fn those_who_wait_are_answered_in_their_order() {
        let pool = pool();
        let (phc, id) = (phc("right", 1024), "AAAAAAAA".parse().unwrap());
        let answered = Mutex::new(Vec::new());
        let ask = async |number: u32| {
            assert!(pool.verify(b"right", &phc, id).await.unwrap());
            answered.lock().unwrap().push(number);
        };
        futures_util::future::join_all((0..64).map(ask)).await;
        assert!(answered.into_inner().unwrap().is_sorted());
    }

    #[tokio::test]
    async fn a_broken_hash_in_the_store_is_an_error() {
        let pool = pool();
        let outcome = pool.verify(b"x", "nonsense", "AAAAAAAA".parse().unwrap()).await;
        assert!(matches!(outcome, Err(PoolError::Hash(HashError::Stored(_)))));
    }
}
