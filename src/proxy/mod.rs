//! The data plane: a request's way, from its head to its answer.
//!
//! [`handle`] is the way itself, a line a step; each step has a module of its name. Around it,
//! [`worker`] owns a thread's connections, [`http1`] and [`http2`] speak with their clients. Nothing
//! here names the control plane.

pub mod adopted;
pub mod authorize;
pub mod balance;
pub mod body;
pub mod calls;
pub mod chunks;
pub mod client_address;
pub mod connection;
mod cookies;
pub mod cors;
pub mod credential;
pub mod edge;
pub mod explain;
pub mod forward;
pub mod grpc;
pub mod handle;
pub mod head;
pub mod headers;
pub mod health;
pub mod http1;
pub mod http2;
pub mod listener;
pub mod matcher;
pub mod meter;
pub mod outbox;
pub mod path;
pub mod plan;
pub mod probe;
pub mod protocol;
pub mod proxy_protocol;
pub mod redirect;
pub mod refusals;
pub mod respond;
pub mod route;
pub mod serve;
pub mod trailers;
pub mod tunnel;
pub mod upstream;
pub mod websocket;
pub mod worker;
