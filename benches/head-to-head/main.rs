//! keygate, nginx and HAProxy side by side on equal work.
//!
//! `cargo bench --bench head_to_head -- --help` names the settings. Every proxy lets in the same
//! 10,000 keys, counts each request against a limit of its key, takes the credential off, says who
//! calls, and logs nothing; that it does so is checked before anything is measured. Each has one
//! worker on one core of its own. Rounds are interleaved, and every ratio is taken within a round,
//! so that a machine that others use too disturbs all alike: the ratios mean something, the
//! absolute numbers nothing elsewhere.

#![expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
#![expect(unreachable_pub, reason = "the modules of one program; nothing here is public")]

mod check;
#[path = "../common/mod.rs"]
mod common;
mod keys;
mod process;
mod proxies;
mod report;
mod traffic;

use std::io::{Write as _, stdout};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Parser as _;

use crate::common::cores;
use crate::keys::Keys;
use crate::process::Running;
use crate::proxies::{Proxy, Site};
use crate::report::{Report, Sample};
use crate::traffic::{Mode, Traffic};

/// High enough that the load never reaches it: it is counted and refuses nothing.
const LIMIT_PER_MINUTE: u32 = 1_000_000;

/// Runs keygate, nginx and HAProxy side by side on equal work.
#[derive(clap::Parser)]
struct Flags {
    /// How long each proxy is loaded in a round.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
    /// How often each is measured.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Connections with one request under way on each.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=4_000))]
    connections: u32,
    /// Keys that the requests take at random.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    keys: u32,
    /// Whether load and upstream spin, so that no proxy pays for waking them, or sleep.
    #[arg(long, value_enum, default_value_t = Mode::Spin)]
    mode: Mode,
    /// Which to compare.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Proxy::ALL)]
    proxies: Vec<Proxy>,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let flags = Flags::parse();
    if !flags.bench {
        writeln!(stdout(), "head_to_head measures only when it is run by `cargo bench`")?;
        return Ok(());
    }
    let (load_core, proxy_core) = cores::two_cores()?;
    cores::pin(load_core)?;

    let keys = Keys::mint(flags.keys)?;
    let mut traffic = Traffic::new(flags.mode)?;
    let folder = tempfile::tempdir()?;
    let site = Site { folder: folder.path(), upstream: traffic.upstream()?, keys: &keys };
    let start = |proxy: Proxy, limit_per_minute| {
        let command = proxy.prepare(&site, limit_per_minute)?;
        Running::start(proxy, command, load_core, proxy_core)
    };

    for &proxy in &flags.proxies {
        check::does_the_work(&mut traffic, proxy, &keys, |limit| start(proxy, limit))
            .with_context(|| format!("{proxy} does not do the work"))?;
    }
    let running: Vec<_> =
        flags.proxies.iter().map(|&proxy| start(proxy, LIMIT_PER_MINUTE)).collect::<Result<_>>()?;
    for proxy in &running {
        warm_up(&mut traffic, proxy, &keys, &flags)?;
    }

    let mut report = Report::default();
    for round in 0..flags.rounds as usize {
        let direct = load(&mut traffic, None, &keys, &flags)?;
        report.add("direct", direct);
        for place in 0..running.len() {
            let proxy = &running[(round + place) % running.len()];
            let sample = load(&mut traffic, Some(proxy), &keys, &flags)
                .with_context(|| format!("under load: {}", proxy.proxy))?;
            report.add(proxy.proxy.name(), sample);
        }
        writeln!(stdout(), "round {} of {} done", round + 1, flags.rounds)?;
    }
    writeln!(stdout(), "\n{}\n\n{report}", heading(&flags)?)?;
    Ok(())
}

/// Every key once, so that each proxy has seen each and keygate has confirmed each secret.
fn warm_up(traffic: &mut Traffic, proxy: &Running, keys: &Keys, flags: &Flags) -> Result<()> {
    let mut requests = keys.requests();
    let load = traffic.run(proxy.address, flags.connections.min(8), || requests.next())?;
    ensure!(load.others.is_empty(), "{} answered {:?} in the warm-up", proxy.proxy, load.others);
    Ok(())
}

/// One proxy, or the upstream itself, under the load of one round.
fn load(
    traffic: &mut Traffic,
    proxy: Option<&Running>,
    keys: &Keys,
    flags: &Flags,
) -> Result<Sample> {
    let to = proxy.map_or(traffic.upstream()?, |proxy| proxy.address);
    let cpu = || proxy.map_or(Ok(Duration::ZERO), Running::cpu_time);
    let mut random = keys.random_requests();

    let cpu_before = cpu()?;
    let end = Instant::now() + Duration::from_secs(flags.seconds);
    let next = || (Instant::now() < end).then(|| random.next()).flatten();
    let mut load = traffic.run(to, flags.connections, next)?;
    let cpu_time = cpu()?.saturating_sub(cpu_before);

    ensure!(load.others.is_empty(), "answers other than 200: {:?}", load.others);
    let memory_kib = proxy.map_or(Ok(0), Running::memory_kib)?;
    Ok(Sample::new(&mut load, cpu_time, memory_kib))
}

fn heading(flags: &Flags) -> Result<String> {
    let versions: Vec<_> =
        flags.proxies.iter().map(|proxy| proxy.version()).collect::<Result<_>>()?;
    Ok(format!(
        "{}\n{} connections, {} keys, {} rounds of {} s, load and upstream {}; \
         medians over the rounds, (ratio to nginx)",
        versions.join(", "),
        flags.connections,
        flags.keys,
        flags.rounds,
        flags.seconds,
        match flags.mode {
            Mode::Spin => "spinning",
            Mode::Sleep => "sleeping",
        },
    ))
}
