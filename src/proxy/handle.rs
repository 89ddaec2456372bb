//! A request's way, top to bottom: section 4 of the contract, one step a line.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response};
use http_body::Body as _;
use hyper::body::Incoming;
use jiff::Timestamp;

use super::authorize::{self, Permit};
use super::body::Outgoing;
use super::credential;
use super::forward::{self, Decided};
use super::headers::Trace;
use super::meter::Meter;
use super::path::canonical;
use super::respond;
use super::route::Route;
use super::worker::{Adopted, Worker};
use crate::auth::table::Moment;
use crate::auth::verify::Caller;
use crate::domain::{Reason, Refusal};

/// The end of a secret's grace, in RFC 3339.
const ROTATE_BY: HeaderName = HeaderName::from_static("x-api-key-rotate-by");
/// The same as an HTTP date (RFC 8594).
const SUNSET: HeaderName = HeaderName::from_static("sunset");
/// What a path that is not looked at may be asked with.
const ORDINARY_METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// Takes one request all the way; every `?` is a refusal.
pub async fn handle(
    worker: &Worker,
    adopted: &Adopted,
    request: Request<Incoming>,
    trace: &Trace,
    meter: &mut Meter,
) -> Result<Response<Outgoing>, Refusal> {
    let (plan, client) = (&adopted.plan, meter.connection().client);
    // 1 and 2: the head. Its bytes were looked at by the gate.
    check_method(request.method())?;
    let path_and_query = request.uri().path_and_query().cloned();
    let path = canonical(path_and_query.as_ref().map_or("", |target| target.path()))
        .map_err(Refusal::BadRequest)?;
    // 3: the route, known before any key is asked for.
    let route = plan.router.find(request.method(), &path)?;
    meter.routed(route.index);
    let (permit, held_in) = if let Some(permit) = authorize::public(route) {
        check_length(&request, route)?;
        (permit, 0)
    } else {
        // 4: the credential.
        let credential = credential::find(request.headers(), &plan.config.keys.headers)?;
        // 5 to 7: verify, address, scopes.
        let now = worker.now();
        let caller = Caller { address: client, metrics: worker.metrics() };
        let format = &plan.config.keys.format;
        let verified =
            worker.auth().verify(credential.text, format, &plan.rules, caller, now).await?;
        meter.verified(&verified);
        let authorized = authorize::authorize(&verified, route, plan, client, now)?;
        check_length(&request, route)?;
        // 8: limits.
        let permit = authorize::limit(authorized, route, now)?;
        verified.secret.used(now.wall_ms);
        (permit, credential.held_in)
    };
    // 9: forward.
    let decided = Decided { route, path: &path, held_in, trace };
    let mut response = forward::forward(&permit, &decided, adopted, request, meter).await?;
    // 10: answer.
    say_standing(&mut response, &permit, worker.now());
    Ok(response)
}

/// CONNECT and TRACE are for proxies of another kind, whatever the routes say.
fn check_method(method: &Method) -> Result<(), Refusal> {
    if matches!(*method, Method::CONNECT | Method::TRACE) {
        return Err(Refusal::MethodNotAllowed(ORDINARY_METHODS.into()));
    }
    Ok(())
}

/// A body that says that it is too long is refused before anything is counted; one that turns out
/// to be is cut off on its way.
fn check_length(request: &Request<Incoming>, route: &Route) -> Result<(), Reason> {
    if request.body().size_hint().lower() > route.max_body {
        return Err(Reason::BodyTooLarge);
    }
    Ok(())
}

fn say_standing(response: &mut Response<Outgoing>, permit: &Permit, now: Moment) {
    if let Some(standing) = permit.standing() {
        respond::rate_limit_headers(
            response.headers_mut(),
            standing.limit,
            standing.remaining,
            standing.reset_in_ms,
            now.wall_ms,
        );
    }
    if let Some(ends_ms) = permit.holder().and_then(|holder| holder.grace_ends_ms) {
        say_grace(response, ends_ms);
    }
}

/// Tells a client whose secret was rotated away until when it still works.
fn say_grace(response: &mut Response<Outgoing>, ends_ms: i64) {
    let Ok(ends) = Timestamp::from_millisecond(ends_ms) else { return };
    let headers = response.headers_mut();
    let date = httpdate::fmt_http_date(ends.into());
    for (name, text) in [(ROTATE_BY, ends.to_string()), (SUNSET, date)] {
        let value = HeaderValue::from_maybe_shared(Bytes::from(text));
        headers.insert(name, value.expect("a date is a header's value"));
    }
}
