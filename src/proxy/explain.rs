//! What would become of a request, said step by step: the same steps as [`super::handle`], with
//! nothing consumed and nothing sent. And of one that was refused, what became of it ([`refused`]).

mod money;
pub mod refused;
mod walk;

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::Guard;
use http::Method;
use jiff::Timestamp;
use thiserror::Error;

use self::money::Money;
use self::walk::{Case, Funds, Limits, told};
use super::authorize::{check_address, check_environment, check_scopes};
use super::path::canonical;
use super::plan::{Plan, PlanError};
use super::route::Route;
use crate::auth::Verified;
use crate::auth::table::{KeyTable, Moment, Rights};
use crate::config::Config;
use crate::domain::money::covers;
use crate::domain::{Clock, Explanation, KeyId, PublicId, Reason, Refusal};
use crate::key::SecretText;
use crate::key::hash::{Argon2Verifier, HashError};
use crate::limit::{Exceeded, Standing};
use crate::store::{Loaded, Store, StoreError};
use crate::telemetry::access::masked;

pub use walk::{Ground, Step};

/// A request that was not made.
pub struct Question {
    /// Its method.
    pub method: Method,
    /// Its path and query.
    pub path: String,
    /// What it comes with.
    pub credential: Credential,
    /// Where it comes from.
    pub client: IpAddr,
}

/// What a request comes with.
pub enum Credential {
    /// Nothing.
    None,
    /// A good secret of this key.
    Key(KeyId),
    /// This string.
    Secret(SecretText),
}

/// Why nothing could be explained.
#[derive(Debug, Error)]
pub enum ExplainError {
    /// The store could not be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A stored hash is unusable.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// The secret could not be checked.
    #[error("the secret could not be checked: {0}")]
    Broken(#[from] tokio::task::JoinError),
    /// The configuration cannot be put in force.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// There is no such key, or it never had a secret.
    #[error("there is no key {0} with a secret; `keygate key list` shows all keys")]
    NoKey(KeyId),
}

/// Where it is known what becomes of a request.
pub struct Sources<'a> {
    /// The configuration.
    pub plan: &'a Plan,
    /// Owners, keys, and what was spent.
    pub store: &'a dyn Store,
    /// What now is.
    pub clock: &'a Clock,
    /// How the limits of a running gateway stand that a key's request on a route is counted against.
    pub standings: &'a Standings<'a>,
}

/// How the limits stand, and whether each is the route's; `None`: nobody knows.
pub type Standings<'a> = dyn Fn(&KeyId, &Route) -> Option<Vec<(Standing, bool)>> + Send + Sync + 'a;

/// Takes a request through every check, and consumes nothing. Asks no running gateway, so it knows
/// what a limit is and not how much of it is left.
pub async fn explain(
    config: &Config,
    store: &dyn Store,
    clock: &Clock,
    question: Question,
) -> Result<Explanation, ExplainError> {
    let plan = Plan::new(Arc::new(config.clone()), 0)?;
    explain_by(Sources { plan: &plan, store, clock, standings: &|_, _| None }, question).await
}

/// The same by what a running gateway knows.
pub async fn explain_by(
    sources: Sources<'_>,
    question: Question,
) -> Result<Explanation, ExplainError> {
    let Sources { plan, store, clock, standings } = sources;
    let now = Moment { monotonic_ms: 0, wall_ms: clock.now_ms() };
    let presented = present(plan, store, now, question.credential).await?;
    let money = match &presented {
        Presented::Right(verified) => Money::of(verified.key(), store, now).await?,
        Presented::Nothing | Presented::Wrong(_) => Money::default(),
    };
    let (method, path, client) = (&question.method, &question.path, question.client);
    let canonical = canonical(path.split('?').next().unwrap_or_default());
    let found = canonical.as_ref().ok().map(|path| plan.router.find(method, path));
    let route = found.as_ref().and_then(|found| found.as_ref().ok().copied());
    let bearer = presented.right().map(|verified| Bearer::of(verified, plan));
    let limits = limits(bearer.as_ref(), route, standings);
    let reached = reached(&limits);
    let tightest = money.tightest();
    let mut judge = |step| match (step, route, &bearer) {
        (Step::Head, ..) => canonical.as_ref().map(drop).map_err(|why| Refusal::BadRequest(why)),
        (Step::Route, ..) => match &found {
            Some(Err(refusal)) => Err(refusal.clone()),
            _ => Ok(()),
        },
        (Step::Credential, ..) => match presented {
            Presented::Nothing => Err(Reason::MissingKey.into()),
            Presented::Wrong(_) | Presented::Right(_) => Ok(()),
        },
        (Step::Verify, _, None) => Err(Reason::InvalidKey.into()),
        (Step::Verify, _, Some(bearer)) => {
            Ok(bearer.verified.permitted(&plan.policy, now).map(drop)?)
        }
        (Step::Environment, Some(route), Some(bearer)) => {
            Ok(check_environment(bearer.verified.key(), &bearer.rights.record, route)?)
        }
        (Step::Address, _, Some(bearer)) => {
            Ok(check_address(bearer.verified.key(), &bearer.rights.record, client)?)
        }
        (Step::Scope, Some(route), Some(bearer)) => check_scopes(&bearer.rights, route),
        (Step::Limit, ..) => reached.clone().map_or(Ok(()), Err),
        (Step::Budget, Some(route), Some(bearer)) => match &tightest {
            Some((left, _, reason))
                if bearer.pays(route) && !covers(*left, route.charge.least()) =>
            {
                Err((*reason).into())
            }
            _ => Ok(()),
        },
        _ => Ok(()),
    };
    let case = Case {
        ground: &Ground::of(plan),
        method: method.to_string(),
        path: masked(path, &plan.config.keys.format).into_owned(),
        route,
        rights: bearer.as_ref().map(|bearer| &bearer.rights),
        wrong: presented.wrong(),
        client,
        limits,
        funds: Funds::Told(tightest.as_ref().map(|(_, told, _)| told.clone())),
    };
    Ok(told(&case, &mut judge))
}

