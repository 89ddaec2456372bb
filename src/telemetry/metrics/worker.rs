//! One worker's counters: written by it alone, read by whoever asks for the metrics.

use std::time::Duration;

use super::cells::{Histogram, OVERHEAD_BOUNDS, REQUEST_BOUNDS, Tally};
use super::totals::{CLASSES, class};
use crate::domain::Reason;

/// What the key table said to a secret: the `result` of `keygate_key_table_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyTableResult {
    /// The secret's digest was known good: no Argon2.
    Hit,
    /// The id is known and the secret not yet confirmed: Argon2 had to say.
    Confirm,
    /// Another secret than the confirmed one under a known id: refused without Argon2.
    Wrong,
    /// No secret has this id: refused without Argon2.
    Unknown,
    /// It cannot be a secret (prefix, length, alphabet, checksum).
    Malformed,
    /// It could not be told: the store is away, or too many secrets wait for Argon2.
    Unavailable,
}

impl KeyTableResult {
    /// Every result, in the order of the type.
    pub const ALL: [Self; 6] =
        [Self::Hit, Self::Confirm, Self::Wrong, Self::Unknown, Self::Malformed, Self::Unavailable];

    /// The result as the label writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Confirm => "confirm",
            Self::Wrong => "wrong",
            Self::Unknown => "unknown",
            Self::Malformed => "malformed",
            Self::Unavailable => "unavailable",
        }
    }
}

/// Why an HTTP/2 connection was cut off: the `cause` of `keygate_http2_connections_cut_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Http2Cut {
    /// Its client cancelled more requests right after making them than anybody needs to.
    Cancels,
    /// The protocol was abused: streams reset before they were looked at or by the client's faults,
    /// a head without end.
    Flood,
}

impl Http2Cut {
    /// Every cause, in the order of the type.
    pub const ALL: [Self; 2] = [Self::Cancels, Self::Flood];

    /// The cause as the label writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cancels => "cancels",
            Self::Flood => "flood",
        }
    }
}

/// What a client was waited for too long: the `waiting_for` of `keygate_connections_timed_out_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitedFor {
    /// The rest of a head, or the first one.
    Head,
    /// The next request on a kept connection.
    Request,
    /// Taking its answer.
    Reading,
}

impl WaitedFor {
    /// Every value, in the order of the type.
    pub const ALL: [Self; 3] = [Self::Head, Self::Request, Self::Reading];

    /// The value as the label writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Request => "request",
            Self::Reading => "reading",
        }
    }
}

/// The counters of one worker, on cache lines of their own (processors fetch lines in pairs of 64
/// bytes). Only that worker may call what counts: a second writer would lose counts.
#[derive(Debug)]
#[repr(align(128))]
pub struct WorkerMetrics {
    pub(super) key_table: [Tally; KeyTableResult::ALL.len()],
    pub(super) duration: Histogram,
    pub(super) overhead: Histogram,
    pub(super) connections_opened: Tally,
    pub(super) connections_closed: Tally,
    pub(super) connections_refused: Tally,
    pub(super) connections_refused_by_address: Tally,
    pub(super) tunnels_opened: Tally,
    pub(super) tunnels_closed: Tally,
    pub(super) connections_not_begun: Tally,
    pub(super) connections_timed_out: [Tally; WaitedFor::ALL.len()],
    pub(super) http2_cut: [Tally; Http2Cut::ALL.len()],
    pub(super) failed_auth_blocked: Tally,
    pub(super) keys_exposed: Tally,
    pub(super) panics: Tally,
    pub(super) costs_refused: Tally,
    pub(super) bytes_in: Tally,
    pub(super) bytes_out: Tally,
    pub(super) refusals: [Tally; Reason::ALL.len()],
    /// The same by the first digit of the status; 0: any other.
    pub(super) refused_with: [Tally; CLASSES],
    pub(super) cut: [Tally; Reason::ALL.len()],
}

