//! A request's way, top to bottom: section 4 of the contract, one step a line.

use http::header::EXPECT;
use http::{HeaderMap, Method, Request, Response};
use http_body::Body as _;

use super::adopted::Adopted;
use super::authorize;
use super::body::{ClientStream, Outgoing};
use super::calls::{self, By};
use super::cors::Preflight;
use super::credential;
use super::forward::{self, Decided};
use super::headers::Trace;
use super::meter::Meter;
use super::path::canonical;
use super::route::Route;
use super::worker::Worker;
use crate::auth::verify::Caller;
use crate::domain::{Reason, Refusal};

/// What a path that is not looked at may be asked with.
const ORDINARY_METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// Takes one request all the way; every `?` is a refusal.
pub async fn handle(
    worker: &Worker,
    adopted: &Adopted,
    request: Request<ClientStream>,
    trace: &Trace,
    meter: &mut Meter,
) -> Result<Response<Outgoing>, Refusal> {
    let (plan, client) = (&adopted.plan, meter.sender().address);
    // 1 and 2: the head. Its bytes were looked at before anything was made of them.
    check_method(request.method())?;
    check_expectation(request.headers())?;
    let path_and_query = request.uri().path_and_query().cloned();
    let path = canonical(path_and_query.as_ref().map_or("", |target| target.path()))
        .map_err(Refusal::BadRequest)?;
    // 3: the route, known before any key is asked for. A browser asks first, and without one.
    if let Some(preflight) = Preflight::of(request.method(), request.headers())
        && let Some(route) = plan.router.preflighted(&preflight, &path)
    {
        meter.routed(route.index);
        return Ok(preflight.answer(route, &plan.router.methods_for_pages(&path), &plan.config));
    }
    let route = plan.router.find(request.method(), &path)?;
    meter.routed(route.index);
    if let Some(cors) = &route.cors {
        meter.readable(cors.readable(request.headers()));
    }
    let (permit, held_in) = if let Some(permit) = authorize::public(route) {
        check_length(&request, route)?;
        (permit, 0)
    } else {
        // 4: the credential.
        let credential = credential::find(request.headers(), &plan.config.keys.headers)?;
        // 5 to 7: verify, address, scopes.
        let now = meter.begun_at();
        let caller = Caller { address: client, metrics: worker.metrics() };
        let format = &plan.config.keys.format;
        let verified =
            worker.auth().verify(credential.text, format, &plan.rules, caller, now).await?;
        meter.verified(&verified);
        let authorized = authorize::authorize(&verified, route, plan, client, now)?;
        check_length(&request, route)?;
        if route.call.is_none() {
            meter.reserve(&authorized.record().key)?;
        }
        // 8: limits, budget, credits.
        let mut permit = authorize::admit(authorized, route, worker.books(), now).await?;
        meter.counted(permit.standing());
        meter.pays(permit.take_payment());
        verified.secret.used(now.wall_ms, client);
        if let Some(call) = route.call {
            let by = By { verified: &verified, permit: &permit, credential: credential.text };
            let asked = calls::asked(call, &path, &request, &by, worker, meter)?;
            return Box::pin(calls::answer(asked, request, route, worker, meter)).await;
        }
        (permit, credential.held_in)
    };
    // 9: forward. 10, the answer's own headers, are the frame's to add, to refusals too.
    let decided = Decided { route, path: &path, held_in, trace };
    forward::forward(&permit, &decided, adopted, request, meter).await
}

/// CONNECT and TRACE are for proxies of another kind, whatever the routes say.
fn check_method(method: &Method) -> Result<(), Refusal> {
    if matches!(*method, Method::CONNECT | Method::TRACE) {
        return Err(Refusal::MethodNotAllowed(ORDINARY_METHODS.into()));
    }
    Ok(())
}

/// `100 Continue` is sent when the body is first asked for, which is behind every check;
/// what an upstream would make of any other expectation nobody knows (RFC 9110 section 10.1.1).
fn check_expectation(headers: &HeaderMap) -> Result<(), Reason> {
    let mut expected = headers.get_all(EXPECT).iter();
    match (expected.next(), expected.next()) {
        (None, _) => Ok(()),
        (Some(only), None) if only.as_bytes().eq_ignore_ascii_case(b"100-continue") => Ok(()),
        _ => Err(Reason::ExpectationFailed),
    }
}

/// A body that says that it is too long is refused before anything is counted; one that turns out
/// to be is cut off on its way.
fn check_length(request: &Request<ClientStream>, route: &Route) -> Result<(), Reason> {
    if request.body().size_hint().lower() > route.max_body {
        return Err(Reason::BodyTooLarge);
    }
    Ok(())
}
