//! What is kept of a request while it lasts, and booked when it ends, however it ends.
//!
//! A [`Meter`] is made with the request and dropped with its answer's last byte, or when the client
//! leaves before: dropping it is what counts and logs, so nothing that was begun is forgotten. It goes
//! through many hands, so it is in a box.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::Guard;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};
use tokio::time::Instant;

use super::adopted::Adopted;
use super::body::{ClientStream, Upload};
use super::client_address::Sender;
use super::connection::{Connection, Holder, Waiting};
use super::cors::Readable;
use super::headers::Trace;
use super::refusals::{Noted, kept_method, kept_target};
use super::respond;
use super::route::Route;
use super::upstream::TargetPool;
use super::worker::Worker;
use crate::auth::Verified;
use crate::auth::table::{KeyRecord, Moment, RotateBy};
use crate::domain::{Key, Millionths, Reason, Refusal};
use crate::limit::Standing;
use crate::spend::{CostError, Reservation};
use crate::telemetry::access::{Entry, masked};
use crate::usage::{Line, Place};

/// nginx's word for a client that left before it was answered; never sent to anybody.
const CLIENT_LEFT: u16 = 499;

/// One request's account.
pub struct Meter {
    worker: Rc<Worker>,
    adopted: Rc<Adopted>,
    connection: Rc<Connection>,
    sender: Sender,
    begun: Instant,
    begun_at: Moment,
    method: Method,
    /// As the client sent it; `None` where nobody wants to know it.
    target: Option<Uri>,
    /// Whether it is logged.
    logged: bool,
    request_id: HeaderValue,
    route: Option<usize>,
    status: Option<u16>,
    reason: Option<Reason>,
    rotate_by: Option<RotateBy>,
    /// Whether it passed every check.
    admitted: bool,
    standing: Option<Standing>,
    payment: Option<Reservation>,
    readable: Option<Box<Readable>>,
    pool: Option<Rc<TargetPool>>,
    sent: Option<Instant>,
    overhead: Option<Duration>,
    upload: Rc<Upload>,
    bytes_out: u64,
    /// Where it will be written down, from before it is forwarded until its answer has come.
    place: Option<Place>,
}

impl Meter {
    /// Begins an account.
    pub fn begin(
        worker: Rc<Worker>,
        adopted: Rc<Adopted>,
        connection: Rc<Connection>,
        sender: Sender,
        request: &Request<ClientStream>,
        trace: &Trace,
    ) -> Box<Self> {
        let logged = worker.access_log().wants();
        let wanted = logged || adopted.plan.config.admin.keep_refusals > 0;
        let begun = Instant::now();
        Box::new(Self {
            connection,
            sender,
            adopted,
            begun,
            begun_at: worker.moment_of(begun),
            method: request.method().clone(),
            target: wanted.then(|| request.uri().clone()),
            logged,
            request_id: trace.request_id.clone(),
            route: None,
            status: None,
            reason: None,
            rotate_by: None,
            admitted: false,
            standing: None,
            payment: None,
            readable: None,
            pool: None,
            sent: None,
            overhead: None,
            upload: Rc::default(),
            bytes_out: 0,
            place: None,
            worker,
        })
    }

    /// When it began, by both clocks: the one time that all its checks go by.
    pub fn begun_at(&self) -> Moment {
        self.begun_at
    }

    /// The wall's time now, as far as the coarse clock knows how long ago it began.
    fn wall_ms(&self) -> i64 {
        let ms = self.worker.now_ms().saturating_sub(self.begun_at.monotonic_ms);
        self.begun_at.wall_ms + ms.cast_signed()
    }

    /// The route it took, by its place in the configuration.
    pub fn routed(&mut self, route: usize) {
        self.route = Some(route);
    }

    /// Whose it is. The sweep then sees to it that it ends with its key.
    pub fn verified(&mut self, verified: &Verified) {
        let (key, secret) = (Arc::clone(verified.key()), verified.secret.id);
        self.connection.held_by(Holder { key, secret });
        let policy = &self.adopted.plan.policy;
        self.rotate_by = verified.rotate_by(policy, || self.begun_at.wall_ms);
    }

