//! Which keys are asked for: the list's search and filters, as its address has them.

use std::time::Duration;

use crate::admin::AdminState;
use crate::admin::dashboard::{Fields, PageError};
use crate::domain::rotation::{earlier, later};
use crate::domain::{Environment, KeyId, KeyStatus};
use crate::store::{KeyFilter, Overdue};

/// What "unused" means here.
pub(in crate::admin::dashboard) const UNUSED: Duration = Duration::from_hours(30 * 24);
/// What "expiring" means here.
pub(in crate::admin::dashboard) const EXPIRING: Duration = Duration::from_hours(7 * 24);

/// A question for keys: what is asked, and where that has no answer, why.
pub(super) struct KeyQuery {
    /// As the store is asked; `None`: nothing can match.
    pub(super) filter: Option<KeyFilter>,
    /// Why nothing can match.
    pub(super) wrong: Option<String>,
}

impl KeyQuery {
    /// Reads the fields of the list's address.
    pub(super) async fn read(state: &AdminState, asked: &Fields) -> Result<Self, PageError> {
        let (now, loaded) = (state.now(), state.loaded());
        let named = asked.given("owner");
        let owner = match named {
            Some(named) => state.store.owner(named).await?.map(|owner| owner.id),
            None => None,
        };
        if let (Some(named), None) = (named, &owner) {
            let wrong = Some(format!("There is no owner “{named}”."));
            return Ok(Self { filter: None, wrong });
        }
        let is_overdue = asked.given("overdue").is_some();
        let is_expiring = asked.given("expiring").is_some();
        let is_stale = is_overdue || is_expiring || asked.given("unused").is_some();
        let status = status(asked.text("status")).or(is_stale.then_some(KeyStatus::Active));
        Ok(Self {
            filter: Some(KeyFilter {
                owner,
                status: status.map(|status| (status, now)),
                environment: asked.text("environment").parse::<Environment>().ok(),
                unused_since: asked.given("unused").map(|_| earlier(now, UNUSED)),
                overdue: is_overdue.then(|| Overdue::under(&loaded.config.keys, now)),
                expiring: is_expiring.then(|| (now, later(now, EXPIRING))),
                parent: asked.given("parent").map(KeyId::from_text),
                scope: asked.given("scope").map(str::to_owned),
                search: asked.given("q").map(str::to_owned),
                ..KeyFilter::default()
            }),
            wrong: None,
        })
    }
}

fn status(name: &str) -> Option<KeyStatus> {
    KeyStatus::ALL.into_iter().find(|status| status.name() == name)
}
