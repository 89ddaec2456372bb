//! `migrate`: the store's schema, brought up to date or looked at.

use clap::Args;

use super::failure::Result;
use super::{Globals, session};
use crate::store::SchemaStatus;

/// `migrate`.
#[derive(Debug, Args)]
pub(crate) struct Migrate {
    /// Only say which migrations the store lacks
    #[arg(long)]
    status: bool,
}

/// Migrates, or says what it would do.
pub(crate) async fn run(migrate: Migrate, globals: &Globals) -> Result {
    let loaded = session::load(globals)?;
    let store = session::open_store(&loaded.config).await?;
    let status =
        if migrate.status { store.schema_status().await? } else { store.migrate().await? };
    globals.output().show(&status, || in_words(&status, migrate.status))
}

fn in_words(status: &SchemaStatus, only_looked: bool) -> String {
    let SchemaStatus { found, needed, pending } = status;
    if found > needed {
        return format!(
            "The store is at version {found}, which a newer keygate made; this one needs {needed} \
             and works on it."
        );
    }
    if pending.is_empty() {
        return format!("The store is up to date, at version {needed}.");
    }
    let (heading, state) = if only_looked {
        (format!("The store is at version {found}, this keygate needs {needed}."), "pending")
    } else {
        (format!("The store is now at version {needed}."), "applied")
    };
    let lines = pending.iter().map(|name| format!("  {state}  {name}"));
    std::iter::once(heading).chain(lines).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_and_what_would_be_done_are_told_apart() {
        let status = SchemaStatus { found: 1, needed: 2, pending: vec!["0002 owners".to_owned()] };
        assert_eq!(
            in_words(&status, true),
            "The store is at version 1, this keygate needs 2.\n  pending  0002 owners"
        );
        assert_eq!(
            in_words(&status, false),
            "The store is now at version 2.\n  applied  0002 owners"
        );
        let newer = SchemaStatus { found: 3, needed: 2, pending: Vec::new() };
        assert_eq!(
            in_words(&newer, false),
            "The store is at version 3, which a newer keygate made; this one needs 2 and works on it."
        );
        let done = SchemaStatus { found: 2, needed: 2, pending: Vec::new() };
        assert_eq!(in_words(&done, true), "The store is up to date, at version 2.");
    }
}
