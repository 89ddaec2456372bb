//! A request's way in words: every check up to the one that refuses it.
//!
//! The one rule: nothing is decided here. How a check comes out is asked of a judge: of the checks
//! themselves where nothing was sent ([`super::explain`]), of what was kept where a request was
//! refused ([`super::refused`]). So both are told in the same steps and the same words.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::auth::table::{KeyRecord, Rights};
use crate::config::Config;
use crate::domain::explanation::{Answer, Check, Explanation, Outcome};
use crate::domain::{Environment, Limit, Reason, Refusal};
use crate::limit::Standing;
use crate::proxy::path::canonical;
use crate::proxy::plan::Plan;
use crate::proxy::respond::Answers;
use crate::proxy::route::{Requirement, Route, Router};
use crate::store::credits::balance;

/// The steps that can refuse, in the order of [`crate::proxy::handle`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The head is well-formed, the path has one spelling.
    Head,
    /// A route has the path and the method.
    Route,
    /// There is one credential.
    Credential,
    /// It is a key's secret, and the key may call.
    Verify,
    /// Keys of its environment may take the route.
    Environment,
    /// The client's address is in the allowlists.
    Address,
    /// The key has the scopes.
    Scope,
    /// The body is not said to be too long.
    Body,
    /// The usage journal has room.
    Usage,
    /// No rate limit is reached.
    Limit,
    /// It is paid for.
    Budget,
    /// Keygate does itself what it is asked for.
    SelfService,
    /// The upstream answers.
    Forward,
}

impl Step {
    /// The step as it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Route => "route",
            Self::Credential => "credential",
            Self::Verify => "verify",
            Self::Environment => "environment",
            Self::Address => "address",
            Self::Scope => "scope",
            Self::Body => "body",
            Self::Usage => "usage",
            Self::Limit => "limit",
            Self::Budget => "budget",
            Self::SelfService => "self_service",
            Self::Forward => "forward",
        }
    }
}

/// What of a plan is needed to tell of a request; cheap to keep when the plan is no longer in force.
pub struct Ground {
    pub(super) config: Arc<Config>,
    pub(super) router: Arc<Router>,
    pub(super) answers: Arc<Answers>,
}

impl Ground {
    /// Of that plan.
    pub fn of(plan: &Plan) -> Self {
        Self {
            config: Arc::clone(&plan.config),
            router: Arc::clone(&plan.router),
            answers: Arc::clone(&plan.answers),
        }
    }
}

impl fmt::Debug for Ground {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ground").finish_non_exhaustive()
    }
}

/// What is known of the limits that a request is counted against.
pub(super) enum Limits {
    /// Nothing but what they are.
    Unknown,
    /// That none was reached.
    Open,
    /// How the one nearest to its end stood once the request was counted.
    Nearest(Standing),
    /// How each stands, and whether it is the route's.
    Stand(Vec<(Standing, bool)>),
}

/// What binds a key's spending.
pub(super) enum Funds {
    /// Whatever binds it, there was enough.
    Enough,
    /// This much was held here, and there was no more to be had.
    Short(i64),
    /// This, of what is nearest to its end; `None`: nothing binds it.
    Told(Option<String>),
}

/// A request as far as it is known.
pub(super) struct Case<'a> {
    pub ground: &'a Ground,
    /// Its method and its path with the query, masked.
    pub method: String,
    pub path: String,
    pub route: Option<&'a Route>,
    /// Whose secret it came with.
    pub rights: Option<&'a Rights>,
    /// Why its credential is nobody's secret, where that is known.
    pub wrong: Option<&'static str>,
    pub client: IpAddr,
    pub limits: Limits,
    pub funds: Funds,
}

/// How each step comes out; asked in their order, and not behind one that refuses.
pub(super) type Judge<'a> = dyn FnMut(Step) -> Result<(), Refusal> + 'a;

/// Tells of a request.
pub(super) fn told(case: &Case<'_>, judge: &mut Judge<'_>) -> Explanation {
    let mut walk = Walk { case, judge, checks: Vec::new(), route: None };
    let answer = match walk.go() {
        Ok(destination) => Answer { status: None, reason: None, code: None, message: destination },
        Err(refusal) => case.ground.answered(&refusal),
    };
    let (method, path) = (case.method.clone(), case.path.clone());
    Explanation { method, path, route: walk.route, checks: walk.checks, answer }
}

