//! Who may come in by the admin plane, and what they may do there.
//!
//! The one rule: an endpoint that shows something takes a `Viewer`, one that changes something
//! takes an `Administrator`, and neither can be had without a token that is good now. Every request
//! asks the store, so that a token that is revoked is dead with the next one. Where the store is out of
//! reach nobody comes in, and nobody is told that their token is wrong.

mod door;
mod extract;
mod failures;
mod known;
pub(super) mod next;
pub(super) mod session;
mod setup;
pub mod token;
mod uses;

use std::net::IpAddr;

use crate::auth::mint::Asker;
use crate::domain::{Actor, AdminToken, Role, SessionId};

pub use door::Door;
pub(super) use door::Knock;
pub(super) use extract::{Administrator, Peer, Viewer};
pub(super) use session::SignedIn;

/// Who has come in.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    /// With this token.
    pub(super) token: AdminToken,
    /// By this session of the dashboard; `None`: with the token itself.
    pub(super) session: Option<SessionId>,
    /// From there.
    pub(super) address: IpAddr,
}

impl Caller {
    /// The same, as the audit log has it.
    pub(super) fn asker(&self) -> Asker {
        Asker { actor: Actor::Token(self.token.id.clone()), address: Some(self.address) }
    }

    /// Whether it may change anything.
    pub(super) fn is_admin(&self) -> bool {
        self.token.role == Role::Admin
    }
}
