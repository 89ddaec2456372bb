//! A request that was refused, told from what was kept of it.

use jiff::Timestamp;

use super::walk::{Case, Funds, Limits, Step, told};
use crate::domain::{Reason, RefusedRequest};
use crate::proxy::refusals::Noted;
use crate::proxy::route::{Requirement, Route};

/// In the place of a method and a path that nobody has read.
const UNREAD: &str = "-";

/// What became of a refused request, step by step.
pub fn explained(noted: &Noted) -> RefusedRequest {
    let refusing = refusing(noted);
    let case = Case {
        ground: &noted.ground,
        method: noted.method.as_ref().map_or(UNREAD, |method| method.as_str()).to_owned(),
        path: noted.target.as_deref().unwrap_or(UNREAD).to_owned(),
        route: route(noted),
        rights: noted.rights.as_ref(),
        wrong: None,
        client: noted.client,
        limits: noted.standing.map_or(Limits::Open, Limits::Nearest),
        funds: noted.held.map_or(Funds::Enough, Funds::Short),
    };
    let mut judge = |step| if step == refusing { Err(noted.refusal.clone()) } else { Ok(()) };
    let explanation = told(&case, &mut judge);
    let key = noted.rights.as_ref().map(|rights| &rights.record.key);
    RefusedRequest {
        request_id: noted.request_id.to_string(),
        at: Timestamp::from_millisecond(noted.at_ms).unwrap_or_default(),
        client: noted.client,
        reason: noted.refusal.reason(),
        status: noted.ground.answers.of(noted.refusal.reason()).status.as_u16(),
        key_id: key.map(|key| key.id.clone()),
        key_name: key.map(|key| key.name.clone()),
        owner_id: key.map(|key| key.owner_id.clone()),
        explanation,
    }
}

fn route(noted: &Noted) -> Option<&Route> {
    noted.route.and_then(|index| noted.ground.router.routes().get(index))
}

