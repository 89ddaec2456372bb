//! The access log: a JSON line a request (section 4 of the contract), written by a thread of its
//! own.
//!
//! The one rule: no request ever waits for the log. A line is made by the request's worker and put
//! into a bounded queue; where the output does not keep up, lines are dropped and counted.

mod line;
mod mask;
mod writer;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::config;
use crate::telemetry::metrics::Metrics;

pub use line::Entry;
pub use mask::masked;

use writer::{Handover, Message, Sink};

/// Lines that wait at most: about 4 MB of them.
const QUEUE: usize = 8_192;
/// How long [`AccessLog::close`] waits for an output that takes no more.
const CLOSE_WAIT: Duration = Duration::from_secs(2);
/// Of [`AccessLog::threshold`]: every request is logged.
const ALL: u64 = u64::MAX;

/// The access log of the process. Dropping it lets its thread end after what is queued.
#[derive(Debug)]
pub struct AccessLog {
    queue: SyncSender<Message>,
    handover: Arc<Handover>,
    metrics: Arc<Metrics>,
    /// A request is logged where a random number lies below; [`ALL`]: always.
    threshold: AtomicU64,
    /// Closed from the other side when the thread has ended.
    ended: Mutex<Receiver<()>>,
}

impl AccessLog {
    /// Opens the output and starts the thread. A file is made where there is none, and appended to.
    /// Lines that are lost count in `metrics`.
    pub fn start(config: &config::AccessLog, metrics: Arc<Metrics>) -> io::Result<Self> {
        let log = Self::start_with(writer::open(&config.output)?, QUEUE, metrics)?;
        log.sample(config.sample);
        Ok(log)
    }

    fn start_with(sink: Sink, queue: usize, metrics: Arc<Metrics>) -> io::Result<Self> {
        let (queue, messages) = sync_channel(queue);
        let (running, ended) = sync_channel(0);
        let handover = Arc::new(Handover::default());
        let thread = writer::Writer::new(sink, Arc::clone(&handover), Arc::clone(&metrics));
        thread::Builder::new().name("access-log".to_owned()).spawn(move || {
            thread.run(&messages);
            // In this order: who has seen the thread end finds the queue closed.
            drop(messages);
            drop(running);
        })?;
        let threshold = AtomicU64::new(ALL);
        Ok(Self { queue, handover, metrics, threshold, ended: Mutex::new(ended) })
    }

    /// Whether the next request is one of those that are logged: asked once a request, before
    /// anything is gathered for its line.
    pub fn wants(&self) -> bool {
        match self.threshold.load(Ordering::Relaxed) {
            ALL => true,
            0 => false,
            threshold => rand::random::<u64>() < threshold,
        }
    }

    /// Logs a request. Never blocks; where the queue is full the line is dropped and counted.
    pub fn write(&self, entry: &Entry<'_>) {
        if self.queue.try_send(Message::Line(entry.to_line())).is_err() {
            self.metrics.access_log_dropped.increment();
        }
    }

    /// Takes up a new configuration, or the same one again: a file that was moved away is made
    /// anew, and what follows is written to that. On an error the old output and sample stay.
    pub fn reopen(&self, config: &config::AccessLog) -> io::Result<()> {
        self.handover.give(writer::open(&config.output)?);
        self.sample(config.sample);
        self.nudge();
        Ok(())
    }

    /// Writes what is queued and ends the thread; what is written afterwards is dropped and
    /// counted. Blocks for that, at most two seconds where the output takes no more.
    pub fn close(&self) {
        self.handover.close();
        self.nudge();
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        if ended.recv_timeout(CLOSE_WAIT) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("the access log's output takes no more; its last lines are lost");
        }
    }

    /// Has the thread look around; with a full queue it is about to anyway.
    fn nudge(&self) {
        let _ = self.queue.try_send(Message::LookAround);
    }

    fn sample(&self, part: f64) {
        #[expect(clippy::cast_sign_loss, reason = "the cast saturates: below 0 is 0, 1 is ALL")]
        let threshold = (part * ALL as f64) as u64;
        self.threshold.store(threshold, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