    /// Takes its place in the usage journal; without one it must not be forwarded.
    pub fn reserve(&mut self, key: &Key) -> Result<(), Reason> {
        let place = self.worker.usage().reserve(key.id.as_str(), key.owner_id.as_str());
        self.place = Some(place.ok_or(Reason::StoreUnavailable)?);
        Ok(())
    }

    /// The head of its answer has come: what was used, and what that cost, is in the journal before
    /// anything of it goes on to the client.
    pub fn used(
        &mut self,
        route: &Route,
        record: &KeyRecord,
        status: StatusCode,
        cost: Result<i64, CostError>,
    ) {
        let Some(place) = self.place.take() else { return };
        let cost = cost.unwrap_or_else(|error| self.believe_nothing(route, error));
        let cost = if record.counted { cost } else { 0 };
        let lease = self.payment.take().map(|payment| payment.settle(cost));
        place.fill(&Line {
            at_ms: self.wall_ms(),
            request_id: self.request_id.as_bytes(),
            key: record.key.id.as_str(),
            owner: record.key.owner_id.as_str(),
            route: route.usage,
            status: status.as_u16(),
            cost: Millionths::new(cost).unwrap_or_default(),
            lease: lease.map(|(id, paid)| (id, Millionths::new(paid).unwrap_or_default())),
        });
    }

    /// What is charged where the upstream says no usable cost. That is told now and then, and counted.
    fn believe_nothing(&self, route: &Route, error: CostError) -> i64 {
        if self.worker.metrics().cost_refused() {
            let (path, fixed) = (&*route.path, route.charge.fixed);
            tracing::warn!(route = path, %error, fixed, "an upstream said no usable cost");
        }
        route.charge.fixed
    }

    /// It was counted, and so the limit nearest to its end stands.
    pub fn counted(&mut self, standing: Option<Standing>) {
        self.admitted = true;
        self.standing = standing;
    }

    /// Money is set aside for it, which goes back unless it is answered.
    pub fn pays(&mut self, payment: Option<Reservation>) {
        self.payment = payment;
    }

    /// Whatever it is answered, a page may read it so far.
    pub fn readable(&mut self, readable: Readable) {
        self.readable = Some(Box::new(readable));
    }

    /// Says to the client how its limits and its secret stand, and to its browser who may read it.
    pub fn say_standing(&self, headers: &mut HeaderMap) {
        if let Some(readable) = &self.readable {
            readable.say(headers);
        }
        if let Some(Standing { limit, remaining, reset_in_ms, .. }) = self.standing {
            let wall_ms = self.begun_at.wall_ms;
            respond::rate_limit_headers(headers, limit, remaining, reset_in_ms, wall_ms);
        }
        if let Some(rotate_by) = self.rotate_by {
            respond::rotation_headers(headers, rotate_by);
        }
    }

    /// What a refusal for that reason says.
    pub fn message(&self, reason: Reason) -> String {
        self.adopted.plan.answers.of(reason).message_for(&reason.into())
    }

    /// It goes to this target now.
    pub fn sent_to(&mut self, pool: &Rc<TargetPool>) {
        self.pool = Some(Rc::clone(pool));
        self.sent = Some(Instant::now());
    }

    /// The upstream's head has come: what passed before it was sent is the gateway's own time.
    pub fn answered(&mut self) {
        let sent = self.sent.unwrap_or(self.begun);
        self.overhead = Some(sent - self.begun);
    }

    /// What the client is answered with.
    pub fn status(&mut self, status: u16, reason: Option<Reason>) {
        self.status = Some(status);
        self.reason = reason;
    }

