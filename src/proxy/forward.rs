//! Step 9: the request goes to the upstream, and its answer comes back as it streams.
//!
//! Nothing gets here without a [`Permit`]. A request that no connection took goes to the next
//! target; one that may have been read there, only if it can be asked twice (RFC 9110 section
//! 9.2.2) and has no body that is gone.

use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, Version};
use http_body::{Body, Frame, SizeHint};

use super::adopted::Adopted;
use super::authorize::Permit;
use super::body::{BodyError, ClientBody, ClientStream, Outgoing};
use super::grpc;
use super::headers::{self, Outbound, Trace};
use super::meter::Meter;
use super::route::Route;
use super::trailers;
use super::tunnel::Tunnel;
use super::upstream::{Lease, TargetPool, Unavailable, Upgraded};
use super::websocket;
use crate::domain::{Environment, Reason, Refusal};

/// A connection that was idle for longer may just be closed by its upstream.
const FRESH_MS: u64 = 1_000;

/// Bytes of a body that a client has to send a second, on the whole of the route's timeout.
const MIN_UPLOAD_PER_SECOND: u64 = 256;

/// What of a request was decided on its way here.
pub struct Decided<'a> {
    /// The route taken.
    pub route: &'a Route,
    /// The path that was matched.
    pub path: &'a str,
    /// Which credential headers held the key.
    pub held_in: u64,
    /// The request's names.
    pub trace: &'a Trace,
}

/// Why one target did not answer.
enum Failure {
    /// Nothing of the request was read there: it may go elsewhere.
    NotSent(Box<Request<ClientBody>>, String),
    /// Nor was anything tried: too much is waiting there already.
    Full(Box<Request<ClientBody>>),
    /// The connection broke before anything came back.
    Lost(String),
    /// The upstream's time is over.
    Overdue,
}

/// Sends a permitted request to its upstream; the answer's head, with its body streaming behind.
pub async fn forward(
    permit: &Permit,
    decided: &Decided<'_>,
    adopted: &Adopted,
    request: Request<ClientStream>,
    meter: &mut Meter,
) -> Result<Response<Outgoing>, Refusal> {
    let test =
        permit.holder().is_some_and(|h| h.rights.record.key.environment == Environment::Test);
    let targets = adopted.targets(decided.route.upstream, test);
    let upgrade = decided.route.websocket && websocket::is_asked_for(&request);
    // Of HTTP/2, which has no other answer to it than the tunnel or a failure.
    let must_upgrade = websocket::by_connect(&request).is_some();
    if must_upgrade && !upgrade {
        return Err(Refusal::BadRequest("no WebSocket is taken here"));
    }
    let mut request = to_upstream(permit, decided, adopted, request, meter);
    if upgrade {
        websocket::set_upgrade(request.headers_mut());
    }
    let mut tried = Vec::new();
    loop {
        let chosen = targets.choose(&tried, meter.worker().now_ms());
        let pool = targets.pool(chosen);
        let last = tried.len() + 1 >= targets.attempts();
        meter.sent_to(pool);
        let again = if last { None } else { Again::of(&request) };
        let sending = Sending { timeout_ms: decided.route.timeout_ms, upgrade };
        let failure = match send(request, pool, &sending, meter).await {
            Ok((mut response, lease)) => {
                pool.state().succeeded();
                let cost = decided.route.charge.settle(response.headers_mut());
                if let Some(holder) = permit.holder() {
                    meter.used(decided.route, &holder.rights.record, response.status(), cost);
                }
                if upgrade && websocket::is_granted(response.status(), response.headers()) {
                    let upgraded = lease.upgrade().ok_or(Reason::UpstreamUnavailable)?;
                    meter.answered();
                    return Ok(switch(response, upgraded, decided.route.tunnel_idle_ms));
                }
                let refused = must_upgrade && response.status().is_success();
                if refused || response.status() == StatusCode::SWITCHING_PROTOCOLS {
                    tracing::warn!("the upstream switched protocols unasked, or not when asked");
                    return Err(Reason::UpstreamUnavailable.into());
                }
                meter.answered();
                return Ok(answer(response, lease, decided.route.timeout_ms));
            }
            Err(failure) => failure,
        };
        if let Some(refusal) = meter.upload().fault() {
            return Err(refusal);
        }
        failure.is_held_against(pool, meter);
        request = match (failure, again) {
            (Failure::Overdue, _) => return Err(Reason::UpstreamTimeout.into()),
            (Failure::NotSent(request, _) | Failure::Full(request), _) if !last => request,
            (Failure::Full(_), _) => return Err(Reason::Overloaded.into()),
            (Failure::Lost(_), Some(again)) => again.request(),
            (Failure::NotSent(_, cause) | Failure::Lost(cause), _) => {
                let upstream = &adopted.plan.upstreams[decided.route.upstream].upstream.name;
                let target = pool.target().authority.as_str();
                tracing::warn!(upstream, target, cause, "the upstream did not answer");
                return Err(Reason::UpstreamUnavailable.into());
            }
        };
        pool.state().metrics().retries.increment();
        tried.push(chosen);
    }
}

