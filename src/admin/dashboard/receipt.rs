//! Receipts of what takes rights away, in words.

use std::time::Duration;

use tokio::time::Instant;

use crate::admin::AdminState;
use crate::cluster::receipt::{self, AT_MOST};
use crate::domain::SeenInstance;

/// What the running instances said, in words.
pub(super) struct Words {
    /// How many have confirmed it, and how long the slowest took.
    pub(super) confirmed: String,
    /// Who may still let in whom it let in before, and for how long.
    pub(super) warnings: Vec<String>,
}

/// Waits for the receipt of what was committed at `committed`. It is done, whatever comes of this.
pub(super) async fn wait(state: &AdminState, committed: Instant) -> Words {
    let stale_if_down = state.loaded().config.cache.stale_if_down;
    match receipt::wait(&*state.store, committed, AT_MOST, stale_if_down).await {
        Ok(receipt) => Words {
            confirmed: sentence(&receipt.in_words()),
            warnings: warnings(&receipt.late, &receipt.silent, stale_if_down),
        },
        Err(error) => {
            tracing::warn!(%error, "who has confirmed a change is not known");
            Words {
                confirmed: "Which instances have confirmed it is not known: the store is out of \
                            reach."
                    .to_owned(),
                warnings: Vec::new(),
            }
        }
    }
}

fn sentence(clause: &str) -> String {
    let (first, rest) = clause.split_at(clause.ceil_char_boundary(1));
    format!("{}{rest}.", first.to_uppercase())
}

fn warnings(late: &[SeenInstance], silent: &[SeenInstance], stale: Duration) -> Vec<String> {
    let called = |seen: &SeenInstance| format!("{} on {}", seen.instance.id, seen.instance.host);
    let late = late.iter().map(|seen| {
        format!(
            "{} has not confirmed it; until it does, it lets in whom it let in before.",
            called(seen)
        )
    });
    let silent = silent.iter().map(|seen| {
        let heard = Duration::from_millis(seen.seen_ms_ago);
        let left = receipt::trusted_for(stale).saturating_sub(heard).as_secs();
        format!(
            "{} is not heard of any more. If it still runs, cut off from the store, it may let in \
             whom it let in before for another {left} s.",
            called(seen)
        )
    });
    late.chain(silent).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clause_becomes_a_sentence() {
        assert_eq!(sentence("no instance is running"), "No instance is running.");
        assert_eq!(sentence("2 of 3 have confirmed it"), "2 of 3 have confirmed it.");
    }
}
