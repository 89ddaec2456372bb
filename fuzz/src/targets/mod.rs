//! One module a target: what it feeds to whom, and what must hold.

pub mod answer;
pub mod config;
pub mod forwarded;
pub mod head;
pub mod http1;
pub mod path;
pub mod proxy_protocol;
pub mod route;
pub mod secret;