impl Failure {
    fn is_held_against(&self, pool: &TargetPool, meter: &Meter) {
        match self {
            Self::Full(_) => pool.state().metrics().overloaded.increment(),
            // It may just be waiting for a client that is slow.
            Self::Overdue if !meter.upload().is_done() => {}
            _ => pool.state().failed(meter.worker().now_ms()),
        }
    }
}

/// The request as the upstream gets it: the path that was matched, our headers, a bounded body. In a
/// box, since it goes through many hands.
fn to_upstream(
    permit: &Permit,
    decided: &Decided<'_>,
    adopted: &Adopted,
    request: Request<ClientStream>,
    meter: &Meter,
) -> Box<Request<ClientBody>> {
    let (mut parts, body) = request.into_parts();
    let host = adopted.plan.upstreams[decided.route.upstream].targets.first().map(|t| &t.host);
    if let Some(authority) = parts.uri.authority()
        && let Ok(value) = authority.as_str().parse()
    {
        // RFC 9112 section 3.2.2: the target's own authority stands in Host's place.
        parts.headers.insert(http::header::HOST, value);
    }
    let trailers = headers::to_upstream(
        &mut parts.headers,
        &Outbound {
            plan: &adopted.plan,
            route: decided.route,
            connection: meter.connection(),
            sender: meter.sender(),
            holder: permit.holder(),
            held_in: decided.held_in,
            trace: decided.trace,
            authority: host,
        },
    );
    parts.uri = upstream_uri(&parts.uri, decided.path, decided.route.strip);
    let version = std::mem::replace(&mut parts.version, Version::HTTP_11);
    parts.extensions.clear();
    let max = decided.route.max_body;
    let body = ClientBody::new(body, version, max, trailers, Rc::clone(meter.upload()));
    Box::new(Request::from_parts(parts, body))
}

/// The matched path without what the route strips, and the query as it came. Where that is what the
/// client wrote, its own bytes are used again.
fn upstream_uri(uri: &Uri, path: &str, strip: usize) -> Uri {
    let given = uri.path_and_query();
    if let Some(given) = given
        && strip == 0
        && given.path() == path
    {
        return given.clone().into();
    }
    let stripped = match &path[strip..] {
        "" => "/",
        rest => rest,
    };
    let text = match given.and_then(PathAndQuery::query) {
        Some(query) => format!("{stripped}?{query}"),
        None => stripped.to_owned(),
    };
    let target = PathAndQuery::from_maybe_shared(Bytes::from(text));
    target.expect("a path that was matched is a path").into()
}

/// A request that can be made once more: idempotent, and without a body.
struct Again {
    method: Method,
    uri: Uri,
    version: Version,
    headers: HeaderMap,
    body: ClientBody,
}

impl Again {
    /// In a box: few requests need one, and all have room for it.
    fn of(request: &Request<ClientBody>) -> Option<Box<Self>> {
        request.method().is_idempotent().then(|| Self::without_body(request)).flatten()
    }

