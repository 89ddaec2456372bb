//! The frame around a request's way: its names, its account, its panics, and what is said of it in
//! the end. What is decided inside is [`super::handle`]'s.

use std::convert::Infallible;
use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::thread;

use futures_util::FutureExt as _;
use http::header::CONNECTION;
use http::{HeaderValue, Request, Response, StatusCode, Version};
use http_body::Body as _;
use rand::RngExt as _;

use super::adopted::Adopted;
use super::body::{ClientStream, Outgoing};
use super::client_address::{self, Sender};
use super::connection::Connection;
use super::grpc;
use super::headers::{Trace, X_REQUEST_ID};
use super::meter::Meter;
use super::respond;
use super::worker::Worker;
use crate::domain::{Reason, Refusal};
use crate::telemetry::metrics::WorkerMetrics;

/// What takes a request its whole way: [`super::handle::handle`], or a test's own.
pub trait Handler:
    AsyncFn(
        &Worker,
        &Adopted,
        Request<ClientStream>,
        &Trace,
        &mut Meter,
    ) -> Result<Response<Outgoing>, Refusal>
    + Copy
    + 'static
{
}

impl<H> Handler for H where
    H: AsyncFn(
            &Worker,
            &Adopted,
            Request<ClientStream>,
            &Trace,
            &mut Meter,
        ) -> Result<Response<Outgoing>, Refusal>
        + Copy
        + 'static
{
}

/// How a request's client is spoken to where the gateway itself answers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Http1,
    Http2,
    Grpc,
}

impl Dialect {
    fn of<B>(request: &Request<B>) -> Self {
        match request.version() {
            Version::HTTP_2 if grpc::is_call(request.headers()) => Self::Grpc,
            Version::HTTP_2 => Self::Http2,
            _ => Self::Http1,
        }
    }
}

/// Answers one request. `refused`: what was found in its head.
pub async fn serve(
    worker: Rc<Worker>,
    connection: Rc<Connection>,
    refused: Option<Refusal>,
    request: Request<ClientStream>,
    handler: impl Handler,
) -> Result<Response<Outgoing>, Infallible> {
    let adopted = worker.adopted();
    let dialect = Dialect::of(&request);
    // In the place of a head that was not read stands one of our own.
    let read = refused.is_none() || dialect != Dialect::Http1;
    let (sender, refused) = sender(&request, &connection, &adopted, refused);
    let refused = refused.map(|refusal| connection.refusal(refusal));
    let trace = Trace::new(request.headers(), sender.believed, rand::rng().random());
    let has_body = !request.body().is_end_stream();
    let mut meter = Meter::begin(
        Rc::clone(&worker),
        Rc::clone(&adopted),
        Rc::clone(&connection),
        sender,
        &request,
        &trace,
    );
    let outcome = if let Some(refusal) = refused {
        Err(refusal)
    } else {
        let handling = handler(&worker, &adopted, request, &trace, &mut meter);
        let handling = pin!(AssertUnwindSafe(handling).catch_unwind());
        attended(handling, &connection, worker.metrics()).await
    };
    let mut response = match outcome {
        Ok(response) => answered(response, dialect, meter),
        Err(refusal) => {
            meter.refused(&refusal, read);
            refuse(&worker, &adopted, &refusal, dialect, has_body, meter)
        }
    };
    response.headers_mut().insert(X_REQUEST_ID, trace.request_id);
    if worker.is_draining() && dialect == Dialect::Http1 && !is_switch(&response) {
        // Told beforehand, a client sends its next request on another connection and sees no reset.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

/// Who sent the request; if that can't be told, the peer, and the request is refused.
fn sender(
    request: &Request<ClientStream>,
    connection: &Connection,
    adopted: &Adopted,
    refused: Option<Refusal>,
) -> (Sender, Option<Refusal>) {
    let (peer, trusted) = (connection.client, &adopted.plan.config.server.trusted_proxies);
    if let Ok(sender) = client_address::find(request.headers(), peer, trusted) {
        return (sender, refused);
    }
    let refusal = Refusal::BadRequest("the Forwarded header cannot be read");
    (Sender { address: peer, believed: false }, refused.or(Some(refusal)))
}

/// What a handler's future gives, or what was thrown in it.
type Handled = thread::Result<Result<Response<Outgoing>, Refusal>>;

/// What comes of a request, unless its key ends while it waits. A panic costs it and no other. The
/// future is large, so it stays where it is.
async fn attended(
    mut handling: Pin<&mut impl Future<Output = Handled>>,
    connection: &Connection,
    metrics: &WorkerMetrics,
) -> Result<Response<Outgoing>, Refusal> {
    poll_fn(|cx| match connection.cut() {
        Some(reason) => Poll::Ready(Err(reason.into())),
        None => handling.as_mut().poll(cx).map(|outcome| {
            outcome.unwrap_or_else(|_| {
                metrics.panicked();
                Err(Reason::InternalError.into())
            })
        }),
    })
    .await
}

fn answered(
    mut response: Response<Outgoing>,
    dialect: Dialect,
    mut meter: Box<Meter>,
) -> Response<Outgoing> {
    meter.status(response.status().as_u16(), None);
    meter.say_standing(response.headers_mut());
    match response.body_mut() {
        Outgoing::Full(_) => {}
        Outgoing::Stream(stream) => stream.account(meter, dialect == Dialect::Grpc),
        Outgoing::Tunnel(tunnel) => {
            let mut tunnel = tunnel.take().expect("a tunnel is made with its answer");
            let connection = Rc::clone(meter.connection());
            tunnel.account(meter);
            connection.switch_to(tunnel);
        }
    }
    response
}

/// `101 Switching Protocols`, whose `Connection` names the upgrade.
fn is_switch(response: &Response<Outgoing>) -> bool {
    response.status() == StatusCode::SWITCHING_PROTOCOLS
}

/// A malformed request, or one whose body nobody has read, ends its connection; over HTTP/2 its
/// stream alone, by the library.
fn refuse(
    worker: &Worker,
    adopted: &Adopted,
    refusal: &Refusal,
    dialect: Dialect,
    has_body: bool,
    mut meter: Box<Meter>,
) -> Response<Outgoing> {
    let (reason, now) = (refusal.reason(), worker.now());
    // A request that was cut had been let in: nobody was guessing.
    if Reason::OF_KEYS.contains(&reason) && meter.connection().cut().is_none() {
        worker.auth().failed(&adopted.plan.rules, meter.sender().address, now);
    }
    let malformed =
        matches!(reason, Reason::BadRequest | Reason::HeadersTooLarge | Reason::HttpsRequired);
    let unread = has_body && !meter.upload().is_done();
    let close = dialect == Dialect::Http1 && (malformed || unread);
    let answers = &adopted.plan.answers;
    let mut response = respond::refuse(answers, refusal, close, now.wall_ms);
    meter.say_standing(response.headers_mut());
    meter.status(response.status().as_u16(), Some(reason));
    if dialect == Dialect::Grpc {
        grpc::speak(&mut response, reason, &answers.of(reason).message_for(refusal));
    }
    meter.sent_out(response.body().size_hint().lower());
    response
}
