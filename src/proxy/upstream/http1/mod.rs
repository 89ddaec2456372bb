//! HTTP/1.1 as a client speaks it (RFC 9112), on a connection that one request has at a time.
//!
//! The request's own task writes the request and reads the answer: there is no task for the
//! connection, and nothing is handed from one to another. The one rule of the reader: an answer that
//! two readers could read differently is read by nobody.
//!
//! Nothing here knows the pool, the routes or the keys; `head`, `body` and `output` do no IO.

mod body;
mod connection;
mod head;
mod output;

pub use connection::{Buffers, Connection, Failed};

/// Why a request or its answer ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The connection failed.
    #[error("the connection failed")]
    Io(#[from] std::io::Error),
    /// The upstream closed the connection.
    #[error("the upstream closed the connection before the end of its answer")]
    Ended,
    /// The answer is not as RFC 9112 has it, or longer than a head may be.
    #[error("the answer cannot be read: {0}")]
    Malformed(&'static str),
    /// The request's body ended before its end, by no fault of the upstream's.
    #[error("the request's body broke off")]
    Upload(#[source] Box<dyn std::error::Error + Send + Sync>),
}