    /// Of any method: for one that is told to have been left alone.
    fn without_body(request: &Request<ClientBody>) -> Option<Box<Self>> {
        let again = || Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            version: request.version(),
            headers: request.headers().clone(),
            body: request.body().empty_again(),
        };
        request.body().is_end_stream().then(again).map(Box::new)
    }

    fn request(self) -> Box<Request<ClientBody>> {
        let mut request = Request::new(self.body);
        *request.method_mut() = self.method;
        *request.uri_mut() = self.uri;
        *request.version_mut() = self.version;
        *request.headers_mut() = self.headers;
        Box::new(request)
    }
}

/// How a request is sent.
struct Sending {
    timeout_ms: u64,
    /// Whether it asks for an upgrade, which HTTP/1.1 alone has.
    upgrade: bool,
}

/// Sends a request on the first connection that takes it: kept ones first, then a new one.
async fn send(
    mut request: Box<Request<ClientBody>>,
    pool: &Rc<TargetPool>,
    sending: &Sending,
    meter: &Meter,
) -> Result<(Response<()>, Lease), Failure> {
    meter.connection().set_deadline(meter.worker().now_ms() + sending.timeout_ms);
    let mut left_alone = false;
    loop {
        let mut lease = match pool.lease(sending.upgrade, meter.worker().now_ms()).await {
            Ok(lease) => lease,
            Err(Unavailable::Overloaded) => return Err(Failure::Full(request)),
            Err(Unavailable::Failed(error)) => {
                return Err(Failure::NotSent(request, chain(&error)));
            }
        };
        let may_be_stale = lease.idle_ms.is_some_and(|idle_ms| idle_ms > FRESH_MS);
        let again = may_be_stale.then(|| Again::of(&request)).flatten();
        let untouched = lease.is_shared().then(|| Again::without_body(&request)).flatten();
        let reused = lease.idle_ms.is_some();
        let sent = {
            let answer = pin!(lease.send(request));
            in_time(answer, sending.timeout_ms, meter).await
        };
        let failed = match sent {
            None => return Err(Failure::Overdue),
            Some(Ok(response)) => return Ok((response, lease)),
            Some(Err(failed)) => failed,
        };
        let cause = || chain(&*failed.cause);
        request = match (failed.request, again, untouched) {
            (Some(request), _, _) if reused => request,
            (Some(request), _, _) => return Err(Failure::NotSent(request, cause())),
            (None, _, Some(untouched)) if failed.refused => {
                if left_alone {
                    return Err(Failure::NotSent(untouched.request(), cause()));
                }
                left_alone = true;
                untouched.request()
            }
            (None, Some(again), _) => again.request(),
            (None, None, _) => return Err(Failure::Lost(cause())),
        };
    }
}

/// An error with what caused it: of the library's own words the first alone says little.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// What a future gives before the connection's deadline; `None` when that passes first. The deadline
/// moves as long as the client's body does at a fair rate: the time is the upstream's, not the
/// upload's, and a trickle holds nothing open.
async fn in_time<T>(
    mut future: Pin<&mut impl Future<Output = T>>,
    timeout_ms: u64,
    meter: &Meter,
) -> Option<T> {
    std::future::poll_fn(|cx| {
        if let Poll::Ready(value) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(value));
        }
        let now_ms = meter.worker().now_ms();
        if !meter.connection().is_overdue(now_ms) {
            return Poll::Pending;
        }
        if meter.upload().moved() >= (MIN_UPLOAD_PER_SECOND * timeout_ms / 1_000).max(1) {
            meter.connection().set_deadline(now_ms + timeout_ms);
            return Poll::Pending;
        }
        Poll::Ready(None)
    })
    .await
}

/// The answer's head without what is not the client's, and its body as a stream.
fn answer(response: Response<()>, lease: Lease, timeout_ms: u64) -> Response<Outgoing> {
    let (mut parts, ()) = response.into_parts();
    headers::to_client(&mut parts.headers);
    parts.extensions.clear();
    parts.version = Version::HTTP_11;
    let stream = Stream { lease: Some(lease), timeout_ms, grpc: false, meter: None };
    Response::from_parts(parts, Outgoing::Stream(stream))
}

