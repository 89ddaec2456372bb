//! What does not grow with the keys, the routes and the connections, and what does: CPU per request,
//! memory per key, the time to the first answer.
//!
//! `cargo bench --bench growth -- [NAME…] [--quick]`; `--help` names the measurements. Each runs the
//! real binary on Debian's Postgres. They measure and assert no speed; an answer that is wrong ends
//! the run.

#![expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
#![expect(unreachable_pub, reason = "the modules of one program; nothing here is public")]

#[path = "../common/mod.rs"]
mod common;
mod cost;
mod entries;
mod memory;
mod scene;
#[path = "../stage/mod.rs"]
mod stage;
mod start;
#[path = "../../tests/it/support/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "the tests' harness, whose other half only they use; it panics where they fail"
)]
mod support;

use anyhow::Result;
use clap::{Parser as _, ValueEnum as _};
use rustix::process::{Resource, getrlimit, setrlimit};

use stage::report::say;
use stage::runs::each;
use stage::site::measured_on;

/// Measures what grows.
#[derive(clap::Parser)]
struct Flags {
    /// Which to run; none: all.
    #[arg(value_enum)]
    names: Vec<Measurement>,
    /// Fewer rounds and keys, to see that it works.
    #[arg(long)]
    quick: bool,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
enum Measurement {
    /// CPU per request with 1,000, 100,000 and 1,000,000 keys in the store.
    Keys,
    /// CPU per request with 10 and 10,000 routes.
    Routes,
    /// CPU per request over 10, 64, 1,000 and 5,000 connections.
    Connections,
    /// Bytes of an entry of the key table, in this process.
    Entries,
    /// Resident bytes per key: of those in the store, and of those that are held.
    Memory,
    /// From the start of a process to its first 200, with 1,000,000 keys in the store.
    Start,
}

impl Measurement {
    fn run(self, flags: &Flags) -> Result<()> {
        match self {
            Self::Keys => cost::of_keys(flags.quick),
            Self::Routes => cost::of_routes(flags.quick),
            Self::Connections => cost::of_connections(flags.quick),
            Self::Entries => entries::run(flags.quick),
            Self::Memory => memory::run(flags.quick),
            Self::Start => start::run(flags.quick),
        }
    }
}

fn main() -> Result<()> {
    let flags = Flags::parse();
    if !flags.bench {
        say("growth measures only when it is run by `cargo bench`");
        return Ok(());
    }
    // Each of 5,000 connections is four files: at both ends, to the gateway and to the upstream.
    let mut files = getrlimit(Resource::Nofile);
    files.current = files.maximum;
    setrlimit(Resource::Nofile, files)?;
    say(&measured_on()?);
    let wanted = |it: &&Measurement| flags.names.is_empty() || flags.names.contains(it);
    let measurements = Measurement::value_variants().iter().filter(wanted);
    each(measurements, |measurement| measurement.run(&flags))
}
