//! One measurement behind the other.

use std::thread;

use anyhow::{Result, anyhow};

use super::report::say;

/// Takes each, and goes on behind one that fails; the last failure, if there was one.
pub fn each<M: Sync>(
    measurements: impl IntoIterator<Item = M>,
    take: impl Fn(&M) -> Result<()> + Sync,
) -> Result<()> {
    let mut outcome = Ok(());
    for measurement in measurements {
        // A thread each, so that one that pins itself to a core leaves the others alone.
        let run = thread::scope(|scope| scope.spawn(|| take(&measurement)).join());
        let run = run.unwrap_or_else(|_| Err(anyhow!("the harness has failed; see above")));
        if let Err(error) = run {
            say(&format!("WRONG: {error:#}"));
            outcome = Err(error);
        }
    }
    outcome
}
