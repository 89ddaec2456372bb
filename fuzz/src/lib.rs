//! The parsers that untrusted bytes reach first, each with the rules that must hold for any bytes.
//!
//! The parsers' own sources are read in from the gateway's package rather than linked to: they need
//! a tenth of its crates, so that an instrumented build costs seconds and no C library. A target is
//! a function over bytes that panics where a rule is broken. The engine calls it in `main.rs`;
//! `tests/corpus.rs` calls it with every file that was kept, in the ordinary test run.

// The parsers' own tests are run where they are at home.
#![cfg(not(test))]
#![allow(dead_code, reason = "the rest of the gateway, which calls all of it, is not here")]

#[path = "../../src/config/mod.rs"]
pub mod config;
#[path = "../../src/domain/mod.rs"]
pub mod domain;
#[path = "../../src/key/mod.rs"]
pub mod key;
#[path = "../../src/proxy"]
pub mod proxy {
    //! Of the data plane, what takes bytes apart.

    pub mod chunks;
    pub mod client_address;
    pub mod head;
    pub mod http1 {
        //! Of HTTP/1.1, what knows nothing but bytes.

        pub mod body;
        pub mod client;
        mod fields;
        mod linger;
        mod pieces;
        pub mod request;
        pub mod stock;
        pub mod wire;
        pub mod write;
    }
    pub mod matcher;
    pub mod outbox;
    pub mod path;
    pub mod proxy_protocol;
    pub mod upstream {
        //! Of the upstreams, how HTTP/1.1 is spoken.

        pub mod http1;
    }
}
#[path = "../../src/telemetry/access"]
pub mod telemetry {
    //! Of the logs, what keeps secrets out of them.

    pub mod mask;
}

mod targets;
pub mod tls;

/// A target's name, which is also that of its directory under `corpus`, and what it does to bytes.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 9] = [
    ("secret", targets::secret::check),
    ("head", targets::head::check),
    ("http1", targets::http1::check),
    ("path", targets::path::check),
    ("route", targets::route::check),
    ("config", targets::config::check),
    ("proxy_protocol", targets::proxy_protocol::check),
    ("forwarded", targets::forwarded::check),
    ("answer", targets::answer::check),
];

/// The target of that name.
pub fn target(name: &str) -> Option<fn(&[u8])> {
    TARGETS.iter().find(|(known, _)| *known == name).map(|(_, check)| *check)
}