    /// It is refused. What is known of it is kept for a while, where refusals are; of a head that was
    /// not `read`, method and target are not its own.
    pub fn refused(&self, refusal: &Refusal, read: bool) {
        let plan = &self.adopted.plan;
        let most = plan.config.admin.keep_refusals;
        if most == 0 {
            return;
        }
        let format = &plan.config.keys.format;
        let holder = self.connection.holder();
        let spent = matches!(refusal.reason(), Reason::BudgetExceeded | Reason::CreditsExhausted);
        let rights = holder.as_ref().map(|holder| {
            holder.key.rights(Guard::into_inner(holder.key.record(&plan.policy)), &plan.policy)
        });
        let noted = Noted {
            request_id: masked(self.request_id.to_str().unwrap_or_default(), format).into(),
            at_ms: self.begun_at.wall_ms,
            client: self.sender.address,
            method: read.then(|| kept_method(&self.method, format)),
            target: self.target.as_ref().filter(|_| read).map(|target| kept_target(target, format)),
            ground: Arc::clone(&self.adopted.ground),
            route: self.route,
            rights,
            journaled: self.place.is_some(),
            admitted: self.admitted || self.sent.is_some(),
            standing: self.standing,
            held: holder.as_ref().filter(|_| spent).map(|holder| holder.key.purse().held()),
            refusal: refusal.clone(),
        };
        self.worker.note_refusal(noted, most);
    }

    /// So much more of the answer's body has gone out.
    pub fn sent_out(&mut self, bytes: u64) {
        self.bytes_out += bytes;
    }

    /// The client's body as it is read.
    pub fn upload(&self) -> &Rc<Upload> {
        &self.upload
    }

    /// The connection it came on.
    pub fn connection(&self) -> &Rc<Connection> {
        &self.connection
    }

    /// Who sent it.
    pub fn sender(&self) -> Sender {
        self.sender
    }

    /// The worker it runs on.
    pub fn worker(&self) -> &Rc<Worker> {
        &self.worker
    }

    fn log(&self, target: &Uri, status: u16, duration: Duration, overhead: Duration) {
        let plan = &self.adopted.plan;
        let route = self.route.map(|index| &plan.router.routes()[index]);
        let holder = self.connection.holder();
        let record = holder.as_ref().map(|holder| holder.key.row());
        let key = record.as_ref().map(|record| &record.key);
        let upstream = route.and_then(|route| plan.upstreams.get(route.upstream));
        let upstream = upstream.map(|it| it.upstream.name.as_str());
        self.worker.access_log().write(&Entry {
            at_ms: self.begun_at.wall_ms,
            request_id: self.request_id.to_str().unwrap_or_default(),
            client: self.sender.address,
            method: Some(self.method.as_str()),
            path: Some(target.path()),
            query: target.query(),
            route: route.map(|route| &*route.path),
            status,
            reason: self.reason.or(self.connection.cut()),
            key_id: key.map(|key| key.id.as_str()),
            owner_id: key.map(|key| key.owner_id.as_str()),
            env: key.map(|key| key.environment),
            upstream: self.pool.as_ref().and(upstream),
            target: self.pool.as_ref().map(|pool| pool.target().authority.as_str()),
            duration,
            overhead,
            bytes_in: self.upload.bytes(),
            bytes_out: self.bytes_out,
            format: &plan.config.keys.format,
        });
    }

    /// One line of each counter that the request touches.
    fn count(&self, status: u16, duration: Duration, overhead: Duration) {
        let metrics = self.worker.metrics();
        self.adopted.route_metrics(self.route).answered(self.worker.index(), status);
        match (self.reason, self.connection.cut()) {
            (Some(reason), _) => metrics.refused(reason, status),
            (None, Some(reason)) => metrics.cut(reason),
            (None, None) => {}
        }
        metrics.answered(duration, overhead);
        metrics.transferred(self.upload.bytes(), self.bytes_out);
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        let duration = self.begun.elapsed();
        let overhead = self.overhead.unwrap_or(duration);
        let status = self.status.unwrap_or(CLIENT_LEFT);
        self.count(status, duration, overhead);
        if let Some(target) = self.target.as_ref().filter(|_| self.logged) {
            self.log(target, status, duration, overhead);
        }
        self.connection.clear_deadline();
        self.connection.let_go();
        self.connection.wait_for(Waiting::Request, self.worker.now_ms());
    }
}
