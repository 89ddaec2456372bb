//! The thread behind the access log: takes lines from the queue and writes them in batches.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::config::LogOutput;
use crate::telemetry::metrics::Metrics;

/// Where lines end.
pub(super) type Sink = Box<dyn Write + Send>;

/// How long lines gather once the first has come: waking this thread costs the worker that does it
/// some microseconds, and so it does at most a hundred times a second.
const GATHER: Duration = Duration::from_millis(10);
/// Lines between two looks at whether there is a new output.
const BATCH: usize = 4_096;
const BUFFER_BYTES: usize = 64 * 1024;

/// What the queue carries.
#[derive(Debug)]
pub(super) enum Message {
    /// A line with its end.
    Line(Vec<u8>),
    /// Something was put into the [`Handover`].
    LookAround,
}

/// What the thread is told beside the queue, which may be full.
#[derive(Default)]
pub(super) struct Handover {
    sink: Mutex<Option<Sink>>,
    closing: AtomicBool,
}

impl Handover {
    /// Lines go there from the next batch on.
    pub(super) fn give(&self, sink: Sink) {
        *self.slot() = Some(sink);
    }

    /// The thread ends when the queue is empty.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Release);
    }

    fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    fn take(&self) -> Option<Sink> {
        self.slot().take()
    }

    /// The nudge that tells of it is lost where the queue is full.
    fn has_news(&self) -> bool {
        self.is_closing() || self.slot().is_some()
    }

    fn slot(&self) -> MutexGuard<'_, Option<Sink>> {
        self.sink.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Handover {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handover").field("closing", &self.closing).finish_non_exhaustive()
    }
}

/// Opens an output: a file is made where there is none, and appended to.
pub(super) fn open(output: &LogOutput) -> io::Result<Sink> {
    Ok(match output {
        LogOutput::Stdout => Box::new(io::stdout()),
        LogOutput::Stderr => Box::new(io::stderr()),
        LogOutput::File(path) => Box::new(OpenOptions::new().create(true).append(true).open(path)?),
    })
}

/// The thread's own things.
pub(super) struct Writer {
    output: BufWriter<Sink>,
    handover: Arc<Handover>,
    metrics: Arc<Metrics>,
    /// Whether the last attempt failed: a broken output is told of once.
    failing: bool,
}

impl Writer {
    pub(super) fn new(sink: Sink, handover: Arc<Handover>, metrics: Arc<Metrics>) -> Self {
        Self { output: buffered(sink), handover, metrics, failing: false }
    }

    /// Runs until the log is closed or dropped, and the queue is empty.
    pub(super) fn run(mut self, messages: &Receiver<Message>) {
        while let Ok(first) = messages.recv() {
            if !self.handover.is_closing() {
                thread::sleep(GATHER);
            }
            self.take(&first);
            loop {
                // Asked before the queue is emptied: what was written before the close is in it.
                let closing = self.handover.is_closing();
                let emptied = self.take_batch(messages);
                if emptied && closing {
                    return;
                }
                if emptied && !self.handover.has_news() {
                    break;
                }
            }
        }
    }

    /// Writes a batch of what is queued; whether that was all.
    fn take_batch(&mut self, messages: &Receiver<Message>) -> bool {
        if let Some(sink) = self.handover.take() {
            self.flush();
            self.output = buffered(sink);
        }
        let mut taken = 0;
        for message in messages.try_iter().take(BATCH) {
            taken += 1;
            self.take(&message);
        }
        self.flush();
        taken < BATCH
    }

    fn take(&mut self, message: &Message) {
        if let Message::Line(line) = message {
            let outcome = self.output.write_all(line);
            if outcome.is_err() {
                self.metrics.access_log_dropped.increment();
            }
            self.note(outcome);
        }
    }

    /// What cannot be written now stays in the buffer and is tried again with the next batch.
    fn flush(&mut self) {
        let outcome = self.output.flush();
        self.note(outcome);
    }

    fn note(&mut self, outcome: io::Result<()>) {
        match outcome {
            Ok(()) => self.failing = false,
            Err(error) if !self.failing => {
                self.failing = true;
                tracing::error!(%error, "the access log cannot be written");
            }
            Err(_) => {}
        }
    }
}

fn buffered(sink: Sink) -> BufWriter<Sink> {
    BufWriter::with_capacity(BUFFER_BYTES, sink)
}