impl Ground {
    fn answered(&self, refusal: &Refusal) -> Answer {
        let answer = self.answers.of(refusal.reason());
        Answer {
            status: Some(answer.status.as_u16()),
            reason: Some(refusal.reason()),
            code: Some(answer.code.clone()),
            message: answer.message_for(refusal),
        }
    }
}

/// The way as far as it has come.
struct Walk<'a, 'j> {
    case: &'a Case<'a>,
    judge: &'a mut Judge<'j>,
    checks: Vec<Check>,
    route: Option<String>,
}

impl Walk<'_, '_> {
    /// Where the request goes in the end.
    fn go(&mut self) -> Result<String, Refusal> {
        let case = self.case;
        self.check(Step::Head, |refused| match refused {
            None => Some(format!("the path is {}", one_spelling(&case.path))),
            Some(_) => None,
        })?;
        self.check(Step::Route, |refused| match refused {
            None => Some(case.route?.path.to_string()),
            Some(_) => None,
        })?;
        let route = case.route.expect("what has passed this step has a route");
        self.route = Some(route.path.to_string());
        if matches!(route.requirement, Requirement::Public) {
            self.skip(Step::Credential, "the route is public: no key is asked for");
            self.body(route)?;
            return self.end(route, Environment::Live);
        }
        self.credential()?;
        self.check(Step::Verify, |refused| verified(case, refused))?;
        let rights = case.rights.expect("what has passed this step has a key");
        let (record, environment) = (&rights.record, rights.record.key.environment);
        self.check(Step::Environment, |refused| match refused {
            None => Some(format!("{environment} keys may")),
            Some(_) => Some(format!("it is a {environment} key")),
        })?;
        self.check(Step::Address, |_| {
            Some(format!("{}, allowed: {}", case.client, ranges(rights)))
        })?;
        self.check(Step::Scope, |refused| Some(scopes(rights, route, refused)))?;
        self.body(route)?;
        self.check(Step::Usage, |refused| {
            refused.map(|_| "the usage journal has no room".to_owned())
        })?;
        self.limits(record, route)?;
        self.budget(record, route)?;
        self.end(route, environment)
    }

    fn credential(&mut self) -> Result<(), Refusal> {
        let headers = &self.case.ground.config.keys.headers;
        self.check(Step::Credential, |refused| {
            refused.filter(|refusal| refusal.reason() == Reason::MissingKey)?;
            let names: Vec<&str> = headers.iter().map(http::HeaderName::as_str).collect();
            Some(format!("none in {}", names.join(", ")))
        })
    }

    fn body(&mut self, route: &Route) -> Result<(), Refusal> {
        self.check(Step::Body, |refused| {
            refused.map(|_| format!("it may have {} bytes here", route.max_body))
        })
    }

    fn limits(&mut self, record: &KeyRecord, route: &Route) -> Result<(), Refusal> {
        let own = record.limits.iter().map(|limit| (*limit, false));
        let all: Vec<_> = own.chain(route.limits.iter().map(|limit| (*limit, true))).collect();
        let nothing = if record.counted {
            all.is_empty().then_some("nothing is counted for this key")
        } else {
            Some("test keys are not counted")
        };
        let limits = &self.case.limits;
        let told = |refused: Option<&Refusal>| Some(limits_in_words(&all, limits, refused));
        self.check_unless(nothing, Step::Limit, told)
    }

    fn budget(&mut self, record: &KeyRecord, route: &Route) -> Result<(), Refusal> {
        let (charge, rights) = (&route.charge, self.case.rights);
        let binds = match &self.case.funds {
            Funds::Told(told) => told.clone(),
            Funds::Enough => binding(rights),
            Funds::Short(held) => binding(rights).map(|bound| {
                format!("{} was held here, and no more was to be had: {bound}", balance(*held))
            }),
        };
        let nothing = match (charge.is_free(), record.counted) {
            (true, _) => Some("the route costs nothing"),
            (_, false) => Some("test keys pay nothing"),
            _ => binds.is_none().then_some("no budget and no credits bind this key"),
        };
        let cost = match &charge.header {
            Some(header) => format!("costs what the upstream says in {header}"),
            None => format!("costs {}", balance(charge.fixed)),
        };
        let told = |_: Option<&Refusal>| Some(format!("{cost}; {}", binds.unwrap_or_default()));
        self.check_unless(nothing, Step::Budget, told)
    }

