//! The access log: a JSON line a request, written by a thread of its own.
//!
//! Workers gather lines and hand them over in batches; when the writer falls behind, lines are
//! dropped and counted, and no request ever waits for it.

use std::cell::RefCell;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use jiff::Timestamp;
use serde::Serialize;

use crate::config::LogOutput;
use crate::domain::Reason;
use crate::key::SecretFormat;

/// Batches that wait at most.
const QUEUE: usize = 256;
/// A batch is handed over when it has grown to this, or with the next sweep.
const BATCH_BYTES: usize = 32 * 1024;

/// One request, as the contract's section 4 has it.
#[derive(Serialize)]
pub struct Line<'a> {
    /// When the request began.
    pub ts: Timestamp,
    /// Its id.
    pub request_id: &'a str,
    /// The client's address.
    pub client: std::net::IpAddr,
    /// Its method.
    pub method: &'a str,
    /// Its target, with whatever looks like a key masked.
    pub path: &'a str,
    /// The route's path.
    pub route: Option<&'a str>,
    /// What it was answered with.
    pub status: u16,
    /// Why it was refused.
    pub reason: Option<Reason>,
    /// Whose it was.
    pub key_id: Option<&'a str>,
    /// That key's owner.
    pub owner_id: Option<&'a str>,
    /// That key's environment.
    pub env: Option<&'a str>,
    /// Where it went.
    pub upstream: Option<&'a str>,
    /// To which of its targets.
    pub target: Option<&'a str>,
    /// From the head to the last byte, in milliseconds.
    pub duration_ms: f64,
    /// What of it was the gateway's own.
    pub overhead_ms: f64,
    /// Bytes of the client's body.
    pub bytes_in: u64,
    /// Bytes of the answer's body.
    pub bytes_out: u64,
}

/// The writer thread's mailbox.
#[derive(Clone)]
pub struct AccessLog {
    batches: SyncSender<Vec<u8>>,
    dropped: Arc<AtomicU64>,
}

impl AccessLog {
    /// Opens the output and starts the thread. A file is made, or appended to.
    pub fn start(output: &LogOutput) -> io::Result<Self> {
        let writer: Box<dyn Write + Send> = match output {
            LogOutput::Stdout => Box::new(io::stdout()),
            LogOutput::Stderr => Box::new(io::stderr()),
            LogOutput::File(path) => {
                Box::new(OpenOptions::new().create(true).append(true).open(path)?)
            }
        };
        let (batches, receiver) = sync_channel(QUEUE);
        thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || write_batches(&receiver, writer))?;
        Ok(Self { batches, dropped: Arc::default() })
    }

    /// Batches that were dropped because the writer fell behind.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn send(&self, batch: Vec<u8>) {
        if self.batches.try_send(batch).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn write_batches(batches: &Receiver<Vec<u8>>, mut writer: Box<dyn Write + Send>) {
    let mut failed = false;
    for batch in batches {
        let outcome = writer.write_all(&batch).and_then(|()| writer.flush());
        if let Err(error) = &outcome
            && !failed
        {
            tracing::error!(%error, "the access log cannot be written; its lines are lost");
        }
        failed = outcome.is_err();
    }
}

/// A worker's lines that were not handed over yet.
pub struct Buffer {
    log: AccessLog,
    lines: RefCell<Vec<u8>>,
}

impl Buffer {
    /// An empty one.
    pub fn new(log: AccessLog) -> Self {
        Self { log, lines: RefCell::default() }
    }

    /// Adds a line.
    pub fn push(&self, line: &Line<'_>) {
        let mut lines = self.lines.borrow_mut();
        serde_json::to_writer(&mut *lines, line).expect("a line of text and numbers makes JSON");
        lines.push(b'\n');
        let full = lines.len() >= BATCH_BYTES;
        drop(lines);
        if full {
            self.flush();
        }
    }

    /// Hands over what there is.
    pub fn flush(&self) {
        let batch = self.lines.take();
        if !batch.is_empty() {
            self.log.send(batch);
        }
    }
}

/// A target with whatever has the form of a key masked behind its hint.
pub fn masked(target: &str, format: &SecretFormat) -> String {
    let mut masked = String::with_capacity(target.len());
    let mut from = 0;
    format.find_in(target, |found| {
        masked.push_str(&target[from..found.start]);
        masked.push_str("***");
        from = found.end;
    });
    masked.push_str(&target[from..]);
    masked
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Environment;

    #[test]
    fn whatever_looks_like_a_key_is_masked() {
        let format =
            SecretFormat { live_prefix: "sk_live_".to_owned(), test_prefix: None, checksum: true };
        let minted = format.mint(Environment::Live).unwrap().unwrap();
        let secret = minted.text.expose();
        assert_eq!(
            masked(&format!("/agents/{secret}/revoke?key={secret}"), &format),
            "/agents/***/revoke?key=***"
        );
        assert_eq!(masked("/plain?a=b", &format), "/plain?a=b");
    }
}
