//! The instructions of each step that every request takes, against those on record.
//!
//! `cargo bench --bench instructions [-- STEP…]` says what each takes now, and fails where that is more
//! than 5 % from `expected.toml`; `KEYGATE_UPDATE=1` before it puts the new counts on record. Needs
//! Debian's valgrind, whose callgrind counts what one function executes.
//!
//! A count does not depend on what else the machine does, nor on its speed. It depends on the compiler
//! and its options, the C library, and on which instructions the processor has (BLAKE3, memchr and memcpy
//! each have several versions); valgrind 3.19 shows at most AVX2. So another compiler may need new counts.

#![expect(unreachable_pub, reason = "the modules of one program; nothing here is public")]

mod record;
#[path = "../hot/steps/mod.rs"]
mod steps;

use std::env::current_exe;
use std::hint::black_box;
use std::io::{Write as _, stdout};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use clap::Parser as _;
use keygate::config::Environment;

use record::Record;

/// How often a step is taken: what is random in one (where its key lies in the table) evens out.
const TIMES: u32 = 10_000;

/// By its name on record: sets a step up and takes it so often under [`counted`].
const STEPS: &[(&str, fn())] = &[
    ("parse a secret", || take(steps::keys::parse())),
    ("digest a secret", || take(steps::keys::digest())),
    ("hit the key table of 10,000", || take(steps::keys::hit())),
    ("ask when to rotate", || take(steps::keys::rotate_by(false))),
    ("ask when to rotate, with a schedule", || take(steps::keys::rotate_by(true))),
    ("note a use", || take(steps::keys::note_a_use())),
    ("canonical path", || take(steps::way::canonical_path("/v1/agents/a1b2c3d4/runs"))),
    ("canonical path, encoded", || {
        take(steps::way::canonical_path("/v1/agents/caf%c3%a9%20%31/runs"));
    }),
    ("match a route among 10", || take(steps::way::match_a_route(10))),
    ("match a route among 10,000", || take(steps::way::match_a_route(10_000))),
    ("headers to upstream", || take(steps::way::headers_to_upstream())),
    ("check scopes of 9", || take(steps::rights::scopes(9))),
    ("check scopes of 200", || take(steps::rights::scopes(200))),
    ("step three windows", || take(steps::rights::three_windows())),
    ("refuse at a window", || take(steps::rights::refuse_at_a_window())),
    ("keep a refusal", || take(steps::way::keep_a_refusal("/v1/agents/a1b2c3d4/runs"))),
    ("write to the usage journal", || take(steps::books::write_to_the_journal())),
    ("set aside and settle", || take(steps::books::set_aside_and_settle())),
];

/// Counts the instructions of the hot steps.
#[derive(clap::Parser)]
struct Flags {
    /// Only those whose name has one of these words in it.
    words: Vec<String>,
    /// Takes one step, for callgrind to look at.
    #[arg(long, hide = true)]
    take: Option<String>,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let flags = Flags::parse();
    if let Some(name) = flags.take {
        let step = STEPS.iter().find(|(step, _)| *step == name);
        step.with_context(|| format!("there is no step {name:?}"))?.1();
        return Ok(());
    }
    if !flags.bench {
        return say("instructions are counted only by `cargo bench`");
    }
    let wanted = |name: &str| {
        flags.words.is_empty() || flags.words.iter().any(|word| name.contains(word.as_str()))
    };
    let mut record = Record::read()?;
    let mut wrong = 0;
    for (name, _) in STEPS.iter().filter(|(name, _)| wanted(name)) {
        let verdict = record.judge(name, count(name)?);
        wrong += u32::from(!verdict.is_well());
        say(&format!("{name:<36} {verdict}"))?;
    }
    if Environment::process().get("KEYGATE_UPDATE").is_some() {
        return record.write(|name| STEPS.iter().any(|(step, _)| *step == name));
    }
    if wrong > 0 {
        bail!(
            "{wrong} steps take another number of instructions than on record. If that is meant, or \
             the compiler is another: KEYGATE_UPDATE=1 cargo bench --bench instructions"
        );
    }
    Ok(())
}

/// Instructions that a step takes once, counted in a process of its own.
fn count(name: &str) -> Result<f64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .args(["--collect-atstart=no", "--toggle-collect=*instructions*counted*"])
        .arg(current_exe()?)
        .args(["--take", name])
        .output()
        .context("valgrind cannot be run; on Debian: apt-get install valgrind")?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the step {name:?} failed under valgrind:\n{told}");
    let collected = told.lines().find_map(|line| line.split_once("Collected : "));
    let collected = collected.and_then(|(_, number)| number.trim().parse::<u64>().ok());
    let collected = collected.filter(|number| *number > 0);
    let collected = collected.with_context(|| format!("callgrind saw nothing of it:\n{told}"))?;
    Ok(collected as f64 / f64::from(TIMES))
}

/// Takes a step so often: first uncounted, so that what it makes on its first use is there.
fn take<T>(mut step: impl FnMut() -> T) {
    for _ in 0..TIMES / 10 {
        black_box(step());
    }
    counted(&mut step);
}

/// What callgrind counts, by this name.
#[inline(never)]
fn counted<T>(step: &mut impl FnMut() -> T) {
    for _ in 0..TIMES {
        black_box(step());
    }
}

fn say(text: &str) -> Result<()> {
    Ok(writeln!(stdout(), "{text}")?)
}
