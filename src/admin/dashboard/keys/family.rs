//! A key's place: what stands above it, and what it has under it.

use jiff::Timestamp;

use crate::admin::AdminState;
use crate::admin::dashboard::PageError;
use crate::admin::dashboard::words::Moment;
use crate::domain::{Key, KeyId, KeyStatus, KeyWithSecrets, Millionths};
use crate::store::{KeyFilter, PageRequest};

/// Children that a page shows.
pub(super) const SHOWN: u32 = 20;
/// Descendants that are counted; past it there are "more".
const COUNTED: u32 = 1_000;

/// A key above or under another one.
pub(super) struct Relative {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) status: &'static str,
    pub(super) scopes: Vec<String>,
    pub(super) last_used: Option<Moment>,
    pub(super) budget: Option<Millionths>,
}

impl Relative {
    pub(super) fn new(key: &Key, last_used: Option<Timestamp>, now: Timestamp) -> Self {
        Self {
            id: key.id.to_string(),
            name: key.name.clone(),
            status: key.status(now).name(),
            scopes: key.scopes.clone(),
            last_used: Moment::of(last_used, now),
            budget: key.monthly_budget,
        }
    }

    fn of(held: &KeyWithSecrets, now: Timestamp) -> Self {
        Self::new(&held.key, held.last_used_at(), now)
    }
}

/// A key's children, newest first, and whether there are more.
pub(super) async fn children(
    state: &AdminState,
    key: &KeyId,
) -> Result<(Vec<Relative>, bool), PageError> {
    let filter = KeyFilter { parent: Some(key.clone()), ..KeyFilter::default() };
    let page = state.store.keys(&filter, &PageRequest { after: None, limit: SHOWN }).await?;
    let now = state.now();
    let children = page.rows.iter().map(|held| Relative::of(held, now)).collect();
    Ok((children, page.next_cursor.is_some()))
}

/// The keys under one that would end with it, newest first, so many at most, and whether there are
/// more.
pub(super) async fn would_end(
    state: &AdminState,
    key: &KeyId,
) -> Result<(Vec<Relative>, bool), PageError> {
    let filter = KeyFilter { ancestor: Some(key.clone()), ..KeyFilter::default() };
    let page = state.store.keys(&filter, &PageRequest { after: None, limit: COUNTED }).await?;
    let now = state.now();
    let living = page.rows.iter().filter(|held| held.key.status(now) != KeyStatus::Revoked);
    let relatives = living.map(|held| Relative::of(held, now)).collect();
    Ok((relatives, page.next_cursor.is_some()))
}
