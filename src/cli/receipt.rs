//! Receipts of changes that take rights away: what the running instances have confirmed.

use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use tokio::time::Instant;

use super::failure::Result;
use super::output::{ago, say};
use super::session::Session;
use crate::cluster::Receipt;
use crate::cluster::receipt::{self, AT_MOST};
use crate::domain::SeenInstance;

/// Whether a command waits for its receipt.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Waiting {
    /// Do not wait until the running instances have confirmed it
    #[arg(long)]
    no_wait: bool,
}

impl Waiting {
    /// The receipt of what was committed just now, with a word on stderr about those who have not
    /// confirmed it. `None` where nobody waits, or where the store went away: it is done either way.
    pub(crate) async fn receipt(self, session: &Session) -> Result<Option<Receipt>> {
        if self.no_wait {
            return Ok(None);
        }
        let stale = session.config().cache.stale_if_down;
        match receipt::wait(&*session.store, Instant::now(), AT_MOST, stale).await {
            Ok(receipt) => {
                for line in warnings(&receipt, session.now(), stale) {
                    say(&line)?;
                }
                Ok(Some(receipt))
            }
            Err(error) => {
                let unknown = "which instances have confirmed it is not known";
                say(&format!("warning: it is done, but {unknown}: {error}"))?;
                Ok(None)
            }
        }
    }
}

/// What was done, and who has confirmed it, in a sentence.
pub(crate) fn confirmed(done: &str, receipt: Option<&Receipt>) -> String {
    match receipt {
        None => format!("{done}."),
        Some(receipt) => format!("{done}; {}.", receipt.in_words()),
    }
}

fn warnings(receipt: &Receipt, now: Timestamp, stale_if_down: Duration) -> Vec<String> {
    let late = receipt.late.iter().map(|late| {
        format!(
            "warning: {} has not confirmed it; until it does, it lets in whom it let in before",
            called(late)
        )
    });
    let silent = receipt.silent.iter().map(|silent| {
        let heard = Duration::from_millis(silent.seen_ms_ago);
        let left = receipt::trusted_for(stale_if_down).saturating_sub(heard);
        format!(
            "warning: {} was last heard of {} and is not counted; if it still runs, cut off from \
             the store, it may let in whom it let in before{}",
            called(silent),
            ago(silent.seen_ms_ago),
            until(now, left)
        )
    });
    let hint =
        "hint: `keygate instances` shows how far each one is; end one that does not catch up";
    let hint = (!receipt.late.is_empty() || !receipt.silent.is_empty()).then(|| hint.to_owned());
    late.chain(silent).chain(hint).collect()
}

fn called(seen: &SeenInstance) -> String {
    format!("instance {} on {}", seen.instance.id, seen.instance.host)
}

/// Where the end is past all time there is none.
fn until(now: Timestamp, left: Duration) -> String {
    now.checked_add(left)
        .map(|end| end.strftime(" until %Y-%m-%d %H:%M:%S UTC").to_string())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Instance, InstanceId, InstanceStatus};

    fn seen(status: InstanceStatus, seen_ms_ago: u64) -> SeenInstance {
        let instance = Instance {
            id: InstanceId::from_text("inst_1"),
            host: "web-1 (pid 7)".to_owned(),
            version: "1".to_owned(),
            started_at: Timestamp::UNIX_EPOCH,
            revision: 1,
            config_hash: String::new(),
        };
        SeenInstance { instance, status, lag_ms: 1, seen_ms_ago }
    }

    fn receipt(instances: usize, confirmed: usize, slowest_ms: Option<u64>) -> Receipt {
        Receipt { instances, confirmed, slowest_ms, silent: Vec::new(), late: Vec::new() }
    }

    #[test]
    fn the_sentence_says_how_many_of_how_many() {
        for (receipt, sentence) in [
            (None, "Done."),
            (Some(receipt(0, 0, None)), "Done; no instance is running."),
            (
                Some(receipt(1, 1, Some(4))),
                "Done; the one running instance has confirmed it, after 4 ms.",
            ),
            (
                Some(receipt(3, 3, Some(12))),
                "Done; all 3 running instances have confirmed it, the slowest after 12 ms.",
            ),
            (
                Some(receipt(3, 2, Some(12))),
                "Done; 2 of 3 running instances have confirmed it within 5 s.",
            ),
        ] {
            assert_eq!(confirmed("Done", receipt.as_ref()), sentence);
        }
    }

    #[test]
    fn who_has_not_confirmed_is_named_with_what_that_means() {
        let now = "2027-01-31T12:00:00Z".parse().unwrap();
        let incomplete = Receipt {
            late: vec![seen(InstanceStatus::Running, 400)],
            silent: vec![seen(InstanceStatus::Silent, 70_000)],
            ..receipt(1, 0, None)
        };
        let stale = Duration::from_mins(15);
        insta::assert_snapshot!(warnings(&incomplete, now, stale).join("\n"), @r"
        warning: instance inst_1 on web-1 (pid 7) has not confirmed it; until it does, it lets in whom it let in before
        warning: instance inst_1 on web-1 (pid 7) was last heard of 1 min ago and is not counted; if it still runs, cut off from the store, it may let in whom it let in before until 2027-01-31 12:14:00 UTC
        hint: `keygate instances` shows how far each one is; end one that does not catch up
        ");
        assert!(warnings(&receipt(1, 1, Some(1)), now, stale).is_empty());
    }
}
