//! Names for ids: people know keys, owners and tokens by what they called them.

use std::collections::{BTreeMap, BTreeSet};

use super::words::escaped;
use crate::admin::AdminState;
use crate::domain::id::DEFAULT_OWNER;
use crate::domain::{AdminTokenId, KeyId};
use crate::store::StoreError;

/// The names of keys, owners and tokens, by their ids.
#[derive(Default)]
pub(super) struct Names(BTreeMap<String, String>);

/// Something that an id stands for: `named` in `named.html`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    /// The id.
    pub(super) id: String,
    /// What people call it, where it is still there.
    pub(super) name: Option<String>,
    /// Its page, where it has one.
    pub(super) address: Option<String>,
}

impl Names {
    /// The names of these; ids that nothing is known of are left out.
    pub(super) async fn of<'a>(
        state: &AdminState,
        ids: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, StoreError> {
        let mut names = BTreeMap::new();
        let mut keys = Vec::new();
        for id in ids.into_iter().collect::<BTreeSet<_>>() {
            match Kind::of(id) {
                Kind::Key => keys.push(KeyId::from_text(id)),
                Kind::Owner => {
                    if let Some(owner) = state.store.owner(id).await? {
                        names.insert(owner.id.to_string(), owner.name);
                    }
                }
                Kind::Token => {
                    if let Some(token) = state.store.token(&AdminTokenId::from_text(id)).await? {
                        names.insert(token.id.to_string(), token.name);
                    }
                }
                Kind::Other => {}
            }
        }
        for loaded in state.store.load_keys(&keys).await? {
            names.insert(loaded.key.key.id.to_string(), loaded.key.key.name);
        }
        Ok(Self(names))
    }

    /// That id with its name and page.
    pub(super) fn named(&self, id: &str) -> Named {
        let address = match Kind::of(id) {
            Kind::Key => Some(format!("/keys/{}", escaped(id))),
            Kind::Owner => Some(format!("/owners/{}", escaped(id))),
            Kind::Token => Some("/settings#tokens".to_owned()),
            Kind::Other => None,
        };
        Named { id: id.to_owned(), name: self.0.get(id).cloned(), address }
    }
}

impl Named {
    /// What it is called, failing that its id.
    pub(super) fn called(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.id)
    }

    /// Whether its id says more than its name does.
    pub(super) fn has_name(&self) -> bool {
        self.name.as_ref().is_some_and(|name| *name != self.id)
    }
}

/// What an id stands for.
enum Kind {
    Key,
    Owner,
    Token,
    Other,
}

impl Kind {
    fn of(id: &str) -> Self {
        match id.split_once('_') {
            Some(("key", _)) => Self::Key,
            Some(("own", _)) => Self::Owner,
            Some(("adm", _)) => Self::Token,
            None if id == DEFAULT_OWNER => Self::Owner,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_leads_to_the_page_of_what_it_stands_for() {
        let address = |id| Names::default().named(id).address;
        assert_eq!(address("key_1").as_deref(), Some("/keys/key_1"));
        assert_eq!(address("own_1").as_deref(), Some("/owners/own_1"));
        assert_eq!(address("default").as_deref(), Some("/owners/default"));
        assert_eq!(address("adm_1").as_deref(), Some("/settings#tokens"));
        assert_eq!(address("ses_1"), None);
        assert_eq!(address("key_/../x?").as_deref(), Some("/keys/key_%2F..%2Fx%3F"));
    }

    #[test]
    fn what_has_no_name_is_called_by_its_id() {
        let names = Names([("key_1".to_owned(), "ci".to_owned())].into());
        assert_eq!((names.named("key_1").called(), names.named("key_2").called()), ("ci", "key_2"));
        assert!(names.named("key_1").has_name() && !names.named("key_2").has_name());
    }
}