/// The answer that a tunnel begins behind. Its connection to the upstream is the tunnel's.
fn switch(response: Response<()>, upstream: Upgraded, idle_ms: u64) -> Response<Outgoing> {
    let (mut parts, ()) = response.into_parts();
    headers::to_client(&mut parts.headers);
    websocket::set_upgrade(&mut parts.headers);
    parts.extensions.clear();
    let tunnel = Box::new(Tunnel::new(upstream, idle_ms));
    Response::from_parts(parts, Outgoing::Tunnel(Some(tunnel)))
}

/// An upstream's body on its way to the client. At its end the connection is given back; dropped
/// before, it is closed.
pub struct Stream {
    /// Where it is read from, until its end.
    lease: Option<Lease>,
    timeout_ms: u64,
    grpc: bool,
    meter: Option<Box<Meter>>,
}

impl Stream {
    /// Hands it the request's account, which ends with it. `grpc`: it answers a call.
    pub fn account(&mut self, meter: Box<Meter>, grpc: bool) {
        self.grpc = grpc;
        if self.is_end_stream() {
            self.give_back(&meter);
        }
        meter.connection().set_deadline(meter.worker().now_ms() + self.timeout_ms);
        self.meter = Some(meter);
    }

    /// A connection whose request is still being uploaded is not kept.
    fn give_back(&mut self, meter: &Meter) {
        if let Some(lease) = self.lease.take()
            && meter.upload().is_done()
        {
            lease.give_back(meter.worker().now_ms());
        }
    }

    fn ended(&mut self) {
        if let Some(meter) = self.meter.take() {
            self.give_back(&meter);
        }
    }

    /// Ends short because its key may call no more: over HTTP/1.1 the connection is closed, over
    /// HTTP/2 the stream is reset. A call ends with its status, as one refused from the start would.
    fn cut(&mut self, reason: Reason) -> Result<Frame<Bytes>, BodyError> {
        self.lease = None;
        let meter = self.meter.take();
        match meter.filter(|_| self.grpc) {
            Some(meter) => Ok(Frame::trailers(grpc::trailers(reason, &meter.message(reason)))),
            None => Err(h2::Error::from(h2::Reason::CANCEL).into()),
        }
    }
}

impl Body for Stream {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        if let Some(meter) = &this.meter {
            if let Some(reason) = meter.connection().cut() {
                return Poll::Ready(Some(this.cut(reason)));
            }
            if meter.connection().is_overdue(meter.worker().now_ms()) {
                return Poll::Ready(Some(Err("the upstream stopped sending".into())));
            }
        }
        let Some(lease) = &mut this.lease else { return Poll::Ready(None) };
        let Some(mut frame) = ready!(lease.poll_frame(cx)) else {
            this.ended();
            return Poll::Ready(None);
        };
        let trailers = frame.as_mut().ok().and_then(Frame::trailers_mut);
        let is_last = trailers.is_some();
        if let Some(trailers) = trailers {
            trailers::retain(trailers, trailers::may_come_down);
        }
        if let (Ok(frame), Some(meter)) = (&frame, &mut this.meter) {
            meter.sent_out(frame.data_ref().map_or(0, Bytes::len) as u64);
            meter.connection().set_deadline(meter.worker().now_ms() + this.timeout_ms);
        }
        if is_last || this.is_end_stream() {
            this.ended();
        }
        Poll::Ready(Some(frame))
    }

    fn is_end_stream(&self) -> bool {
        self.lease.as_ref().is_none_or(Lease::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.lease.as_ref().map_or(SizeHint::with_exact(0), Lease::size_hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_upstream_gets_the_matched_path_and_the_query_as_it_came() {
        for (given, path, strip, sent) in [
            ("/a/b?x=%41", "/a/b", 0, "/a/b?x=%41"),
            ("/%61/b?x", "/a/b", 0, "/a/b?x"),
            ("http://host/a/b?x", "/a/b", 0, "/a/b?x"),
            ("/api/a", "/api/a", 4, "/a"),
            ("/api?x", "/api", 4, "/?x"),
        ] {
            let uri: Uri = given.parse().unwrap();
            assert_eq!(upstream_uri(&uri, path, strip).to_string(), sent, "{given}");
        }
    }
}
