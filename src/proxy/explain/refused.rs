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
    let is_public = matches!(route.requirement, Requirement::Public);
    if !is_public && noted.rights.is_none() {
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
        Reason::BudgetExceeded | Reason::CreditsExhausted => Step::Budget,
        Reason::StoreUnavailable if is_public || noted.journaled => Step::Budget,
        Reason::StoreUnavailable => Step::Usage,
        Reason::Overloaded if !is_public => Step::Budget,
        // A fault is nobody's step; of a public route nothing else is left.
        Reason::InternalError
        | Reason::Overloaded
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
