//! The table: medians over the rounds, and ratios taken within each round.

use std::fmt;
use std::time::Duration;

use crate::traffic::Load;

/// The one that all are compared with.
const YARDSTICK: &str = "nginx";
/// Below this share of its core in use, a proxy was not at its limit.
const FULL: f64 = 0.95;

/// One proxy in one round.
#[derive(Clone, Copy)]
pub struct Sample {
    cpu_us: f64,
    per_second: f64,
    p50_us: f64,
    p99_us: f64,
    memory_mib: f64,
    busy: f64,
}

impl Sample {
    /// What the load says of a proxy that used `cpu_time` for it.
    pub fn new(load: &mut Load, cpu_time: Duration, memory_kib: u64) -> Self {
        let answered = load.answered as f64;
        let elapsed = load.elapsed.as_secs_f64();
        Self {
            cpu_us: cpu_time.as_secs_f64() * 1e6 / answered,
            per_second: answered / elapsed,
            p50_us: load.latency_us(50),
            p99_us: load.latency_us(99),
            memory_mib: memory_kib as f64 / 1_024.0,
            busy: cpu_time.as_secs_f64() / elapsed,
        }
    }
}

/// All samples, by name in the order of their coming.
#[derive(Default)]
pub struct Report {
    rows: Vec<(&'static str, Vec<Sample>)>,
}

impl Report {
    /// Adds a round's sample.
    pub fn add(&mut self, name: &'static str, sample: Sample) {
        match self.rows.iter_mut().find(|(known, _)| *known == name) {
            Some((_, samples)) => samples.push(sample),
            None => self.rows.push((name, vec![sample])),
        }
    }

    fn row(&self, name: &str) -> Option<&[Sample]> {
        let (_, samples) = self.rows.iter().find(|(known, _)| *known == name)?;
        Some(samples)
    }

    /// The medians of a figure and of its ratio to the yardstick's in the same round.
    fn cell(
        &self,
        samples: &[Sample],
        digits: usize,
        figure: impl Fn(usize, &Sample) -> f64,
    ) -> String {
        let figures: Vec<_> = samples.iter().enumerate().map(|(n, s)| figure(n, s)).collect();
        let ratio = self.row(YARDSTICK).map(|yardstick| {
            let ratios = figures.iter().zip(yardstick).enumerate();
            let ratios = ratios.map(|(round, (f, sample))| f / figure(round, sample));
            format!(" ({:.2})", median(ratios.collect()))
        });
        format!("{:.digits$}{}", median(figures), ratio.unwrap_or_default())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direct = self.row("direct").unwrap_or_default();
        let line = |f: &mut fmt::Formatter<'_>, cells: [&str; 7]| {
            write!(f, "| {:<8} |", cells[0])?;
            cells[1..].iter().try_for_each(|cell| write!(f, " {cell:>16} |"))?;
            writeln!(f)
        };
        line(
            f,
            [
                "",
                "CPU µs/request",
                "requests/s",
                "p50 added µs",
                "p99 added µs",
                "memory MiB",
                "core in use",
            ],
        )?;
        line(f, ["---", "---:", "---:", "---:", "---:", "---:", "---:"])?;
        for (name, samples) in &self.rows {
            let busy = median(samples.iter().map(|sample| sample.busy).collect());
            if *name == "direct" {
                let p50 =
                    format!("{:.0} in all", median(samples.iter().map(|s| s.p50_us).collect()));
                let p99 =
                    format!("{:.0} in all", median(samples.iter().map(|s| s.p99_us).collect()));
                let rate = format!("{:.0}", median(samples.iter().map(|s| s.per_second).collect()));
                line(f, [name, "", &rate, &p50, &p99, "", ""])?;
                continue;
            }
            let busy_text = format!("{:.0} %", busy * 100.0);
            line(
                f,
                [
                    name,
                    &self.cell(samples, 2, |_, s| s.cpu_us),
                    &self.cell(samples, 0, |_, s| s.per_second),
                    &self.cell(samples, 0, |round, s| s.p50_us - direct[round].p50_us),
                    &self.cell(samples, 0, |round, s| s.p99_us - direct[round].p99_us),
                    &self.cell(samples, 1, |_, s| s.memory_mib),
                    &busy_text,
                ],
            )?;
        }
        for (name, samples) in self.rows.iter().filter(|(name, _)| *name != "direct") {
            if median(samples.iter().map(|sample| sample.busy).collect()) < FULL {
                writeln!(
                    f,
                    "{name}: its core was not full; its requests/s and latency are the load's too."
                )?;
            }
        }
        Ok(())
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    if figures.len() % 2 == 1 {
        figures[middle]
    } else {
        f64::midpoint(figures[middle - 1], figures[middle])
    }
}
