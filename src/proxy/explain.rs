//! What would become of a request, said step by step: the same steps as [`super::handle`], with
//! nothing consumed and nothing sent.
//!
//! It reads the store for itself and asks no running gateway, so it knows what a limit is and not
//! how much of it is left.

mod money;

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::Guard;
use http::Method;
use jiff::Timestamp;
use thiserror::Error;

use self::money::Money;
use super::authorize::{check_address, check_environment, check_scopes};
use super::path::canonical;
use super::plan::{Plan, PlanError};
use super::route::{Requirement, Route};
use crate::auth::Verified;
use crate::auth::table::{KeyEntry, KeyRecord, KeyTable, Moment};
use crate::config::Config;
use crate::domain::explanation::{Answer, Check, Explanation, Outcome};
use crate::domain::money::covers;
use crate::domain::{Clock, Environment, KeyId, PublicId, Reason, Refusal};
use crate::key::SecretText;
use crate::key::hash::{Argon2Verifier, HashError};
use crate::store::credits::balance;
use crate::store::{Loaded, Store, StoreError};
use crate::telemetry::access::masked;

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
    /// The configuration cannot be put in force.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// There is no such key, or it never had a secret.
    #[error("there is no key {0} with a secret; `keygate key list` shows all keys")]
    NoKey(KeyId),
}

/// Takes a request through every check, and consumes nothing.
pub async fn explain(
    config: &Config,
    store: &dyn Store,
    clock: &Clock,
    question: Question,
) -> Result<Explanation, ExplainError> {
    let plan = Plan::new(Arc::new(config.clone()), 0)?;
    let now = Moment { monotonic_ms: 0, wall_ms: clock.now_ms() };
    let presented = present(&plan, store, now, &question.credential).await?;
    let money = match &presented {
        Presented::Right(verified) => Money::of(verified.key(), store, now).await?,
        Presented::Nothing | Presented::Wrong(_) => Money::default(),
    };
    let (plan, question) = (&plan, &question);
    let mut walk = Walk { plan, now, question, money, checks: Vec::new(), route: None };
    let answer = match walk.go(&presented) {
        Ok(destination) => Answer { status: None, reason: None, code: None, message: destination },
        Err(refusal) => walk.refused(&refusal),
    };
    Ok(Explanation {
        method: question.method.to_string(),
        path: masked(&question.path, &config.keys.format).into_owned(),
        route: walk.route,
        checks: walk.checks,
        answer,
    })
}

/// What is known of a credential.
enum Presented {
    Nothing,
    /// Not a secret of any key, and why not.
    Wrong(&'static str),
    Right(Verified),
}

async fn present(
    plan: &Plan,
    store: &dyn Store,
    now: Moment,
    credential: &Credential,
) -> Result<Presented, ExplainError> {
    match credential {
        Credential::None => Ok(Presented::Nothing),
        Credential::Key(id) => {
            let no_key = || ExplainError::NoKey(id.clone());
            let loaded = store.load_key(id).await?.ok_or_else(no_key)?;
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
    text: &SecretText,
) -> Result<Presented, ExplainError> {
    let bytes = text.expose().as_bytes();
    let Some(parsed) = plan.config.keys.format.parse(bytes) else {
        return Ok(Presented::Wrong("it cannot be a key: prefix, length, alphabet or checksum"));
    };
    let Some(loaded) = store.load_by_secret(parsed.id).await? else {
        return Ok(Presented::Wrong("no key has a secret with this id"));
    };
    let secret = loaded.key.secrets.iter().find(|secret| secret.id == parsed.id);
    let phc = secret.map(|secret| secret.phc.clone()).unwrap_or_default();
    if !Argon2Verifier::default().verify(bytes, &phc, parsed.id.as_str())? {
        return Ok(Presented::Wrong("it is another string than the secret with this id"));
    }
    Ok(Presented::Right(verified(plan, store, now, loaded, parsed.id).await?))
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

/// The way as far as it has come.
struct Walk<'a> {
    plan: &'a Plan,
    now: Moment,
    question: &'a Question,
    money: Money,
    checks: Vec<Check>,
    route: Option<String>,
}

impl Walk<'_> {
    /// The steps in the order of [`super::handle`]; where the request would go in the end.
    fn go(&mut self, presented: &Presented) -> Result<String, Refusal> {
        let plan = self.plan;
        let target = self.question.path.split('?').next().unwrap_or_default();
        let path = canonical(target).map_err(Refusal::BadRequest);
        let path = self.check("head", path, |path| {
            format!("the path is {}", masked(path, &plan.config.keys.format))
        })?;
        let found = plan.router.find(&self.question.method, &path);
        let route = self.check("route", found, |route| route.path.to_string())?;
        self.route = Some(route.path.to_string());
        if matches!(route.requirement, Requirement::Public) {
            self.skip("credential", "the route is public: no key is asked for");
            return Ok(self.destination(route, Environment::Live));
        }
        let verified = self.verify(presented)?;
        let client = self.question.client;
        let permitted = verified.permitted(&plan.policy, self.now).map_err(Refusal::from);
        let record = self.check("verify", permitted, |record| {
            format!(
                "key {} ({}) of owner {} is active",
                record.key.id, record.key.name, record.owner.id
            )
        })?;
        let (key, record) = (verified.key(), Guard::into_inner(record));
        let environment = check_environment(key, &record, route).map_err(Refusal::from);
        self.check("environment", environment, |()| {
            format!("{} keys may", record.key.environment)
        })?;
        let allowed = ranges(key, &record);
        let address = check_address(key, &record, client).map_err(Refusal::from);
        self.check("address", address, |()| format!("{client}, allowed: {allowed}"))?;
        let rights = key.rights(record, &plan.policy);
        let (record, has) = (&rights.record, rights.told().to_str().unwrap_or_default());
        let scopes = check_scopes(&rights, route);
        self.check("scope", scopes, |()| format!("needs {}, has {has}", needs(route)))?;
        self.limits(record, route);
        self.budget(record, route)?;
        Ok(self.destination(route, record.key.environment))
    }

    fn verify<'p>(&mut self, presented: &'p Presented) -> Result<&'p Verified, Refusal> {
        match presented {
            Presented::Nothing => {
                let headers = &self.plan.config.keys.headers;
                let names: Vec<&str> = headers.iter().map(http::HeaderName::as_str).collect();
                self.note("credential", Outcome::Refused, format!("none in {}", names.join(", ")));
                Err(Reason::MissingKey.into())
            }
            Presented::Wrong(why) => {
                self.note("verify", Outcome::Refused, (*why).to_owned());
                Err(Reason::InvalidKey.into())
            }
            Presented::Right(verified) => Ok(verified),
        }
    }

