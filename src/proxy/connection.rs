//! What the requests and the sweep know of one client connection.

use std::cell::{Cell, Ref, RefCell};
use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Waker};

use http::HeaderValue;

use super::tunnel::Tunnel;
use crate::auth::table::{KeyEntry, Moment};
use crate::auth::verify;
use crate::domain::{PublicId, Reason, Refusal};

/// What a connection waits for, for the sweep that ends those that wait too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// The next request.
    Request,
    /// The rest of a head, or the first one.
    Head,
    /// Nothing from the client: a request is under way.
    Nothing,
}

/// Whose request is under way.
pub struct Holder {
    /// The key.
    pub key: Arc<KeyEntry>,
    /// By which of its secrets.
    pub secret: PublicId,
}

/// One client connection. Lives on one thread.
pub struct Connection {
    /// The client's address; an IPv4-mapped one in its IPv4 form.
    pub client: IpAddr,
    /// The same as a header's value.
    pub client_value: HeaderValue,
    /// Whether it speaks TLS.
    pub secure: bool,
    /// Whether it came to the listener that sends everybody to TLS.
    pub redirected: bool,
    waiting: Cell<(Waiting, u64)>,
    /// Since when the client takes no more of its answer.
    stuck: Cell<Option<u64>>,
    /// When what the upstream owes is overdue, by the worker's clock; `u64::MAX`: nothing is.
    deadline: Cell<u64>,
    /// Whose request is under way, where it is a key's.
    holder: RefCell<Option<Holder>>,
    /// Why that request must not go on: what its holder's next one would be refused with.
    cut: Cell<Option<Reason>>,
    task: RefCell<Option<Waker>>,
    has_served: Cell<bool>,
    ended: Cell<bool>,
    leaving: Cell<bool>,
    tunnel: RefCell<Option<Box<Tunnel>>>,
    switched: Cell<bool>,
}

impl Connection {
    /// A connection that was accepted at `now_ms` and owes its first head.
    pub fn new(client: IpAddr, now_ms: u64) -> Self {
        let client = client.to_canonical();
        let value = HeaderValue::from_str(&client.to_string());
        let value = value.expect("an address is a header's value");
        Self::waiting_for((Waiting::Head, now_ms), client, value)
    }

    /// What a connection is to its request, for one of several at a time (HTTP/2), begun at `now_ms`.
    #[must_use]
    pub fn stream(&self, now_ms: u64) -> Self {
        Self::waiting_for((Waiting::Nothing, now_ms), self.client, self.client_value.clone())
            .over_tls(self.secure, self.redirected)
    }

    fn waiting_for(waiting: (Waiting, u64), client: IpAddr, client_value: HeaderValue) -> Self {
        Self {
            client,
            client_value,
            secure: false,
            redirected: false,
            waiting: Cell::new(waiting),
            stuck: Cell::new(None),
            deadline: Cell::new(u64::MAX),
            holder: RefCell::default(),
            cut: Cell::new(None),
            task: RefCell::new(None),
            has_served: Cell::new(false),
            ended: Cell::new(false),
            leaving: Cell::new(false),
            tunnel: RefCell::default(),
            switched: Cell::new(false),
        }
    }

    /// The same, over TLS or not, to be served or sent there.
    #[must_use]
    pub fn over_tls(mut self, secure: bool, redirected: bool) -> Self {
        (self.secure, self.redirected) = (secure, redirected);
        self
    }

    /// What a malformed request gets for an answer: in clear, where TLS is spoken, nothing but that.
    pub fn refusal(&self, found: Refusal) -> Refusal {
        if self.redirected { Reason::HttpsRequired.into() } else { found }
    }

    /// Says what is waited for from now on.
    pub fn wait_for(&self, waiting: Waiting, now_ms: u64) {
        self.waiting.set((waiting, now_ms));
    }

    /// What is waited for, and since when.
    pub fn waiting(&self) -> (Waiting, u64) {
        self.waiting.get()
    }

    /// Says that the client takes no more of its answer, unless that is known.
    pub fn stick(&self, now_ms: impl FnOnce() -> u64) {
        if self.stuck.get().is_none() {
            self.stuck.set(Some(now_ms()));
        }
    }

    /// The client takes its answer.
    pub fn unstick(&self) {
        self.stuck.set(None);
    }

    /// Since when the client takes no more of its answer, if so.
    pub fn stuck_since(&self) -> Option<u64> {
        self.stuck.get()
    }