/// Whose request it is, and what it may do.
struct Bearer<'a> {
    verified: &'a Verified,
    rights: Rights,
}

impl<'a> Bearer<'a> {
    fn of(verified: &'a Verified, plan: &Plan) -> Self {
        let key = verified.key();
        let record = Guard::into_inner(key.record(&plan.policy));
        Self { verified, rights: key.rights(record, &plan.policy) }
    }

    fn pays(&self, route: &Route) -> bool {
        self.rights.record.counted && !route.charge.is_free()
    }
}

fn limits(bearer: Option<&Bearer<'_>>, route: Option<&Route>, known: &Standings<'_>) -> Limits {
    let (Some(bearer), Some(route)) = (bearer, route) else { return Limits::Unknown };
    let record = &bearer.rights.record;
    let standings = known(&record.key.id, route).filter(|_| record.counted);
    standings.map_or(Limits::Unknown, Limits::Stand)
}

/// Of the limits that are reached, the one that is in the way longest.
fn reached(limits: &Limits) -> Option<Refusal> {
    let Limits::Stand(standings) = limits else { return None };
    let reached = standings.iter().map(|(standing, _)| *standing).filter(|it| it.remaining == 0);
    let standing = reached.max_by_key(|standing| standing.retry_after_ms)?;
    Some(Exceeded { standing }.into())
}

/// What is known of a credential.
enum Presented {
    Nothing,
    /// Not a secret of any key, and why not.
    Wrong(&'static str),
    Right(Verified),
}

impl Presented {
    fn right(&self) -> Option<&Verified> {
        match self {
            Self::Right(verified) => Some(verified),
            Self::Nothing | Self::Wrong(_) => None,
        }
    }

    fn wrong(&self) -> Option<&'static str> {
        match self {
            Self::Wrong(why) => Some(why),
            Self::Nothing | Self::Right(_) => None,
        }
    }
}

async fn present(
    plan: &Plan,
    store: &dyn Store,
    now: Moment,
    credential: Credential,
) -> Result<Presented, ExplainError> {
    match credential {
        Credential::None => Ok(Presented::Nothing),
        Credential::Key(id) => {
            let no_key = || ExplainError::NoKey(id.clone());
            let loaded = store.load_key(&id).await?.ok_or_else(no_key)?;
            let secrets = &loaded.key.secrets;
            let at = Timestamp::from_millisecond(now.wall_ms).unwrap_or_default();
            let live = secrets.iter().rev().find(|secret| secret.is_live(at));
            let secret = live.or(secrets.last()).ok_or_else(no_key)?.id;
            Ok(Presented::Right(verified(plan, store, now, loaded, secret).await?))
        }
        Credential::Secret(text) => present_secret(plan, store, now, text).await,
    }
}

async fn present_secret(
    plan: &Plan,
    store: &dyn Store,
    now: Moment,
    text: SecretText,
) -> Result<Presented, ExplainError> {
    let Some(parsed) = plan.config.keys.format.parse(text.expose().as_bytes()) else {
        return Ok(Presented::Wrong("it cannot be a key: prefix, length, alphabet or checksum"));
    };
    let Some(loaded) = store.load_by_secret(parsed.id).await? else {
        return Ok(Presented::Wrong("no key has a secret with this id"));
    };
    let secret = loaded.key.secrets.iter().find(|secret| secret.id == parsed.id);
    let phc = secret.map(|secret| secret.phc.clone()).unwrap_or_default();
    if !is_right(text, phc, parsed.id).await? {
        return Ok(Presented::Wrong("it is another string than the secret with this id"));
    }
    Ok(Presented::Right(verified(plan, store, now, loaded, parsed.id).await?))
}

/// Hashes on a thread of its own: whoever serves others meanwhile is not held up.
async fn is_right(text: SecretText, phc: String, id: PublicId) -> Result<bool, ExplainError> {
    let verify =
        move || Argon2Verifier::default().verify(text.expose().as_bytes(), &phc, id.as_str());
    Ok(tokio::task::spawn_blocking(verify).await??)
}

/// The key with its ancestors, as the running gateway would hold them.
async fn verified(
    plan: &Plan,
    store: &dyn Store,
    now: Moment,
    loaded: Loaded,
    secret: PublicId,
) -> Result<Verified, ExplainError> {
    let id = loaded.key.key.id.clone();
    let mut family = vec![loaded];
    while let Some(parent) = family.last().and_then(|young| young.key.key.parent_id.clone()) {
        let corrupt = || StoreError::Corrupt(format!("the ancestors of key {id}"));
        if family.iter().any(|young| young.key.key.id == parent) {
            return Err(corrupt().into());
        }
        family.push(store.load_key(&parent).await?.ok_or_else(corrupt)?);
    }
    family.reverse();
    let table = KeyTable::holding(family, &plan.policy, now);
    let secret = table.secret(secret).ok_or(ExplainError::NoKey(id))?;
    Ok(Verified { secret })
}
