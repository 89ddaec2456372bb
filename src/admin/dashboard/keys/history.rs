//! What was done to a key lately, as the audit log has it.

use crate::admin::AdminState;
use crate::admin::dashboard::PageError;
use crate::admin::dashboard::audit::changes::{Change, changes};
use crate::admin::dashboard::names::{Named, Names};
use crate::admin::dashboard::words::Moment;
use crate::domain::KeyId;
use crate::store::{AuditFilter, PageRequest};

/// Rows that the page of a key shows.
const SHOWN: u32 = 10;

/// One change.
pub(super) struct Entry {
    pub(super) at: Moment,
    pub(super) actor: Named,
    pub(super) address: Option<String>,
    pub(super) action: String,
    pub(super) changes: Vec<Change>,
    pub(super) reason: Option<String>,
}

/// The newest changes of a key.
pub(super) async fn history(state: &AdminState, key: &KeyId) -> Result<Vec<Entry>, PageError> {
    let filter = AuditFilter { target: Some(key.to_string()), ..AuditFilter::default() };
    let page = state.store.audit(&filter, &PageRequest { after: None, limit: SHOWN }).await?;
    let (now, actors) = (state.now(), page.rows.iter().map(|row| id(&row.actor)));
    let names = Names::of(state, actors).await?;
    let entries = page.rows.iter().map(|row| Entry {
        at: Moment::new(row.at, now),
        actor: names.named(id(&row.actor)),
        address: row.address.clone(),
        action: row.action.clone(),
        changes: changes(row.before.as_ref(), row.after.as_ref()),
        reason: row.reason.clone().filter(|reason| !reason.is_empty()),
    });
    Ok(entries.collect())
}

/// The id in `token:ID` and `key:ID`, else the actor as it is.
fn id(actor: &str) -> &str {
    let of = |prefix| actor.strip_prefix(prefix);
    of("token:").or_else(|| of("key:")).unwrap_or(actor)
}
