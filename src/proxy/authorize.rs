//! Steps 5 to 8, once the secret is verified: may this key take this route now?
//!
//! The one rule: a [`Permit`] is made here and nowhere else, and nothing is forwarded without one.

use std::net::IpAddr;
use std::sync::Arc;

use super::plan::Plan;
use super::route::{Requirement, Route};
use crate::auth::Verified;
use crate::auth::table::{KeyEntry, KeyRecord, Moment, Rights};
use crate::domain::{Environment, Reason, Refusal};
use crate::limit::{SharedLimits, Standing};

/// Proof that a request may take its route now.
pub struct Permit {
    holder: Option<Holder>,
    standing: Option<Standing>,
}

/// Whose request it is, where it is a key's.
pub struct Holder {
    /// The key as it was read when the request was let through, and what it might do then.
    pub rights: Rights,
}

impl Permit {
    /// Whose request it is; `None` on a public route.
    pub fn holder(&self) -> Option<&Holder> {
        self.holder.as_ref()
    }

    /// How the limit nearest to its end stands; `None` where nothing is counted.
    pub fn standing(&self) -> Option<Standing> {
        self.standing
    }
}

/// The permit of a public route, which asks for nothing.
pub fn public(route: &Route) -> Option<Permit> {
    matches!(route.requirement, Requirement::Public)
        .then_some(Permit { holder: None, standing: None })
}

/// A key that passed every check but its limits.
pub struct Authorized<'a> {
    verified: &'a Verified,
    rights: Rights,
}

/// Takes a verified key through the checks that consume nothing, in the contract's order: status,
/// environment, address, scopes.
pub fn authorize<'a>(
    verified: &'a Verified,
    route: &Route,
    plan: &Plan,
    client: IpAddr,
    now: Moment,
) -> Result<Authorized<'a>, Refusal> {
    let record = verified.permitted(&plan.policy, now)?;
    let key = verified.key();
    check_environment(key, &record, route)?;
    check_address(key, &record, client)?;
    let rights = key.rights(arc_swap::Guard::into_inner(record), &plan.policy);
    check_scopes(&rights, route)?;
    Ok(Authorized { verified, rights })
}

/// Counts the request against the key's limits and the route's: all of them, or none. Waits only
/// where other instances share them.
pub async fn limit(
    authorized: Authorized<'_>,
    route: &Route,
    shared: Option<&SharedLimits>,
    now: Moment,
) -> Result<Permit, Refusal> {
    let Authorized { verified, rights } = authorized;
    let record = &rights.record;
    let (key, own, now_ms) = (verified.key(), &record.limits, now.monotonic_ms);
    let of_route = Some((route.id, route.limits.as_slice()));
    let standing = match shared {
        _ if !record.counted => None,
        None => key.counters.take(own, of_route, now_ms)?,
        Some(shared) => shared.take(&key.counters, &key.id, own, of_route, now_ms).await?,
    };
    Ok(Permit { holder: Some(Holder { rights }), standing })
}

/// Test keys may only where the route lets them. A key whose ancestor is of the other environment,
/// which no command makes, may nowhere.
pub fn check_environment(key: &KeyEntry, record: &KeyRecord, route: &Route) -> Result<(), Reason> {
    let environment = record.key.environment;
    if (environment == Environment::Test && !route.allow_test_keys)
        || !key.ancestors_are(environment)
    {
        return Err(Reason::EnvironmentNotAllowed);
    }
    Ok(())
}

/// The key's allowlist and each of its ancestors' must let the address in.
pub fn check_address(key: &KeyEntry, record: &KeyRecord, client: IpAddr) -> Result<(), Reason> {
    if record.admits(client) && key.ancestors_admit(client) {
        return Ok(());
    }
    Err(Reason::IpNotAllowed)
}

/// One AND; the missing scope is looked for only where there is one.
pub fn check_scopes(rights: &Rights, route: &Route) -> Result<(), Refusal> {
    let scopes = rights.scopes();
    match &route.requirement {
        Requirement::Public => Ok(()),
        Requirement::All(all, _) if scopes.contains_all(all) => Ok(()),
        Requirement::All(_, each) => {
            let missing = each.iter().find(|(one, _)| !scopes.contains_all(one));
            let (_, name) = missing.expect("a set that is not contained lacks one of its scopes");
            Err(Refusal::MissingScope(Arc::clone(name)))
        }
        Requirement::Any(any, _) if scopes.contains_any(any) => Ok(()),
        Requirement::Any(_, names) => Err(Refusal::MissingScope(Arc::clone(names))),
    }
}