impl WorkerMetrics {
    pub(super) fn new() -> Self {
        Self {
            key_table: Default::default(),
            duration: Histogram::new(&REQUEST_BOUNDS),
            overhead: Histogram::new(&OVERHEAD_BOUNDS),
            connections_opened: Tally::default(),
            connections_closed: Tally::default(),
            connections_refused: Tally::default(),
            connections_refused_by_address: Tally::default(),
            tunnels_opened: Tally::default(),
            tunnels_closed: Tally::default(),
            connections_not_begun: Tally::default(),
            connections_timed_out: Default::default(),
            http2_cut: Default::default(),
            failed_auth_blocked: Tally::default(),
            keys_exposed: Tally::default(),
            panics: Tally::default(),
            costs_refused: Tally::default(),
            bytes_in: Tally::default(),
            bytes_out: Tally::default(),
            refusals: Default::default(),
            refused_with: Default::default(),
            cut: Default::default(),
        }
    }

    /// A request was refused with that status.
    pub fn refused(&self, reason: Reason, status: u16) {
        self.refusals[reason.index()].add(1);
        self.refused_with[class(status)].add(1);
    }

    /// An answer was broken off, or a WebSocket ended, because its key may call no more.
    pub fn cut(&self, reason: Reason) {
        self.cut[reason.index()].add(1);
    }

    /// A secret was looked up.
    pub fn key_table(&self, result: KeyTableResult) {
        self.key_table[result as usize].add(1);
    }

    /// A request is over: `total` from its head to its answer's last byte, `overhead` what of it
    /// was the gateway's own.
    pub fn answered(&self, total: Duration, overhead: Duration) {
        self.duration.observe(total);
        self.overhead.observe(overhead);
    }

    /// Bytes of a request's and an answer's body, in any number of pieces.
    pub fn transferred(&self, bytes_in: u64, bytes_out: u64) {
        self.bytes_in.add(bytes_in);
        self.bytes_out.add(bytes_out);
    }

    /// A client connection was accepted.
    pub fn connection_opened(&self) {
        self.connections_opened.add(1);
    }

    /// An accepted client connection has ended.
    pub fn connection_closed(&self) {
        self.connections_closed.add(1);
    }

    /// A client connection was closed at once because of `server.max_connections`.
    pub fn connection_refused(&self) {
        self.connections_refused.add(1);
    }

    /// A client connection was closed at once because its address has too many.
    pub fn connection_refused_by_address(&self) {
        self.connections_refused_by_address.add(1);
    }

    /// A WebSocket was switched to.
    pub fn tunnel_opened(&self) {
        self.tunnels_opened.add(1);
    }

    /// A WebSocket has ended.
    pub fn tunnel_closed(&self) {
        self.tunnels_closed.add(1);
    }

    /// A client connection ended before its first request could come: its PROXY header or its TLS
    /// handshake was wrong or took too long.
    pub fn connection_not_begun(&self) {
        self.connections_not_begun.add(1);
    }

    /// A client connection was closed because its client took too long.
    pub fn connection_timed_out(&self, waited_for: WaitedFor) {
        self.connections_timed_out[waited_for as usize].add(1);
    }

    /// An HTTP/2 connection was cut off.
    pub fn http2_cut(&self, cause: Http2Cut) {
        self.http2_cut[cause as usize].add(1);
    }

    /// A request was refused because its address has had too many 401s.
    pub fn failed_auth_blocked(&self) {
        self.failed_auth_blocked.add(1);
    }

    /// A key was sent in clear where TLS is spoken.
    pub fn key_exposed(&self) {
        self.keys_exposed.add(1);
    }

    /// An upstream said no usable cost; whether that is to be told of: the first time and every
    /// thousandth.
    pub fn cost_refused(&self) -> bool {
        let before = self.costs_refused.read();
        self.costs_refused.add(1);
        before.is_multiple_of(1_000)
    }

    /// A request panicked.
    pub fn panicked(&self) {
        self.panics.add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_result_stands_at_its_place() {
        for (place, result) in KeyTableResult::ALL.into_iter().enumerate() {
            assert_eq!(result as usize, place);
        }
    }

    #[test]
    fn no_cache_line_belongs_to_two_workers() {
        assert_eq!(align_of::<WorkerMetrics>(), 128);
        assert_eq!(size_of::<WorkerMetrics>() % 128, 0);
    }
}