    fn end(&mut self, route: &Route, environment: Environment) -> Result<String, Refusal> {
        if route.call.is_some() {
            self.check(Step::SelfService, |refused| match refused {
                None => Some("keygate answers it itself".to_owned()),
                Some(_) => None,
            })?;
            return Ok("The request would be answered by keygate itself.".to_owned());
        }
        let upstream = &self.case.ground.config.upstreams[route.upstream];
        let in_sandbox = environment == Environment::Test && !upstream.sandbox.is_empty();
        let targets = if in_sandbox { &upstream.sandbox } else { &upstream.targets };
        let names: Vec<&str> = targets.iter().map(|target| target.authority.as_str()).collect();
        let sandbox = if in_sandbox { "'s sandbox" } else { "" };
        let (name, names) = (&upstream.name, names.join(", "));
        self.check(Step::Forward, |refused| {
            let why = refused.map_or("", ended).to_owned();
            Some(format!("{why}to upstream {name}{sandbox}: {names}"))
        })?;
        Ok(format!("The request would be forwarded to upstream {name}{sandbox} ({names})."))
    }

    /// Notes how a step comes out. `told` is given the refusal, if that is how; without words a
    /// passed step is not noted, and of a refusal its message is told.
    fn check(
        &mut self,
        step: Step,
        told: impl FnOnce(Option<&Refusal>) -> Option<String>,
    ) -> Result<(), Refusal> {
        self.check_unless(None, step, told)
    }

    /// The same, where it is known beforehand that there is nothing to check, and why.
    fn check_unless(
        &mut self,
        nothing: Option<&'static str>,
        step: Step,
        told: impl FnOnce(Option<&Refusal>) -> Option<String>,
    ) -> Result<(), Refusal> {
        let outcome = (self.judge)(step);
        if let (Ok(()), Some(why)) = (&outcome, nothing) {
            self.skip(step, why);
            return Ok(());
        }
        let told = told(outcome.as_ref().err());
        match (&outcome, told) {
            (Ok(()), Some(told)) => self.note(step, Outcome::Passed, told),
            (Ok(()), None) => {}
            (Err(refusal), told) => {
                let reason = refusal.reason();
                let message = || self.case.ground.answers.of(reason).message_for(refusal);
                let told = told.unwrap_or_else(message);
                self.note(step, Outcome::Refused, format!("{reason}: {told}"));
            }
        }
        outcome
    }

    fn skip(&mut self, step: Step, why: &str) {
        self.note(step, Outcome::Skipped, why.to_owned());
    }

    fn note(&mut self, step: Step, outcome: Outcome, detail: String) {
        self.checks.push(Check { step: step.name(), outcome, detail });
    }
}

/// The path as it is matched and forwarded, without the query.
fn one_spelling(path: &str) -> String {
    let path = path.split('?').next().unwrap_or_default();
    canonical(path).map_or_else(|_| path.to_owned(), String::from)
}

/// Whose secret it is and how the key stands, or why it does not let its bearer in.
fn verified(case: &Case<'_>, refused: Option<&Refusal>) -> Option<String> {
    let Some(rights) = case.rights else { return not_verified(case, refused?) };
    let (key, owner) = (&rights.record.key, &rights.record.owner.id);
    let stands = match refused.map(Refusal::reason) {
        None => "is active",
        Some(Reason::RevokedKey) => "was revoked, or its secret or a key above it was",
        Some(Reason::ExpiredKey) => "is past its end, or its secret is",
        Some(Reason::DisabledKey) => "is disabled",
        Some(Reason::OwnerDisabled) => "is good, but its owner is disabled",
        Some(_) => return None,
    };
    Some(format!("key {} ({}) of owner {owner} {stands}", key.id, key.name))
}

