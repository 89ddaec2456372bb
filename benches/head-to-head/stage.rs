//! What every scenario is played on: the proxies on their core, the traffic on its own.

use std::io::{Write as _, stdout};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::Flags;
use crate::check;
use crate::common::cores;
use crate::common::peer::BODY;
use crate::keys::Keys;
use crate::process::{Cores, Running};
use crate::proxies::{Certificate, Proxy, Setup, Site};
use crate::report::DIRECT;
use crate::traffic::{Endpoint, Load, Mode, Pace, Stream, Traffic};

/// High enough that the load never reaches it: it is counted and refuses nothing.
const LIMIT_PER_MINUTE: u32 = 1_000_000;
/// From connecting to the first request, so that a proxy has accepted what is there.
const SETTLE: Duration = Duration::from_millis(100);
/// How proxies are set up where the scenario says nothing else.
pub const OPEN: Setup<'static> =
    Setup { limit_per_minute: LIMIT_PER_MINUTE, workers: 1, tls: None };

/// The stage.
pub struct Stage<'a> {
    /// What was asked for.
    pub flags: &'a Flags,
    /// Whom all proxies let in.
    pub keys: &'a Keys,
    /// What proxies that serve TLS show.
    pub certificate: &'a Certificate,
    /// Clients and upstream.
    pub traffic: Traffic,
    /// The upstream itself, for what the way takes without a proxy.
    pub direct: Endpoint,
    folder: &'a Path,
    cores: Cores,
    /// Who was seen to do the work, in clear and over TLS.
    checked: Vec<(Proxy, bool)>,
}

/// A load and what it took.
pub struct Sample {
    /// What came of it.
    pub load: Load,
    /// What the proxy used for it, then and until it was at rest again.
    pub cpu: Duration,
    /// What it used until the last answer.
    pub cpu_under_load: Duration,
}

impl<'a> Stage<'a> {
    /// Takes the calling thread to the core of the load.
    pub fn new(
        flags: &'a Flags,
        keys: &'a Keys,
        certificate: &'a Certificate,
        folder: &'a Path,
    ) -> Result<Self> {
        let (load, proxy) = cores::two_cores()?;
        cores::pin(load)?;
        let cores = Cores { load: vec![load], proxy: vec![proxy] };
        let traffic = Traffic::new()?;
        let direct = Endpoint { address: traffic.upstream.address()?, tls: None };
        Ok(Self { flags, keys, certificate, traffic, direct, folder, cores, checked: Vec::new() })
    }

    /// Starts those of these proxies that were asked for, once each is seen to do the work, and has
    /// every key call once: keygate has confirmed each secret then.
    pub fn start(&mut self, proxies: &[Proxy], setup: Setup<'_>) -> Result<Vec<Running>> {
        let asked = proxies.iter().filter(|proxy| self.flags.proxies.contains(proxy));
        let proxies: Vec<_> = asked.copied().collect();
        for &proxy in &proxies {
            self.check(proxy, setup)?;
        }
        let mut running = Vec::new();
        for &proxy in &proxies {
            let one = self.launch(proxy, setup)?;
            self.warm_up(&one)?;
            running.push(one);
        }
        Ok(running)
    }

    /// The same with one that is measured in any case.
    pub fn start_one(&mut self, proxy: Proxy, setup: Setup<'_>) -> Result<Running> {
        self.check(proxy, setup)?;
        let running = self.launch(proxy, setup)?;
        self.warm_up(&running)?;
        Ok(running)
    }

    /// From now on the load and what is started have both cores.
    pub fn share_cores(&mut self) -> Result<()> {
        let (load, proxy) = (self.cores.load.clone(), self.cores.proxy.clone());
        let both = [load, proxy].concat();
        cores::pin_to(&both)?;
        self.cores = Cores { load: both.clone(), proxy: both };
        Ok(())
    }

    /// From now on each has one again.
    pub fn keep_cores_apart(&mut self) -> Result<()> {
        let both = &self.cores.load;
        let cores = Cores { load: vec![both[0]], proxy: vec![both[1]] };
        self.cores = cores;
        cores::pin_to(&self.cores.load)
    }

    /// Who is loaded when: each round begins with another.
    pub fn rounds(&self, proxies: usize) -> Vec<Vec<usize>> {
        let order = |round| (0..proxies).map(|place| (round + place) % proxies).collect();
        (0..self.flags.rounds as usize).map(order).collect()
    }

