//! Resident bytes per key, of keys that are in the store alone and of keys that are in use.
//!
//! What is counted is what the system gives the process, allocator and all, as a difference between
//! two numbers of keys beyond 10,000.

use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::scene::Scene;
use crate::stage::report::{Table, say};
use crate::support::TestGateway;

const FEW: usize = 10_000;
/// Until what is done on the side is done: the booking of usage, and the first look at the store.
const SETTLE: Duration = Duration::from_secs(10);

/// Measures and prints.
pub fn run(quick: bool) -> Result<()> {
    let (size, used) = if quick { (50_000, 20_000) } else { (1_000_000, 200_000) };
    let mut scene = Scene::new()?;
    let few = scene.place(FEW, FEW, "")?;
    let many = scene.place(size, used, "")?;
    scene.use_once(&few.gateway, &few.requests)?;
    scene.use_once(&many.gateway, &many.requests[..FEW])?;
    thread::sleep(SETTLE);
    let resident = |gateway: &TestGateway| resident_bytes(gateway.process_id());
    let (small, large) = (resident(&few.gateway)?, resident(&many.gateway)?);
    scene.use_once(&many.gateway, &many.requests)?;
    thread::sleep(SETTLE);
    let held = resident(&many.gateway)?;

    say(&format!("\nmemory: {FEW} keys in use, and more\n"));
    let mut table = Table::new(["", "resident MiB", "bytes a key beyond"]);
    let mib = |bytes: u64| format!("{:.1}", bytes as f64 / f64::from(1 << 20));
    let each = |more: u64, less: u64, keys: usize| {
        format!("{:.0}", (more as f64 - less as f64) / keys as f64)
    };
    table.row([format!("{FEW} in the store, {FEW} in use"), mib(small), String::new()]);
    let beyond = each(large, small, size - FEW);
    table.row([format!("{size} in the store, {FEW} in use"), mib(large), beyond]);
    let beyond = each(held, large, used - FEW);
    table.row([format!("{size} in the store, {used} in use"), mib(held), beyond]);
    say(&table.to_string());
    Ok(())
}

/// What a process has of the memory now.
pub fn resident_bytes(process: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.strip_suffix(" kB"));
    Ok(kib.context("the kernel tells no VmRSS")?.trim().parse::<u64>()? * 1024)
}
