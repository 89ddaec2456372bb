//! keygate, nginx, HAProxy and a minimal proxy on hyper side by side on equal work.
//!
//! `cargo bench --bench head_to_head -- --help` names the settings. Every proxy lets in the same
//! 10,000 keys, counts each request against a limit of its key, takes the credential off, says who
//! calls, and logs nothing; that it does so is checked before anything is measured. Each has one
//! worker on one core of its own. Rounds are interleaved, and every ratio is taken within a round,
//! so that a machine that others use too disturbs all alike: the ratios mean something, the
//! absolute numbers nothing elsewhere. The CPU of a load is what a proxy uses until it is at rest
//! again, so that what keygate books after its answers is in it.

#![expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
#![expect(unreachable_pub, reason = "the modules of one program; nothing here is public")]

mod check;
#[path = "../common/mod.rs"]
mod common;
mod keys;
mod minimal;
mod process;
mod proxies;
mod report;
mod scenarios;
mod stage;
mod traffic;

use std::io::{Write as _, stdout};
use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser as _, ValueEnum as _};

use crate::keys::Keys;
use crate::proxies::{Certificate, Proxy};
use crate::scenarios::Scenario;
use crate::stage::{Stage, progress};

/// The minimal proxy is this program, so it has the allocator that keygate is built with.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs keygate, nginx, HAProxy and a minimal proxy on hyper side by side on equal work.
#[derive(clap::Parser)]
struct Flags {
    /// How long each proxy is loaded in a round.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
    /// How often each is measured.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Keys that the requests take at random.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    keys: u32,
    /// What to measure.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Scenario::value_variants().to_vec())]
    only: Vec<Scenario>,
    /// Which to compare, where a scenario has them.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Proxy::value_variants().to_vec())]
    proxies: Vec<Proxy>,
    /// Is the minimal proxy, set up by this file, and measures nothing.
    #[arg(long, hide = true)]
    be_minimal: Option<PathBuf>,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let flags = Flags::parse();
    if let Some(file) = &flags.be_minimal {
        return minimal::run(file);
    }
    if !flags.bench {
        writeln!(stdout(), "head_to_head measures only when it is run by `cargo bench`")?;
        return Ok(());
    }
    let versions: Vec<_> =
        flags.proxies.iter().map(|proxy| proxy.version()).collect::<Result<_>>()?;
    progress(&format!(
        "{}\n{} keys, {} rounds of {} s, medians over the rounds\n",
        versions.join(", "),
        flags.keys,
        flags.rounds,
        flags.seconds,
    ))?;

    let folder = tempfile::tempdir()?;
    let keys = Keys::mint(flags.keys)?;
    let certificate = Certificate::make(folder.path())?;
    let mut stage = Stage::new(&flags, &keys, &certificate, folder.path())?;
    flags.only.iter().try_for_each(|scenario| scenario.play(&mut stage))
}