    fn limits(&mut self, record: &KeyRecord, route: &Route) {
        if !record.counted {
            return self.skip("limit", "test keys are not counted");
        }
        let own = record.limits.iter().map(ToString::to_string);
        let of_route = route.limits.iter().map(|limit| format!("{limit} on this route"));
        let limits: Vec<String> = own.chain(of_route).collect();
        if limits.is_empty() {
            return self.skip("limit", "nothing is counted for this key");
        }
        let detail = format!("{}; how much is left, the running gateway knows", limits.join(", "));
        self.note("limit", Outcome::Passed, detail);
    }

    fn budget(&mut self, record: &KeyRecord, route: &Route) -> Result<(), Refusal> {
        let charge = &route.charge;
        if charge.is_free() {
            self.skip("budget", "the route costs nothing");
            return Ok(());
        }
        if !record.counted {
            self.skip("budget", "test keys pay nothing");
            return Ok(());
        }
        let Some((left, told, reason)) = self.money.tightest() else {
            self.skip("budget", "no budget and no credits bind this key");
            return Ok(());
        };
        let cost = match &charge.header {
            Some(header) => format!("costs what the upstream says in {header}"),
            None => format!("costs {}", balance(charge.fixed)),
        };
        let enough = covers(left, charge.least()).then_some(()).ok_or(reason.into());
        let detail = format!("{cost}; {told}");
        self.check("budget", enough, |()| detail)
    }

    fn destination(&mut self, route: &Route, environment: Environment) -> String {
        if route.call.is_some() {
            self.note("self_service", Outcome::Passed, "keygate answers it itself".to_owned());
            return "The request would be answered by keygate itself.".to_owned();
        }
        let upstream = &self.plan.upstreams[route.upstream];
        let in_sandbox = environment == Environment::Test && !upstream.sandbox.is_empty();
        let targets = if in_sandbox { &upstream.sandbox } else { &upstream.targets };
        let names: Vec<&str> = targets.iter().map(|t| t.target.authority.as_str()).collect();
        let sandbox = if in_sandbox { "'s sandbox" } else { "" };
        let name = &upstream.upstream.name;
        let detail = format!("to upstream {name}{sandbox}: {}", names.join(", "));
        self.note("forward", Outcome::Passed, detail);
        format!(
            "The request would be forwarded to upstream {name}{sandbox} ({}).",
            names.join(", ")
        )
    }

    /// Notes how a step came out, and hands its outcome on.
    fn check<T>(
        &mut self,
        step: &'static str,
        outcome: Result<T, Refusal>,
        passed: impl FnOnce(&T) -> String,
    ) -> Result<T, Refusal> {
        match &outcome {
            Ok(value) => self.note(step, Outcome::Passed, passed(value)),
            Err(refusal) => {
                let detail = self.plan.answers.of(refusal.reason()).message_for(refusal);
                self.note(step, Outcome::Refused, format!("{}: {detail}", refusal.reason()));
            }
        }
        outcome
    }

    fn skip(&mut self, step: &'static str, why: &str) {
        self.note(step, Outcome::Skipped, why.to_owned());
    }

    fn note(&mut self, step: &'static str, outcome: Outcome, detail: String) {
        self.checks.push(Check { step, outcome, detail });
    }

    fn refused(&self, refusal: &Refusal) -> Answer {
        let answer = self.plan.answers.of(refusal.reason());
        Answer {
            status: Some(answer.status.as_u16()),
            reason: Some(refusal.reason()),
            code: Some(answer.code.clone()),
            message: answer.message_for(refusal),
        }
    }
}

/// The key's allowlist, and those of its ancestors that have one.
fn ranges(key: &KeyEntry, record: &KeyRecord) -> String {
    let own = listed(record).unwrap_or_else(|| "from anywhere".to_owned());
    let above = key.ancestors().filter_map(|ancestor| {
        let ranges = listed(&ancestor.row())?;
        Some(format!("; of those by its ancestor {}: {ranges}", ancestor.id))
    });
    std::iter::once(own).chain(above).collect()
}

fn listed(record: &KeyRecord) -> Option<String> {
    let ranges: Vec<String> = record.key.allowed_ips.iter().map(ToString::to_string).collect();
    (!ranges.is_empty()).then(|| ranges.join(", "))
}

fn needs(route: &Route) -> String {
    match &route.requirement {
        Requirement::Public => "no key".to_owned(),
        Requirement::All(_, each) if each.is_empty() => "any key".to_owned(),
        Requirement::All(_, each) => {
            each.iter().map(|(_, name)| &**name).collect::<Vec<_>>().join(" and ")
        }
        Requirement::Any(_, names) => names.split(' ').collect::<Vec<_>>().join(" or "),
    }
}
