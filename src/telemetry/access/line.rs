//! One line: which fields a request has in the log, in which order and form.

use std::io::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;

use super::mask::masked;
use crate::domain::{Environment, Reason};
use crate::key::SecretFormat;

/// Room for an ordinary line.
const LINE_BYTES: usize = 512;

/// What is logged of a request. `None` is written as `null`.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// When its head had come, in milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// Its id, as the client and the upstream are told.
    pub request_id: &'a str,
    /// The client's address.
    pub client: IpAddr,
    /// Its method; unknown where the head was unreadable.
    pub method: Option<&'a str>,
    /// Its path as the client sent it; secrets in it are masked here.
    pub path: Option<&'a str>,
    /// Its query without the question mark; secrets in it are masked here.
    pub query: Option<&'a str>,
    /// The route's path as configured.
    pub route: Option<&'a str>,
    /// What it was answered with.
    pub status: u16,
    /// Why it was refused.
    pub reason: Option<Reason>,
    /// The key's id, as soon as the key is known.
    pub key_id: Option<&'a str>,
    /// The owner's id.
    pub owner_id: Option<&'a str>,
    /// The key's environment.
    pub env: Option<Environment>,
    /// The upstream's name, where the request went to one.
    pub upstream: Option<&'a str>,
    /// Which of its targets, as `host:port`.
    pub target: Option<&'a str>,
    /// From the head to the answer's last byte.
    pub duration: Duration,
    /// What of it was the gateway's own.
    pub overhead: Duration,
    /// Bytes of its body.
    pub bytes_in: u64,
    /// Bytes of the answer's body.
    pub bytes_out: u64,
    /// How secrets look, for masking them.
    pub format: &'a SecretFormat,
}

impl Entry<'_> {
    /// The JSON object and a line feed.
    pub(super) fn to_line(self) -> Vec<u8> {
        let mut line = Line(Vec::with_capacity(LINE_BYTES));
        line.timestamp(self.at_ms);
        line.checked("request_id", Some(self.request_id), self.format);
        line.address("client", self.client);
        line.checked("method", self.method, self.format);
        line.target(self.path, self.query, self.format);
        line.text("route", self.route);
        line.number("status", u64::from(self.status));
        line.text("reason", self.reason.map(Reason::name));
        line.text("key_id", self.key_id);
        line.text("owner_id", self.owner_id);
        line.text("env", self.env.map(Environment::name));
        line.text("upstream", self.upstream);
        line.text("target", self.target);
        line.milliseconds("duration_ms", self.duration);
        line.milliseconds("overhead_ms", self.overhead);
        line.number("bytes_in", self.bytes_in);
        line.number("bytes_out", self.bytes_out);
        line.0.extend_from_slice(b"}\n");
        line.0
    }
}

/// A line while it is being written. Writing to a vector does not fail.
struct Line(Vec<u8>);

impl Line {
    /// RFC 3339 in UTC, always with three decimals, so that lines sort as text.
    fn timestamp(&mut self, at_ms: i64) {
        let at = Timestamp::from_millisecond(at_ms).unwrap_or(Timestamp::UNIX_EPOCH);
        let _ = write!(self.0, "{{\"ts\":\"{at:.3}\"");
    }

    fn address(&mut self, name: &str, address: IpAddr) {
        self.name(name);
        let _ = write!(self.0, "\"{}\"", address.to_canonical());
    }

    fn text(&mut self, name: &str, text: Option<&str>) {
        self.name(name);
        match text {
            Some(text) => self.quoted(text),
            None => self.0.extend_from_slice(b"null"),
        }
    }

    /// Text of the client's choice: it may be a secret where none belongs.
    fn checked(&mut self, name: &str, text: Option<&str>, format: &SecretFormat) {
        self.text(name, text.map(|text| masked(text, format)).as_deref());
    }

    /// Path and query as one text.
    fn target(&mut self, path: Option<&str>, query: Option<&str>, format: &SecretFormat) {
        self.checked("path", path, format);
        if let (Some(_), Some(query)) = (path, query) {
            // The quotes between the two give way to a question mark.
            self.0.pop();
            let middle = self.0.len();
            self.quoted(&masked(query, format));
            self.0[middle] = b'?';
        }
    }

    fn number(&mut self, name: &str, number: u64) {
        self.name(name);
        self.0.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    }

    /// To the microsecond.
    fn milliseconds(&mut self, name: &str, duration: Duration) {
        self.name(name);
        let _ = write!(self.0, "{}.{:03}", duration.as_millis(), duration.subsec_micros() % 1_000);
    }

    fn name(&mut self, name: &str) {
        self.0.extend_from_slice(b",\"");
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
    }

    fn quoted(&mut self, text: &str) {
        serde_json::to_writer(&mut self.0, text).expect("a string makes JSON");
    }
}
