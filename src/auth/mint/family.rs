//! Keys under a parent: what they take over from it, and how much of it they may have.
//!
//! Too wide a wish is refused, never clipped. What becomes wider later, because a key above was cut,
//! is bounded at every request: see [`crate::auth::table::Rights`].

use jiff::Timestamp;

use super::{Field, Mint, MintError};
use crate::config::Config;
use crate::domain::{AddressRange, Key, KeyId, KeyStatus, Limit, Millionths, ScopeSet};
use crate::store::KeyPatch;

/// The longest line of keys that is followed; a longer one is a cycle made by hand.
const LONGEST: usize = 16;

/// The keys above one: its parent, that one's parent, and so on. At least one.
pub(super) struct Line<'a> {
    keys: Vec<Key>,
    config: &'a Config,
}

impl<'a> Mint<'a> {
    /// A key and those above it: its parent, that one's parent, and so on.
    pub async fn family(&self, id: &KeyId) -> Result<Vec<Key>, MintError> {
        Ok(self.line(id).await?.keys)
    }

    /// The keys above a child of that parent.
    pub(super) async fn line(&self, parent: &KeyId) -> Result<Line<'a>, MintError> {
        let mut keys = Vec::new();
        let mut next = Some(parent.clone());
        while keys.len() < LONGEST
            && let Some(id) = next.take()
        {
            let key = self.key(&id).await?.key;
            next.clone_from(&key.parent_id);
            keys.push(key);
        }
        Ok(Line { keys, config: self.config })
    }

    /// The same where the child is to be made: all of them must be alive, and none too many.
    pub(super) async fn line_to_extend(&self, parent: &KeyId) -> Result<Line<'a>, MintError> {
        let line = self.line(parent).await?;
        line.check_alive(self.clock.now())?;
        if self.owner(line.maker().owner_id.as_str()).await?.disabled {
            return Err(MintError::invalid("the parent's owner is disabled"));
        }
        let deepest = self.config.keys.max_depth;
        if line.keys.len() > deepest as usize {
            return Err(MintError::invalid(format!(
                "keys are at most {deepest} generations deep here (`keys.max_depth`)"
            )));
        }
        Ok(line)
    }
}

