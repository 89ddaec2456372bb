//! The API by which keys manage keys: section 8 of the contract.
//!
//! The one rule: nobody gets more by it than the key that asks has. Who asks was verified, authorized
//! and counted like any request by the data plane, which hands the call over ([`Desk`]) and waits for
//! its answer; what is done is done here, on the control plane, through [`crate::auth::mint`]. Each
//! call is one short function.

mod agents;
mod amount;
mod auto_rotate;
mod balance;
mod body;
mod desk;
mod idempotency;
mod keys;
mod me;
mod refused;
mod rotate;

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;

use crate::auth::once::Once;
use crate::auth::table::Rights;
use crate::domain::{Call, KeyId, PublicId, Refusal};
use crate::key::SecretText;
use crate::limit::Standing;

pub use desk::{Clerk, Desk, Office};

/// Bytes that a call's body has at most.
pub const MAX_BODY: u64 = 64 * 1024;
/// The longest that a call may take.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// A call as the data plane has let it through.
pub struct Asked {
    /// Which.
    pub call: Call,
    /// What it is about: a segment of its path, which may be a secret.
    pub subject: SecretText,
    /// Its query, if it has one.
    pub query: Option<String>,
    /// Its body.
    pub body: Bytes,
    /// Who asks.
    pub caller: Caller,
    /// How its limits stand with this request counted; of [`Call::Me`] alone.
    pub standings: Vec<Standing>,
    /// Under which name it is to happen once.
    pub once: Option<Once>,
}

/// The key that asks.
pub struct Caller {
    /// What it may do, as it was when the request was let through.
    pub rights: Rights,
    /// By which of its secrets.
    pub secret: PublicId,
    /// From where.
    pub address: IpAddr,
}

impl Caller {
    fn id(&self) -> &KeyId {
        &self.rights.record.key.id
    }
}

/// What a call is answered with.
#[derive(Debug, PartialEq, Eq)]
pub struct Answered {
    /// The HTTP status.
    pub status: u16,
    /// JSON.
    pub body: Bytes,
}

impl Answered {
    fn ok(body: &impl Serialize) -> Self {
        Self::new(200, body)
    }

    fn new(status: u16, body: &impl Serialize) -> Self {
        let body = serde_json::to_vec(body).expect("answers are made of texts, numbers and lists");
        Self { status, body: body.into() }
    }
}

/// What comes of a call.
type Outcome<T = Answered> = Result<T, Refusal>;
