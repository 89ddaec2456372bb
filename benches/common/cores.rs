//! Which cores there are, and who runs on which.

use anyhow::{Context as _, Result};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The first and the last core that this process may use: one for the load, one for the proxies.
pub fn two_cores() -> Result<(usize, usize)> {
    let allowed = sched_getaffinity(None)?;
    let mut cores = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
    let first = cores.next().context("there is a core")?;
    let last = cores.next_back().context("two cores are needed, one of them for the proxy")?;
    Ok((first, last))
}

/// Keeps this thread, and what it starts from now on, on one core.
pub fn pin(core: usize) -> Result<()> {
    pin_to(&[core])
}

/// The same for several cores.
pub fn pin_to(cores: &[usize]) -> Result<()> {
    let mut set = CpuSet::new();
    for core in cores {
        set.set(*core);
    }
    sched_setaffinity(None, &set).context("cannot pin to a core")
}