    /// Has every key call once and waits until the proxy is at rest. Before each load, so that what is
    /// measured is a proxy in use: keygate gives money back that was put aside for a key when it is not
    /// spent for a while, and while others are measured it is not.
    pub fn warm_up(&mut self, running: &Running) -> Result<()> {
        let requests = Box::new(self.keys.requests());
        let (to, pace) = (&running.endpoint, Pace::Closed);
        let stream = Stream { to, connections: 8, pace, body: BODY, requests };
        let load = self.traffic.run_one(Mode::Spin, stream, || Ok(()))?;
        ensure!(load.only(&[200]), "{} answered {:?} in the warm-up", running.proxy, load.others);
        running.cpu_time_at_rest()?;
        Ok(())
    }

    /// As many as are taken while a proxy is loaded in a round, from the first on.
    pub fn for_a_round<'b, T: 'b>(
        &self,
        mut requests: impl Iterator<Item = T> + 'b,
    ) -> Box<dyn Iterator<Item = T> + 'b> {
        let length = Duration::from_secs(self.flags.seconds);
        let mut end = None;
        Box::new(std::iter::from_fn(move || {
            let now = Instant::now();
            let end = *end.get_or_insert(now + length);
            (now < end).then(|| requests.next()).flatten()
        }))
    }

    /// So many requests as are due in that time.
    pub fn at<'b>(
        &self,
        per_second: u32,
        requests: impl Iterator<Item = &'b [u8]> + 'b,
    ) -> Box<dyn Iterator<Item = &'b [u8]> + 'b> {
        Box::new(requests.take(per_second as usize * self.flags.seconds as usize))
    }

    /// Loads a proxy, or the upstream itself.
    pub fn load(
        &mut self,
        proxy: Option<&Running>,
        mode: Mode,
        stream: Stream<'_>,
    ) -> Result<Sample> {
        self.measure(proxy, |traffic, connected| traffic.run_one(mode, stream, connected))
    }

    /// What a load comes to, and what the proxy uses for it from when all are connected.
    pub fn measure(
        &mut self,
        proxy: Option<&Running>,
        load: impl FnOnce(&mut Traffic, &mut dyn FnMut() -> Result<()>) -> Result<Load>,
    ) -> Result<Sample> {
        let cpu = |of: fn(&Running) -> Result<Duration>| proxy.map_or(Ok(Duration::ZERO), of);
        let name = proxy.map_or(DIRECT, |proxy| proxy.proxy.name());
        let mut before = Duration::ZERO;
        let mut connected = || {
            thread::sleep(SETTLE);
            before = cpu(Running::cpu_time)?;
            Ok(())
        };
        let load = load(&mut self.traffic, &mut connected);
        let load = load.with_context(|| format!("under load: {name}"))?;
        let under_load = cpu(Running::cpu_time)?.saturating_sub(before);
        let all = cpu(Running::cpu_time_at_rest)?.saturating_sub(before);
        ensure!(load.answered > 0, "{name} answered nothing");
        Ok(Sample { load, cpu: all, cpu_under_load: under_load })
    }

    fn check(&mut self, proxy: Proxy, setup: Setup<'_>) -> Result<()> {
        let kind = (proxy, setup.tls.is_some());
        if self.checked.contains(&kind) {
            return Ok(());
        }
        let running = self.launch(proxy, Setup { limit_per_minute: check::LOW_LIMIT, ..setup })?;
        check::does_the_work(&mut self.traffic, &running, self.keys)
            .with_context(|| format!("{proxy} does not do the work"))?;
        self.checked.push(kind);
        Ok(())
    }

    fn launch(&self, proxy: Proxy, setup: Setup<'_>) -> Result<Running> {
        let upstream = self.direct.address;
        let site = Site { folder: self.folder, upstream, keys: self.keys };
        Running::start(proxy, proxy.prepare(&site, setup)?, &self.cores)
    }
}

impl Sample {
    /// CPU for each answer, in microseconds.
    pub fn cpu_us(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.load.answered as f64
    }

    /// Which part of that came after the last answer.
    pub fn cpu_after_us(&self) -> f64 {
        let after = self.cpu.saturating_sub(self.cpu_under_load);
        after.as_secs_f64() * 1e6 / self.load.answered as f64
    }

    /// Answers in a second.
    pub fn per_second(&self) -> f64 {
        self.load.answered as f64 / self.load.elapsed.as_secs_f64()
    }

    /// How much of its core the proxy used under the load, in hundredths.
    pub fn busy(&self) -> f64 {
        self.cpu_under_load.as_secs_f64() / self.load.elapsed.as_secs_f64() * 100.0
    }
}

/// Says how far it is.
pub fn progress(what: &str) -> Result<()> {
    Ok(writeln!(stdout(), "{what}")?)
}
