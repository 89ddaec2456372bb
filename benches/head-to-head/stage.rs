//! What every scenario is played on: the proxies on their core, the traffic on its own.

use std::io::{Write as _, stdout};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::Flags;
use crate::check;
use crate::common::cores;
use crate::common::peer::BODY;
use crate::keys::Keys;
use crate::process::{Cores, Running};
use crate::proxies::{Certificate, Proxy, Setup, Site};
use crate::traffic::{Endpoint, Load, Mode, Pace, Stream, Traffic};

/// High enough that the load never reaches it: it is counted and refuses nothing.
const LIMIT_PER_MINUTE: u32 = 1_000_000;
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
    /// What the proxy used.
    pub cpu: Duration,
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
    pub fn rounds(&self, proxies: usize) -> Vec<(usize, Vec<usize>)> {
        let order = |round| (0..proxies).map(|place| (round + place) % proxies).collect();
        (0..self.flags.rounds as usize).map(|round| (round, order(round))).collect()
    }

    /// Requests for as long as each proxy is loaded in a round.
    pub fn for_a_round<'b>(
        &self,
        requests: impl Iterator<Item = &'b [u8]> + 'b,
    ) -> Box<dyn Iterator<Item = &'b [u8]> + 'b> {
        let end = Instant::now() + self.length();
        Box::new(requests.take_while(move |_| Instant::now() < end))
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
        let (cpu, mut loads) = self.load_all(proxy, mode, vec![stream])?;
        Ok(Sample { load: loads.remove(0), cpu })
    }

    /// The same with several streams: the CPU is what they took together.
    pub fn load_all(
        &mut self,
        proxy: Option<&Running>,
        mode: Mode,
        streams: Vec<Stream<'_>>,
    ) -> Result<(Duration, Vec<Load>)> {
        let name = proxy.map_or("direct", |proxy| proxy.proxy.name());
        let cpu = || proxy.map_or(Ok(Duration::ZERO), Running::cpu_time);
        let before = cpu()?;
        let loads = self.traffic.run(mode, streams);
        let loads = loads.with_context(|| format!("under load: {name}"))?;
        ensure!(loads.iter().all(|load| load.answered > 0), "{name} answered nothing");
        Ok((cpu()?.saturating_sub(before), loads))
    }

    /// How long a proxy is loaded in a round.
    pub fn length(&self) -> Duration {
        Duration::from_secs(self.flags.seconds)
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

    fn warm_up(&mut self, running: &Running) -> Result<()> {
        let requests = Box::new(self.keys.requests());
        let (to, pace) = (&running.endpoint, Pace::Closed);
        let stream = Stream { to, connections: 8, pace, body: BODY, requests };
        let load = self.traffic.run_one(Mode::Spin, stream)?;
        ensure!(load.only(&[200]), "{} answered {:?} in the warm-up", running.proxy, load.others);
        Ok(())
    }
}

impl Sample {
    /// CPU for each answer, in microseconds.
    pub fn cpu_us(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.load.answered as f64
    }

    /// Answers in a second.
    pub fn per_second(&self) -> f64 {
        self.load.answered as f64 / self.load.elapsed.as_secs_f64()
    }

    /// How much of its core the proxy used, in hundredths.
    pub fn busy(&self) -> f64 {
        self.cpu.as_secs_f64() / self.load.elapsed.as_secs_f64() * 100.0
    }
}

/// Says how far it is.
pub fn progress(what: &str) -> Result<()> {
    Ok(writeln!(stdout(), "{what}")?)
}
