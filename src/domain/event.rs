//! What happened and is told to the outside: section 9 of the contract.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::id::{EventId, KeyId, OwnerId};

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $name:literal;)*) => {
        /// The kinds of events.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum EventKind {
            $($(#[$doc])* $variant,)*
        }

        impl EventKind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The kind as webhooks and the configuration write it.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

kinds! {
    /// A key was made.
    KeyCreated = "key.created";
    /// A key has a new secret.
    KeyRotated = "key.rotated";
    /// A key was ended for good.
    KeyRevoked = "key.revoked";
    /// A key's schedule asks for a new secret.
    KeyRotationDue = "key.rotation_due";
    /// A key ends soon.
    KeyExpiring = "key.expiring";
    /// A key has spent 80 or 100 % of its budget.
    BudgetThreshold = "budget.threshold";
    /// An owner's credits are below their threshold.
    CreditsLow = "credits.low";
    /// A key is used unlike before.
    UsageUnusual = "usage.unusual";
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for EventKind {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.iter().copied().find(|kind| kind.name() == text).ok_or(())
    }
}

/// Something that happened. It never carries a secret.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// `evt_…`.
    pub id: EventId,
    /// What.
    pub kind: EventKind,
    /// When.
    pub at: Timestamp,
    /// The key or owner that it is about: events of one subject are told in their order.
    pub subject: String,
    /// An object with what there is to know.
    pub data: Value,
}

impl Event {
    /// An event that happens now.
    pub fn new(kind: EventKind, subject: &str, data: Value, at: Timestamp) -> Self {
        Self { id: EventId::mint(), kind, at, subject: subject.to_owned(), data }
    }

    /// An event about a key that happens now: its data begins with whose it is; `more` is an object.
    pub fn of_key(
        kind: EventKind,
        key: &KeyId,
        owner: &OwnerId,
        more: Value,
        at: Timestamp,
    ) -> Self {
        let mut data = json!({ "key_id": key, "owner": owner });
        if let (Value::Object(data), Value::Object(more)) = (&mut data, more) {
            data.extend(more);
        }
        Self::new(kind, key.as_str(), data, at)
    }
}