impl Line<'_> {
    /// The parent itself.
    pub(super) fn maker(&self) -> &Key {
        &self.keys[0]
    }

    /// A child that has taken over everything.
    pub(super) fn child(&self, name: String, now: Timestamp) -> Key {
        let maker = self.maker();
        Key {
            parent_id: Some(maker.id.clone()),
            scopes: self.scope_names(),
            limits: maker.limits.clone(),
            allowed_ips: maker.allowed_ips.clone(),
            expires_at: self.end(),
            ..Key::new(name, maker.owner_id.clone(), maker.environment, now)
        }
    }

    /// Whether a key under this line may have what the patch gives it.
    pub(super) fn check(&self, wish: &KeyPatch) -> Result<(), MintError> {
        if let Some(scopes) = &wish.scopes {
            self.check_scopes(scopes)?;
        }
        if let Some(end) = wish.expires_at {
            self.check_end(end)?;
        }
        if let Some(budget) = wish.monthly_budget.flatten() {
            self.check_budget(budget)?;
        }
        if let Some(ranges) = &wish.allowed_ips {
            self.check_addresses(ranges)?;
        }
        match &wish.limits {
            Some(limits) => self.check_limits(limits),
            None => Ok(()),
        }
    }

    fn check_alive(&self, now: Timestamp) -> Result<(), MintError> {
        let dead = self.keys.iter().find(|key| key.status(now) != KeyStatus::Active);
        let Some(dead) = dead else { return Ok(()) };
        let which = if dead.id == self.maker().id { "the parent" } else { "the parent's ancestor" };
        let status = dead.status(now).name();
        Err(MintError::invalid(format!("{which} {} is {status}", dead.id)))
    }

    fn check_scopes(&self, wished: &[String]) -> Result<(), MintError> {
        let held = self.scopes();
        let missing = |scope: &&String| !held.contains_all(&self.config.scopes.granted([scope]));
        match wished.iter().find(missing) {
            Some(scope) => Err(MintError::MissingScope(scope.clone())),
            None => Ok(()),
        }
    }

    fn check_end(&self, wished: Option<Timestamp>) -> Result<(), MintError> {
        let Some(end) = self.end() else { return Ok(()) };
        if wished.is_some_and(|wished| wished <= end) {
            return Ok(());
        }
        Err(too_wide(Field::Expiry, format!("the key that it is under ends {end}, and it with it")))
    }

    fn check_budget(&self, wished: Millionths) -> Result<(), MintError> {
        let most = self.keys.iter().filter_map(|key| key.monthly_budget).min();
        match most.filter(|most| wished > *most) {
            Some(most) => {
                Err(too_wide(Field::Budget, format!("the key that it is under may spend {most}")))
            }
            None => Ok(()),
        }
    }

    fn check_addresses(&self, wished: &[AddressRange]) -> Result<(), MintError> {
        for allowed in self.keys.iter().map(|key| &key.allowed_ips).filter(|it| !it.is_empty()) {
            let within = |wished: &AddressRange| allowed.iter().any(|it| wished.is_within(it));
            if wished.is_empty() {
                let why = "the key that it is under may not call from anywhere".to_owned();
                return Err(too_wide(Field::Addresses, why));
            }
            if let Some(outside) = wished.iter().find(|wished| !within(wished)) {
                let why = format!("the key that it is under may not call from all of {outside}");
                return Err(too_wide(Field::Addresses, why));
            }
        }
        Ok(())
    }

    /// Its limits bound those of its children, not those of all below.
    fn check_limits(&self, wished: &[Limit]) -> Result<(), MintError> {
        let (wished, held) = (self.in_force(wished), self.in_force(&self.maker().limits));
        match held.iter().find(|limit| !wished.iter().any(|wish| guarantees(*wish, **limit))) {
            Some(wider) => {
                Err(too_wide(Field::Limits, format!("the key that it is under is held to {wider}")))
            }
            None => Ok(()),
        }
    }

    fn in_force<'l>(&'l self, own: &'l [Limit]) -> &'l [Limit] {
        if own.is_empty() { &self.config.limits.per_key } else { own }
    }

    /// The first moment at which one of them ends.
    fn end(&self) -> Option<Timestamp> {
        self.keys.iter().filter_map(|key| key.expires_at).min()
    }

    /// What all of them may.
    fn scopes(&self) -> ScopeSet {
        let catalogue = &self.config.scopes;
        let sets = self.keys.iter().map(|key| catalogue.granted(&key.scopes));
        let shared = sets.reduce(|shared, set| shared.shared_with(&set));
        shared.expect("a line has at least one key")
    }

    /// The same in words: as the parent was granted them where those above it leave them whole.
    fn scope_names(&self) -> Vec<String> {
        let (catalogue, own) = (&self.config.scopes, &self.maker().scopes);
        if self.keys[1..].iter().all(|key| catalogue.cover(&key.scopes, own)) {
            return own.clone();
        }
        catalogue.named(&self.scopes()).into_iter().map(str::to_owned).collect()
    }
}

/// Whether whoever is held to `own` is also held to `wider`: any window of its length is made up of
/// so many of the other's.
fn guarantees(own: Limit, wider: Limit) -> bool {
    let (length, whole) = (u64::from(own.window.seconds()), u64::from(wider.window.seconds()));
    let windows = whole.div_ceil(length);
    windows * u64::from(own.max.get()) <= u64::from(wider.max.get())
}

fn too_wide(field: Field, why: String) -> MintError {
    MintError::TooWide { field, why }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_no_wider_if_it_keeps_the_other_one_wherever_a_window_begins() {
        for (own, wider, holds) in [
            ("60/min", "60/min", true),
            ("61/min", "60/min", false),
            ("1/s", "60/min", true),
            ("2/s", "60/min", false),
            ("1/min", "60/hour", true),
            ("60/hour", "60/min", true),
            ("61/hour", "60/min", false),
            ("4294967295/s", "4294967295/day", false),
        ] {
            let limit = |text: &str| -> Limit { text.parse().unwrap() };
            assert_eq!(guarantees(limit(own), limit(wider)), holds, "{own} for {wider}");
        }
    }
}
