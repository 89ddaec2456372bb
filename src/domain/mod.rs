//! The contract's words as types.
//!
//! Nothing here does IO, asks for the time or knows a store: every function is a pure one over its
//! arguments. Everything else stands on this module, and it stands on nothing of ours.

pub mod act;
pub mod admin;
pub mod audit;
pub mod call;
pub mod clock;
pub mod event;
pub mod explanation;
pub mod id;
pub mod instance;
pub mod key;
pub mod money;
pub mod month;
pub mod net;
pub mod owner;
pub mod refusal;
pub mod refused;
pub mod rotation;
pub mod scope;
pub mod traffic;
pub mod usage;
pub mod webhook;
pub mod window;

pub use act::{Act, Actor};
pub use admin::{AdminSession, AdminToken, Role, TokenStatus};
pub use audit::{AuditRow, ChainBreak, ChainFault, ChainHead, ChainVerdict};
pub use call::Call;
pub use clock::Clock;
pub use event::{Event, EventKind};
pub use explanation::Explanation;
pub use id::{
    AdminTokenId, AuditId, DeliveryId, EventId, HookId, InstanceId, JournalId, KeyId, OwnerId,
    PublicId, SessionId,
};
pub use instance::{Instance, InstanceStatus, SeenInstance};
pub use key::{Environment, Key, KeyStatus, KeyWithSecrets, LastUse, Secret, SecretStatus};
pub use money::Millionths;
pub use month::Month;
pub use net::AddressRange;
pub use owner::Owner;
pub use refusal::{Reason, Refusal};
pub use refused::RefusedRequest;
pub use rotation::RotationDue;
pub use scope::{Catalogue, ScopeSet};
pub use traffic::TrafficSample;
pub use usage::{LeaseId, Used, UsedInHour};
pub use webhook::{EventPattern, WebhookUrl, WebhookUrlError};
pub use window::{Limit, LimitStanding, Window};
