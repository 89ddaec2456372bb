//! Steps 5 to 8, once the secret is verified: may this key take this route now, and is it paid?
//!
//! The one rule: a [`Permit`] is made here and nowhere else, and nothing is forwarded without one.

use std::net::IpAddr;
use std::sync::Arc;

use super::plan::Plan;
use super::route::{Requirement, Route};
use crate::auth::Verified;
use crate::auth::table::{KeyEntry, KeyRecord, Moment, Rights};
use crate::domain::{Environment, Limit, Reason, Refusal};
use crate::limit::{Exceeded, RouteId, SharedLimits, Standing};
use crate::spend::{Now, Reservation, Spender};

/// Proof that a request may take its route now.
pub struct Permit {
    holder: Option<Holder>,
    standing: Option<Standing>,
    payment: Option<Reservation>,
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

    /// Takes out the money that is set aside for the request, where it must be paid for.
    pub fn take_payment(&mut self) -> Option<Reservation> {
        self.payment.take()
    }

    /// How the limit nearest to its end stands; `None` where nothing is counted.
    pub fn standing(&self) -> Option<Standing> {
        self.standing
    }
}

/// The permit of a public route, which asks for nothing.
pub fn public(route: &Route) -> Option<Permit> {
    matches!(route.requirement, Requirement::Public).then_some(Permit {
        holder: None,
        standing: None,
        payment: None,
    })
}

/// Where requests are counted and paid.
#[derive(Clone, Copy)]
pub struct Books<'a> {
    /// Limits that other instances share.
    pub shared: Option<&'a SharedLimits>,
    /// Budgets and credits.
    pub spender: &'a Spender,
}

impl Books<'_> {
    /// How limits of a key stand, its own and those of it on a route, by the very counters that decide;
    /// counts nothing.
    pub fn standings(
        self,
        key: &KeyEntry,
        own: &[Limit],
        route: Option<(RouteId, &[Limit])>,
        now_ms: u64,
    ) -> Vec<Standing> {
        match self.shared {
            None => key.counters.peek(own, route, now_ms),
            Some(shared) => shared.peek(&key.counters, &key.id, own, route, now_ms),
        }
    }
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

impl Authorized<'_> {
    /// The key as it was read when it passed.
    pub fn record(&self) -> &KeyRecord {
        &self.rights.record
    }
}

/// Sets aside what the request costs, then counts it against the key's limits and the route's: all of
/// it, or nothing. Waits only where other instances share the limits, or where this one does not hold
/// enough of the budget.
pub async fn admit(
    authorized: Authorized<'_>,
    route: &Route,
    books: Books<'_>,
    now: Moment,
) -> Result<Permit, Refusal> {
    let payment = match pay(&authorized, route, books.spender, now).await {
        Ok(payment) => payment,
        Err(reason) => return Err(exhausted(&authorized, route, now).unwrap_or(reason.into())),
    };
    let Authorized { verified, rights } = authorized;
    let record = &rights.record;
    let (key, own, now_ms) = (verified.key(), &record.limits, now.monotonic_ms);
    let of_route = Some((route.id, route.limits.as_slice()));
    let standing = match books.shared {
        _ if !record.counted => None,
        None => key.counters.take(own, of_route, now_ms)?,
        Some(shared) => shared.take(&key.counters, &key.id, own, of_route, now_ms).await?,
    };
    Ok(Permit { holder: Some(Holder { rights }), standing, payment })
}

/// The money comes before the limits, because what is set aside can be put back and what is counted
/// cannot. A request that is refused by a limit puts it back.
async fn pay(
    authorized: &Authorized<'_>,
    route: &Route,
    spender: &Spender,
    now: Moment,
) -> Result<Option<Reservation>, Reason> {
    if route.charge.is_free() {
        return Ok(None);
    }
    let key = authorized.verified.key();
    let Some(terms) = key.terms(authorized.record()) else { return Ok(None) };
    let now = Now { wall_ms: now.wall_ms, monotonic_ms: now.monotonic_ms };
    spender.reserve(key.purse(), route.charge.least(), terms, now).await.map(Some)
}

/// A limit that is reached is told before a budget that is spent: it is the earlier step.
fn exhausted(authorized: &Authorized<'_>, route: &Route, now: Moment) -> Option<Refusal> {
    let of_route = Some((route.id, route.limits.as_slice()));
    let counters = &authorized.verified.key().counters;
    let standings =
        counters.peek(&authorized.record().limits, of_route, now.monotonic_ms).into_iter();
    let reached = standings.filter(|standing| standing.remaining == 0);
    let standing = reached.max_by_key(|standing| standing.retry_after_ms)?;
    Some(Exceeded { standing }.into())
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
