//! From the start of a process to its first 200 with a million keys in Postgres, for a key at random,
//! and to the first 200 of `/readyz`; with and without a cache key.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use rand::RngExt as _;
use rustix::process::Signal;
use tempfile::NamedTempFile;

use super::scene::{Place, Scene};
use crate::stage::plans::random;
use crate::stage::report::{Table, median, ms, say};
use crate::support::{Wire, bulk};

const USED: usize = 20_000;
const STARTS: usize = 7;
const PATIENCE: Duration = Duration::from_secs(30);
const READY: &[u8] = b"GET /readyz HTTP/1.1\r\nHost: admin\r\n\r\n";

/// One start, each from the process's beginning.
struct Times {
    listening: Duration,
    answered: Duration,
    ready: Duration,
}

/// Measures and prints.
pub fn run(quick: bool) -> Result<()> {
    let (size, starts) = if quick { (50_000, 2) } else { (1_000_000, STARTS) };
    say(&format!(
        "\nstart: {size} keys in Postgres, {USED} of them confirmed before; ms since the process \
         was started, medians of {starts} starts (most)\n"
    ));
    let mut table = Table::new(["cache key", "listens", "first 200", "first 200 of /readyz"]);
    for with_key in [false, true] {
        let file = cache_key()?;
        let config = format!("[cache]\nkey_file = \"{}\"", file.path().display());
        let mut scene = Scene::new()?;
        let place = scene.place(size, USED, if with_key { &config } else { "" })?;
        scene.use_once(&place.gateway, &place.requests)?;
        let times = start_often(&mut scene, place, starts)?;
        let cell = |time: fn(&Times) -> Duration| {
            let all: Vec<f64> = times.iter().map(|times| time(times).as_secs_f64()).collect();
            let most = all.iter().copied().fold(0.0, f64::max);
            let [middle, most] = [median(all), most].map(Duration::from_secs_f64).map(ms);
            format!("{middle} ({most})")
        };
        let name = if with_key { "yes" } else { "no" };
        let cells = [cell(|it| it.listening), cell(|it| it.answered), cell(|it| it.ready)];
        table.row([name.to_owned()].into_iter().chain(cells));
    }
    say(&table.to_string());
    Ok(())
}

/// Ends the gateway and starts another in its place, again and again.
fn start_often(scene: &mut Scene, place: Place, starts: usize) -> Result<Vec<Times>> {
    let mut random = random();
    let Place { mut gateway, requests } = place;
    let mut all = Vec::new();
    for _ in 0..starts {
        // The one before is ended first; what was confirmed there is in the store then.
        gateway.signal(Signal::TERM);
        ensure!(gateway.wait().success(), "the gateway did not end well");
        let begun = Instant::now();
        let next = scene.another(&gateway)?;
        let listening = begun.elapsed();
        let request: &[u8] = &requests[random.random_range(0..requests.len())];
        let over = AtomicBool::new(false);
        let answered = thread::scope(|scope| {
            let asker = scope.spawn(|| {
                let _over = OverOnDrop(&over);
                until_200(next.address(), request, begun)
            });
            scene.clients.serve_until(&over)?;
            asker.join().map_err(|_| anyhow!("the harness has failed"))?
        })?;
        let ready = until_200(next.admin_address(), READY, begun)?;
        all.push(Times { listening, answered, ready });
        gateway = next;
    }
    Ok(all)
}

/// Says that it is over also where the harness fails.
struct OverOnDrop<'a>(&'a AtomicBool);

impl Drop for OverOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Asks until the answer is 200; how long that is after `begun`.
fn until_200(address: SocketAddr, request: &[u8], begun: Instant) -> Result<Duration> {
    let mut wire = Wire::connect(address);
    loop {
        wire.send(request);
        let status = wire.answer().status;
        let elapsed = begun.elapsed();
        if status == 200 {
            return Ok(elapsed);
        }
        ensure!(elapsed < PATIENCE, "still {status} after {PATIENCE:?}");
    }
}

/// As an operator would make it.
fn cache_key() -> Result<NamedTempFile> {
    let mut file = NamedTempFile::new()?;
    write!(file, "{}", bulk::unknown_secret().expose())?;
    Ok(file)
}
