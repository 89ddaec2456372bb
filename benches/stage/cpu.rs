//! What processes have computed so far, to the nanosecond.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};

/// What all threads of a process have run for, user and system, ended ones left out: the
/// gateway's and Postgres's threads stay as long as they are measured.
pub fn of_process(id: u32) -> Result<Duration> {
    let mut sum = 0;
    for thread in fs::read_dir(format!("/proc/{id}/task"))? {
        // `man 5 proc` does not know it; the kernel's Documentation/scheduler/sched-stats.rst does.
        let stat = fs::read_to_string(thread?.path().join("schedstat"));
        let stat = stat.context("the kernel keeps no schedstat")?;
        let ran = stat.split(' ').next().context("schedstat begins with the time run")?;
        sum += ran.parse::<u64>()?;
    }
    Ok(Duration::from_nanos(sum))
}

/// The same of several processes.
pub fn of_processes(ids: &[u32]) -> Result<Duration> {
    ids.iter().map(|id| of_process(*id)).sum()
}
