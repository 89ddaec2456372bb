//! Owners: finding one by what was typed, making one, switching one.

use super::{Mint, MintError, is_name, rules};
use crate::domain::{Owner, OwnerId};
use crate::store::PageRequest;

/// Names that a suggestion is looked for among.
const SUGGESTED_AMONG: u32 = 1_000;

impl Mint<'_> {
    /// The owner with that id or name; where there is none, the error names the nearest.
    pub async fn owner(&self, id_or_name: &str) -> Result<Owner, MintError> {
        rules::no_secret(id_or_name, "an owner", &self.config.keys.format)?;
        if !is_name(id_or_name) {
            return Err(MintError::invalid("an owner's name or id has no control characters"));
        }
        if let Some(owner) = self.store.owner(id_or_name).await? {
            return Ok(owner);
        }
        let page = PageRequest { after: None, limit: SUGGESTED_AMONG };
        let owners = self.store.owners(&page).await?.rows;
        let scored = owners.iter().map(|o| (strsim::jaro_winkler(id_or_name, &o.name), &o.name));
        let nearest = scored.filter(|(score, _)| *score > 0.7).max_by(|a, b| a.0.total_cmp(&b.0));
        Err(MintError::NoSuchOwner {
            name: id_or_name.to_owned(),
            nearest: nearest.map(|(_, name)| name.clone()),
        })
    }

    /// Makes an owner. The name is unique and can't be taken for an id.
    pub async fn create_owner(&self, name: String) -> Result<Owner, MintError> {
        rules::name(&name, &self.config.keys.format)?;
        if name.starts_with("own_") {
            return Err(MintError::invalid("an owner's name doesn't begin with `own_`, as ids do"));
        }
        let owner = Owner::new(OwnerId::mint(), name, self.clock.now());
        self.store.create_owner(&self.act(), &owner).await?;
        Ok(owner)
    }

    /// Switches an owner off, which stops all its keys at once, or on again.
    pub async fn set_owner_disabled(
        &self,
        id_or_name: &str,
        disabled: bool,
    ) -> Result<Owner, MintError> {
        let mut owner = self.owner(id_or_name).await?;
        self.store.set_owner_disabled(&self.act(), &owner.id, disabled).await?;
        owner.disabled = disabled;
        Ok(owner)
    }
}