/// Which step has refused it: what had been found out by then leaves one.
fn refusing(noted: &Noted) -> Step {
    let reason = noted.refusal.reason();
    let Some(route) = route(noted) else {
        return match reason {
            Reason::RouteNotFound => Step::Route,
            Reason::MethodNotAllowed if !noted.is_proxys() => Step::Route,
            _ => Step::Head,
        };
    };
    if noted.admitted {
        return if route.call.is_some() { Step::SelfService } else { Step::Forward };
    }
    if matches!(route.requirement, Requirement::Public) {
        return if reason == Reason::BodyTooLarge { Step::Body } else { Step::Forward };
    }
    if noted.rights.is_none() {
        return match reason {
            Reason::MissingKey | Reason::BadRequest => Step::Credential,
            _ => Step::Verify,
        };
    }
    match reason {
        Reason::InvalidKey
        | Reason::ExpiredKey
        | Reason::RevokedKey
        | Reason::DisabledKey
        | Reason::OwnerDisabled => Step::Verify,
        Reason::EnvironmentNotAllowed => Step::Environment,
        Reason::IpNotAllowed => Step::Address,
        Reason::MissingScope => Step::Scope,
        Reason::BodyTooLarge => Step::Body,
        Reason::RateLimited => Step::Limit,
        Reason::StoreUnavailable if !noted.journaled => Step::Usage,
        Reason::BudgetExceeded
        | Reason::CreditsExhausted
        | Reason::StoreUnavailable
        | Reason::Overloaded => Step::Budget,
        // A fault is nobody's step, and of the others none comes from these.
        Reason::InternalError
        | Reason::MissingKey
        | Reason::BadRequest
        | Reason::HttpsRequired
        | Reason::RouteNotFound
        | Reason::MethodNotAllowed
        | Reason::NotFound
        | Reason::Conflict
        | Reason::ExpectationFailed
        | Reason::HeadersTooLarge
        | Reason::UpstreamUnavailable
        | Reason::UpstreamTimeout => Step::Forward,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::auth::table::{KeyTable, Moment};
    use crate::config::{Environment, parse};
    use crate::domain::explanation::Outcome;
    use crate::domain::{self, Key, KeyWithSecrets, Owner, OwnerId};
    use crate::proxy::explain::Ground;
    use crate::proxy::plan::Plan;
    use crate::store::Loaded;

    const CONFIG: &str = r#"
[self_service]
enabled = true
[upstreams.api]
targets = ["http://127.0.0.1:9"]
[[routes]]
path = "/keys"
upstream = "api"
[[routes]]
path = "/open"
public = true
upstream = "api"
"#;

    /// A refusal on the route of that path, of nobody's yet.
    fn noted(path: &str) -> (Noted, Plan) {
        let loaded = parse(CONFIG, "keygate.toml".as_ref(), &Environment::default()).unwrap();
        let plan = Plan::new(Arc::new(loaded.config), 1).unwrap();
        let noted = Noted {
            request_id: "r".into(),
            at_ms: 0,
            client: [192, 0, 2, 1].into(),
            method: Some(http::Method::GET),
            target: Some(path.into()),
            ground: Arc::new(Ground::of(&plan)),
            route: plan.router.routes().iter().position(|route| *route.path == *path),
            rights: None,
            journaled: false,
            admitted: false,
            standing: None,
            held: None,
            refusal: Reason::InternalError.into(),
        };
        (noted, plan)
    }

    fn of_a_key(path: &str) -> Noted {
        let (noted, plan) = noted(path);
        let now = Timestamp::UNIX_EPOCH;
        let owner = Owner::new(OwnerId::from_text("default"), "default".to_owned(), now);
        let key = Key::new("k".to_owned(), owner.id.clone(), domain::Environment::Live, now);
        let id = key.id.clone();
        let loaded = Loaded { key: KeyWithSecrets { key, secrets: Vec::new() }, owner };
        let now = Moment { monotonic_ms: 0, wall_ms: 0 };
        let entry = KeyTable::holding([loaded], &plan.policy, now).key(&id).unwrap();
        let record = Arc::clone(&entry.record(&plan.policy));
        Noted { rights: Some(entry.rights(record, &plan.policy)), ..noted }
    }

    #[track_caller]
    fn refuses(noted: &Noted, reason: Reason, step: &str) {
        let refused = explained(&Noted { refusal: reason.into(), ..noted.clone() });
        let checks = refused.explanation.checks;
        assert_eq!(checks.last().map(|check| check.step), Some(step), "{reason}: {checks:?}");
        assert_eq!(refused.explanation.answer.reason, Some(reason));
    }

    #[test]
    fn what_cannot_be_provoked_at_will_has_its_step_too() {
        let (nobody, _) = noted("/keys");
        refuses(&nobody, Reason::StoreUnavailable, "verify");
        refuses(&nobody, Reason::Overloaded, "verify");
        let known = of_a_key("/keys");
        refuses(&known, Reason::StoreUnavailable, "usage");
        let journaled = Noted { journaled: true, ..known };
        refuses(&journaled, Reason::StoreUnavailable, "budget");
        refuses(&journaled, Reason::Overloaded, "budget");
        let admitted = Noted { admitted: true, ..journaled };
        refuses(&admitted, Reason::Overloaded, "forward");
        refuses(&admitted, Reason::BadRequest, "forward");
        refuses(&admitted, Reason::InternalError, "forward");
        let own = Noted { admitted: true, ..of_a_key("/v1/me") };
        refuses(&own, Reason::StoreUnavailable, "self_service");
        let (open, _) = noted("/open");
        refuses(&open, Reason::Overloaded, "forward");
        refuses(&Noted { route: None, ..open }, Reason::HttpsRequired, "head");
    }

    #[test]
    fn every_reason_is_told_of_wherever_it_comes_up() {
        let (nobody, _) = noted("/keys");
        let admitted = Noted { admitted: true, ..of_a_key("/keys") };
        let unread = Noted { route: None, method: None, target: None, ..nobody.clone() };
        for reason in Reason::ALL {
            for noted in [&nobody, &of_a_key("/keys"), &admitted, &unread, &noted("/open").0] {
                let refused = explained(&Noted { refusal: (*reason).into(), ..noted.clone() });
                let last = refused.explanation.checks.last().map(|check| check.outcome);
                assert_eq!(last, Some(Outcome::Refused), "{reason}: {refused:?}");
            }
        }
    }
}
