//! A proxy's processes: started on their core, measured, stopped.

use std::fs::{self, File};
use std::io;
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::common::cores::pin_to;
use crate::proxies::{Prepared, Proxy};
use crate::stage::progress;
use crate::traffic::Endpoint;

/// How long a proxy may take to accept, and to end.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long it may take to come to rest after a load.
const REST: Duration = Duration::from_mins(1);
/// Between two looks whether it has; longer than keygate pauses between two bookings.
const LOOK: Duration = Duration::from_millis(300);
/// What may be used between two looks at rest.
const IDLE: Duration = TICK.saturating_mul(2);
/// A tick of `/proc/PID/stat`: Linux shows user space hundredths of a second on every machine.
const TICK: Duration = Duration::from_millis(10);

/// Who runs where.
#[derive(Clone)]
pub struct Cores {
    /// Clients and upstream.
    pub load: Vec<usize>,
    /// The proxies.
    pub proxy: Vec<usize>,
}

/// A proxy that accepts connections. Stopped when it is dropped.
pub struct Running {
    /// Which one.
    pub proxy: Proxy,
    /// Where it listens.
    pub endpoint: Endpoint,
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Starts it on its cores and waits until it accepts; the calling thread has its own.
    pub fn start(proxy: Proxy, mut prepared: Prepared, cores: &Cores) -> Result<Self> {
        let log = File::create(&prepared.log)?;
        prepared.command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        pin_to(&cores.proxy)?;
        let child = prepared.command.spawn();
        pin_to(&cores.load)?;
        let child = child.with_context(|| format!("cannot start {proxy}"))?;
        let mut running = Self { proxy, endpoint: prepared.endpoint, child, log: prepared.log };
        running.wait_until_it_accepts()?;
        Ok(running)
    }

    fn wait_until_it_accepts(&mut self) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        while TcpStream::connect(self.endpoint.address).is_err() {
            let ended = self.child.try_wait()?;
            if ended.is_some() || Instant::now() > end {
                let log = fs::read_to_string(&self.log)?;
                let state = ended.map_or("does not accept connections".to_owned(), |status| {
                    format!("ended, code {:?}, signal {:?}", status.code(), status.signal())
                });
                bail!("{} {state}; it said:\n{log}", self.proxy);
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// What all its processes and threads have used so far, to the tick of 10 ms.
    pub fn cpu_time(&self) -> Result<Duration> {
        let ticks = self.processes()?.iter().map(|process| process.ticks).sum::<u32>();
        Ok(TICK * ticks)
    }

    /// The same, once it has done what a load left to be done: keygate books usage after its answers.
    pub fn cpu_time_at_rest(&self) -> Result<Duration> {
        let end = Instant::now() + REST;
        let (mut used, mut quiet) = (self.cpu_time()?, 0);
        while quiet < 2 {
            if Instant::now() > end {
                progress(&format!("{} works on after {REST:?}; its CPU is more", self.proxy))?;
                break;
            }
            thread::sleep(LOOK);
            let now = self.cpu_time()?;
            quiet = if now.saturating_sub(used) <= IDLE { quiet + 1 } else { 0 };
            used = now;
        }
        Ok(used)
    }

    /// What its processes hold in memory, what they share counted once.
    pub fn memory_kib(&self) -> Result<u64> {
        let mut sum = 0;
        for process in self.processes()? {
            let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", process.id))?;
            let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
            let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
            sum += kib.context("smaps_rollup has a line for Pss")?.parse::<u64>()?;
        }
        Ok(sum)
    }

    /// The process that was started and its children.
    fn processes(&self) -> Result<Vec<ProcessStat>> {
        let own = self.child.id();
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let Some(id) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            // A process may end between the listing and the reading; ours do not.
            if let Some(stat) = ProcessStat::read(id)
                && (stat.id == own || stat.parent == own)
            {
                found.push(stat);
            }
        }
        ensure!(found.iter().any(|stat| stat.id == own), "{} has ended", self.proxy);
        Ok(found)
    }

    fn stop(&mut self) -> io::Result<()> {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(id) = id {
            kill_process(id, Signal::TERM)?;
        }
        let end = Instant::now() + PATIENCE;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > end {
                self.child.kill()?;
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A process that cannot be signalled has ended, which is what is wanted.
        let _ = self.stop();
    }
}

/// What is used here of `/proc/PID/stat` (`man 5 proc`).
struct ProcessStat {
    id: u32,
    parent: u32,
    /// User and system time of all its threads, ended ones too.
    ticks: u32,
}

impl ProcessStat {
    fn read(id: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        // The second field is the name in brackets and may hold anything; the third follows it.
        let fields: Vec<_> = stat[stat.rfind(')')? + 2..].split(' ').collect();
        let number = |place: usize| fields.get(place - 3)?.parse::<u32>().ok();
        Some(Self { id, parent: number(4)?, ticks: number(14)? + number(15)? })
    }
}
