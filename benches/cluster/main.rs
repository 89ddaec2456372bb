//! Several instances on one store: how soon a change is in force, what it costs, and what a flood
//! of first uses and a restart cost those who are known.
//!
//! `cargo bench --bench cluster -- [NAME…] [--quick]`; `--help` names the measurements. Each runs
//! the real binary, with Debian's Postgres unless it says otherwise. They measure and assert no
//! speed; an answer that is wrong ends the run.

#![expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
#![expect(unreachable_pub, reason = "the modules of one program; nothing here is public")]

mod change_cost;
mod changes;
mod cold_flood;
#[path = "../common/mod.rs"]
mod common;
mod outages;
mod restart;
mod revoked;
#[path = "../stage/mod.rs"]
mod stage;
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

use stage::report::say;
use stage::runs::each;
use stage::site::measured_on;

/// Measures several instances on one store.
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
    /// Three instances: time from a change's commit until all answer rightly.
    Changes,
    /// Three instances under load: what still passes after a key was revoked, feeds being cut.
    Revoked,
    /// What one key change costs with 1,000, 100,000 and 1,000,000 keys in the store.
    ChangeCost,
    /// Known keys while 2,000 others are used for the first time.
    ColdFlood,
    /// 10,000 known keys on an instance that has just been started.
    Restart,
    /// Postgres and Redis away for a minute each, in every order.
    Outages,
}

impl Measurement {
    fn run(self, flags: &Flags) -> Result<()> {
        match self {
            Self::Changes => changes::run(flags.quick),
            Self::Revoked => revoked::run(flags.quick),
            Self::ChangeCost => change_cost::run(flags.quick),
            Self::ColdFlood => cold_flood::run(flags.quick),
            Self::Restart => restart::run(flags.quick),
            Self::Outages => outages::run(flags.quick),
        }
    }
}

fn main() -> Result<()> {
    let flags = Flags::parse();
    if !flags.bench {
        say("cluster measures only when it is run by `cargo bench`");
        return Ok(());
    }
    say(&measured_on()?);
    let wanted = |it: &&Measurement| flags.names.is_empty() || flags.names.contains(it);
    let measurements = Measurement::value_variants().iter().filter(wanted);
    each(measurements, |measurement| measurement.run(&flags))
}