/// Why it is not known whose secret it is.
fn not_verified(case: &Case<'_>, refusal: &Refusal) -> Option<String> {
    let client = case.client;
    match refusal {
        Refusal::RateLimited { limit, retry_after, .. } => Some(format!(
            "{limit} attempts from {client} have failed; what is not verified yet is looked at \
             again in {retry_after} s"
        )),
        _ => match refusal.reason() {
            Reason::InvalidKey => Some(case.wrong.unwrap_or("it is no key's secret").to_owned()),
            Reason::StoreUnavailable => Some(
                "the secret is not known here, or not for sure, and the store is away".to_owned(),
            ),
            Reason::Overloaded => Some("too many secrets wait to be verified".to_owned()),
            _ => None,
        },
    }
}

/// The key's allowlist, and those of its ancestors that have one.
fn ranges(rights: &Rights) -> String {
    let own = listed(&rights.record).unwrap_or_else(|| "from anywhere".to_owned());
    let above = rights.above().iter().filter_map(|ancestor| {
        let ranges = listed(ancestor)?;
        Some(format!("; of those by its ancestor {}: {ranges}", ancestor.key.id))
    });
    std::iter::once(own).chain(above).collect()
}

fn listed(record: &KeyRecord) -> Option<String> {
    let ranges: Vec<String> = record.key.allowed_ips.iter().map(ToString::to_string).collect();
    (!ranges.is_empty()).then(|| ranges.join(", "))
}

fn scopes(rights: &Rights, route: &Route, refused: Option<&Refusal>) -> String {
    let needs = route.requirement.in_words();
    let has = match rights.told().to_str() {
        Ok("") | Err(_) => "none",
        Ok(scopes) => scopes,
    };
    let missing = match (refused, &route.requirement) {
        (Some(Refusal::MissingScope(scope)), Requirement::All(_, each)) if each.len() > 1 => {
            format!(", lacks {scope}")
        }
        _ => String::new(),
    };
    format!("needs {needs}, has {has}{missing}")
}

/// The limits, `true` for those of the route, and how they stand.
fn limits_in_words(all: &[(Limit, bool)], known: &Limits, refused: Option<&Refusal>) -> String {
    let on = |of_route: bool| if of_route { " on this route" } else { "" };
    let one = |(limit, of_route): &(Limit, bool)| format!("{limit}{}", on(*of_route));
    let names = || all.iter().map(one).collect::<Vec<_>>().join(", ");
    if let Some(Refusal::RateLimited { limit, retry_after, .. }) = refused {
        return format!(
            "{limit} is reached, the next request passes in {retry_after} s; {}",
            names()
        );
    }
    match known {
        Limits::Unknown => format!("{}; how much is left, the running gateway knows", names()),
        Limits::Open => format!("{}; none was reached", names()),
        Limits::Nearest(Standing { limit, remaining, .. }) => {
            format!("{}; of {limit}, the nearest to its end, {remaining} left", names())
        }
        Limits::Stand(standings) => {
            let told = |(standing, of_route): &(Standing, bool)| {
                format!("{}{}: {} left", standing.limit, on(*of_route), standing.remaining)
            };
            standings.iter().map(told).collect::<Vec<_>>().join(", ")
        }
    }
}

/// Which budgets and credits bind a key; `None`: none does.
fn binding(rights: Option<&Rights>) -> Option<String> {
    let rights = rights?;
    let family = std::iter::once(&rights.record).chain(rights.above());
    let budget = |record: &Arc<KeyRecord>| {
        let budget = record.key.monthly_budget?;
        Some(format!("{budget} a month of {}", record.key.id))
    };
    let owner = &rights.record.owner;
    let credits = (owner.credit_changes() > 0).then(|| format!("the credits of {}", owner.id));
    let bound: Vec<String> = family.filter_map(budget).chain(credits).collect();
    (!bound.is_empty()).then(|| bound.join(", "))
}

/// What a request that was let in and is refused all the same has met.
fn ended(refusal: &Refusal) -> &'static str {
    if Reason::OF_KEYS.contains(&refusal.reason()) {
        "its key ended while it was under way; "
    } else {
        ""
    }
}