    /// Takes note of one more request.
    pub fn begin_request(&self) {
        self.waiting.set((Waiting::Nothing, 0));
        self.has_served.set(true);
    }

    /// Sets when what is awaited is overdue.
    pub fn set_deadline(&self, at_ms: u64) {
        self.deadline.set(at_ms);
    }

    /// Nothing is awaited any more.
    pub fn clear_deadline(&self) {
        self.deadline.set(u64::MAX);
    }

    /// Whether what is awaited is overdue. The sweep wakes the connection's task when it is.
    pub fn is_overdue(&self, now_ms: u64) -> bool {
        self.deadline.get() <= now_ms
    }

    /// Says whose the request is that is under way.
    pub fn held_by(&self, holder: Holder) {
        *self.holder.borrow_mut() = Some(holder);
    }

    /// Whose request is under way, where it is a key's.
    pub fn holder(&self) -> Ref<'_, Option<Holder>> {
        self.holder.borrow()
    }

    /// The request is over.
    pub fn let_go(&self) {
        self.holder.take();
        self.cut.set(None);
    }

    /// Has the request under way end, if it is of a key that may call no more.
    pub fn look_at_key(&self, now: Moment) {
        if let Some(holder) = &*self.holder.borrow()
            && let Err(reason) = verify::may_go_on(&holder.key, holder.secret, now)
        {
            self.cut.set(Some(reason));
            self.wake();
        }
    }

    /// Why the request under way must end now, if it must.
    pub fn cut(&self) -> Option<Reason> {
        self.cut.get()
    }

    /// Notes the task that everything of this connection runs in.
    pub fn runs_in(&self, cx: &Context<'_>) {
        let mut task = self.task.borrow_mut();
        if !task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            *task = Some(cx.waker().clone());
        }
    }

    /// Has the task look around.
    pub fn wake(&self) {
        if let Some(task) = &*self.task.borrow() {
            task.wake_by_ref();
        }
    }

    /// What comes behind the answer that is on its way is no HTTP, but for the tunnel that begins when
    /// the answer is written.
    pub fn switch_to(&self, tunnel: Box<Tunnel>) {
        self.switched.set(true);
        *self.tunnel.borrow_mut() = Some(tunnel);
    }

    /// Whether what comes is a tunnel's.
    pub fn is_switched(&self) -> bool {
        self.switched.get()
    }

    /// The tunnel that was switched to, once.
    pub fn take_tunnel(&self) -> Option<Box<Tunnel>> {
        self.tunnel.borrow_mut().take()
    }

    /// Ends the connection without another word.
    pub fn end(&self) {
        self.ended.set(true);
        self.wake();
    }

    /// Ends the connection where it is between two requests; where there was none yet, without
    /// another word.
    pub fn leave(&self) {
        if !self.has_served.get() {
            self.end();
        } else if !self.leaving.replace(true) {
            self.wake();
        }
    }

    /// Whether it is to end between two requests.
    pub fn is_leaving(&self) -> bool {
        self.leaving.get()
    }

    /// Whether it is to end now.
    pub fn is_ended(&self) -> bool {
        self.ended.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_one_form() {
        let connection = Connection::new("::ffff:192.0.2.1".parse().unwrap(), 0);
        assert_eq!(connection.client.to_string(), "192.0.2.1");
        assert_eq!(connection.client_value, "192.0.2.1");
    }

    #[test]
    fn a_connection_without_a_request_yet_leaves_without_a_word() {
        let connection = Connection::new("192.0.2.1".parse().unwrap(), 0);
        connection.begin_request();
        connection.leave();
        assert!(connection.is_leaving() && !connection.is_ended());
        let connection = Connection::new("192.0.2.1".parse().unwrap(), 0);
        connection.leave();
        assert!(connection.is_ended());
    }

    #[test]
    fn a_request_under_way_owes_nothing_and_a_stuck_answer_is_stuck_since_it_first_was() {
        let connection = Connection::new("192.0.2.1".parse().unwrap(), 7);
        assert_eq!(connection.waiting(), (Waiting::Head, 7));
        connection.wait_for(Waiting::Request, 8);
        connection.begin_request();
        assert_eq!(connection.waiting().0, Waiting::Nothing);
        connection.stick(|| 9);
        connection.stick(|| 10);
        assert_eq!(connection.stuck_since(), Some(9));
        connection.unstick();
        assert_eq!(connection.stuck_since(), None);
    }
}
