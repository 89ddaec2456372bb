//! A call of the self-service API, once it is let through like any request: its body is read, and it
//! is handed over to the control plane in place of being forwarded.

use std::rc::Rc;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use tokio::time::timeout;

use super::authorize::Permit;
use super::body::{ClientBody, ClientStream, Outgoing};
use super::meter::Meter;
use super::route::Route;
use super::worker::Worker;
use crate::auth::Verified;
use crate::auth::once::Once;
use crate::domain::{Call, Reason, Refusal};
use crate::key::SecretText;
use crate::limit::Standing;
use crate::self_service::{Asked, Caller, PATIENCE};

/// Who asks, as the steps before have found out.
pub struct By<'a> {
    /// Its secret and its key.
    pub verified: &'a Verified,
    /// That it may.
    pub permit: &'a Permit,
    /// What it came with.
    pub credential: &'a [u8],
}

/// The call that a request is; its body is not read yet.
pub fn asked(
    call: Call,
    path: &str,
    request: &Request<ClientStream>,
    by: &By<'_>,
    worker: &Worker,
    meter: &Meter,
) -> Result<Asked, Refusal> {
    let holder = by.permit.holder().expect("a call is made by a key");
    let caller = Caller {
        rights: holder.rights.clone(),
        secret: by.verified.secret.id,
        address: meter.sender().address,
    };
    let once = if call.is_creation() { once(request.headers(), by.credential)? } else { None };
    let standings = match call {
        Call::Me => standings(&caller, by.verified, worker),
        _ => Vec::new(),
    };
    Ok(Asked {
        call,
        subject: SecretText::new(call.subject(path).to_owned()),
        query: request.uri().query().map(str::to_owned),
        body: Bytes::new(),
        caller,
        standings,
        once,
    })
}

/// Reads its body, has it served, and answers.
pub async fn answer(
    mut asked: Asked,
    request: Request<ClientStream>,
    route: &Route,
    worker: &Worker,
    meter: &Meter,
) -> Result<Response<Outgoing>, Refusal> {
    asked.body = read(request, route, meter).await?;
    let answered = worker.desk().ask(asked).await?;
    let mut response = Response::new(Outgoing::full(answered.body));
    *response.status_mut() =
        StatusCode::from_u16(answered.status).expect("an answer's status is a status");
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

async fn read(
    request: Request<ClientStream>,
    route: &Route,
    meter: &Meter,
) -> Result<Bytes, Refusal> {
    let (parts, body) = request.into_parts();
    let (upload, none) = (Rc::clone(meter.upload()), Box::default());
    let body = ClientBody::new(body, parts.version, route.max_body, none, upload);
    match timeout(PATIENCE, body.collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(_)) => {
            let broken = Refusal::BadRequest("the body is broken off");
            Err(meter.upload().fault().unwrap_or(broken))
        }
        Err(_) => Err(Refusal::BadRequest("the body did not come in time")),
    }
}

fn once(headers: &HeaderMap, credential: &[u8]) -> Result<Option<Once>, Refusal> {
    Once::of(headers, credential)
        .map_err(|error| Refusal::Because(Reason::BadRequest, error.to_string().into()))
}

/// How the limits of the key stand, this request counted.
fn standings(caller: &Caller, verified: &Verified, worker: &Worker) -> Vec<Standing> {
    let record = &caller.rights.record;
    if !record.counted {
        return Vec::new();
    }
    worker.books().standings(verified.key(), &record.limits, None, worker.now_ms())
}
