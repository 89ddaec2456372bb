//! The counts on record, `expected.toml` beside this file: a step a line.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

/// A count may be so much off, up or down: what became cheaper goes on record too, else it could be
/// lost again unseen.
const SLACK: f64 = 0.05;
/// And so many instructions at least, for steps of a handful.
const SLACK_AT_LEAST: f64 = 2.0;
const HEAD: &str = "\
# Instructions that each step takes, on x86-64 with AVX2. Written by
# `KEYGATE_UPDATE=1 cargo bench --bench instructions`.
";

/// Instructions by step.
pub struct Record {
    path: PathBuf,
    before: BTreeMap<String, f64>,
    now: BTreeMap<String, f64>,
}

/// What a count is beside the one on record.
pub struct Verdict {
    before: Option<f64>,
    now: f64,
}

impl Record {
    /// What is on record.
    pub fn read() -> Result<Self> {
        let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions"));
        let path = path.join("expected.toml");
        let about = || format!("cannot read {}", path.display());
        let text = fs::read_to_string(&path).with_context(about)?;
        let before: BTreeMap<String, f64> = toml::from_str(&text).with_context(about)?;
        Ok(Self { now: before.clone(), before, path })
    }

    /// Takes a count down.
    pub fn judge(&mut self, step: &str, now: f64) -> Verdict {
        // A tenth of an instruction is nobody's.
        let now = (now * 10.0).round() / 10.0;
        self.now.insert(step.to_owned(), now);
        Verdict { before: self.before.get(step).copied(), now }
    }

    /// Puts what was taken down on record, and off it what is no step any more.
    pub fn write(mut self, is_step: impl Fn(&str) -> bool) -> Result<()> {
        self.now.retain(|step, _| is_step(step));
        let text = format!("{HEAD}{}", toml::to_string(&self.now)?);
        fs::write(&self.path, text).with_context(|| format!("cannot write {}", self.path.display()))
    }
}

impl Verdict {
    /// Whether it is as on record.
    pub fn is_well(&self) -> bool {
        let slack = |before: f64| (before * SLACK).max(SLACK_AT_LEAST);
        self.before.is_some_and(|before| (self.now - before).abs() <= slack(before))
    }
}

impl Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { before, now } = self;
        let verdict = if self.is_well() { "" } else { "  OFF" };
        match before {
            Some(before) => write!(f, "{now:>8.1}, on record {before:>8.1}{verdict}"),
            None => write!(f, "{now:>8.1}, not on record{verdict}"),
        }
    }
}
