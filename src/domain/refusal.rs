//! Why a request was not let through: one variant a reason, from which its answer is made.

use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use super::window::Limit;

/// Everything that is fixed about a reason: its name in the configuration, and what it answers
/// unless `[errors.REASON]` says otherwise.
struct Defaults {
    name: &'static str,
    status: u16,
    code: &'static str,
    message: &'static str,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $status:literal, $code:literal, $message:literal;)*) => {
        /// The reasons of section 7 of the contract, and what each answers by default.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason {
            $($(#[$doc])* $variant,)*
        }

        impl Reason {
            /// Every reason, in the order of the contract.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            fn defaults(self) -> Defaults {
                match self {
                    $(Self::$variant => Defaults {
                        name: $name,
                        status: $status,
                        code: $code,
                        message: $message,
                    },)*
                }
            }
        }
    };
}

reasons! {
    /// No credential in any configured header.
    MissingKey = "missing_key", 401, "unauthorized", "Invalid or missing API key";
    /// The credential is no key's secret, or is not said to be one.
    InvalidKey = "invalid_key", 401, "unauthorized", "Invalid or missing API key";
    /// The key, the secret or an ancestor is past its end.
    ExpiredKey = "expired_key", 401, "unauthorized", "Invalid or missing API key";
    /// The key, the secret or an ancestor was revoked.
    RevokedKey = "revoked_key", 401, "unauthorized", "Invalid or missing API key";
    /// The key is switched off.
    DisabledKey = "disabled_key", 401, "unauthorized", "Invalid or missing API key";
    /// The key's owner is switched off.
    OwnerDisabled = "owner_disabled", 401, "unauthorized", "Invalid or missing API key";
    /// The route asks for a scope that the key lacks.
    MissingScope = "missing_scope", 403, "forbidden", "API key does not have required scope: {scope}";
    /// The client's address is not in the key's allowlist.
    IpNotAllowed = "ip_not_allowed", 403, "forbidden", "API key is not allowed from this address";
    /// A test key on a route for live keys.
    EnvironmentNotAllowed = "environment_not_allowed", 403, "forbidden", "Test keys are not allowed here";
    /// The month's budget is spent.
    BudgetExceeded = "budget_exceeded", 402, "payment_required", "Insufficient credits";
    /// The owner's prepaid credits are spent.
    CreditsExhausted = "credits_exhausted", 402, "payment_required", "Insufficient credits";
    /// A rate limit is reached.
    RateLimited = "rate_limited", 429, "rate_limited", "Too many requests";
    /// The request is malformed or ambiguous.
    BadRequest = "bad_request", 400, "bad_request", "Bad request: {detail}";
    /// It came in clear and where it should have gone can't be told.
    HttpsRequired = "https_required", 403, "forbidden", "Use https";
    /// No route has the path.
    RouteNotFound = "route_not_found", 404, "not_found", "No such route";
    /// The path's routes do not have the method.
    MethodNotAllowed = "method_not_allowed", 405, "method_not_allowed", "Method not allowed";
    /// There is no such key, or none that the asker may see.
    NotFound = "not_found", 404, "not_found", "Not found";
    /// Another request stands in the way: an earlier rotation, or the same Idempotency-Key.
    Conflict = "conflict", 409, "conflict", "Conflict: {detail}";
    /// The request expects what the gateway does not know.
    ExpectationFailed = "expectation_failed", 417, "expectation_failed", "Unknown expectation";
    /// The body is longer than the route takes.
    BodyTooLarge = "body_too_large", 413, "payload_too_large", "Request body too large";
    /// The head is longer than the gateway takes.
    HeadersTooLarge = "headers_too_large", 431, "headers_too_large", "Request headers too large";
    /// No target could be reached, or it broke off before it answered.
    UpstreamUnavailable = "upstream_unavailable", 502, "bad_gateway", "Upstream unavailable";
    /// The target did not answer in time.
    UpstreamTimeout = "upstream_timeout", 504, "gateway_timeout", "Upstream timed out";
    /// The key could not be checked because the store is away.
    StoreUnavailable = "store_unavailable", 503, "unavailable", "Temporarily unavailable";
    /// Too much is waiting already.
    Overloaded = "overloaded", 503, "unavailable", "Temporarily unavailable";
    /// A fault of the gateway itself.
    InternalError = "internal_error", 500, "internal_error", "Internal error";
}

impl Reason {
    /// Why a credential does not let its bearer in. One that once did may come to any of them.
    pub const OF_KEYS: [Self; 5] = [
        Self::InvalidKey,
        Self::ExpiredKey,
        Self::RevokedKey,
        Self::DisabledKey,
        Self::OwnerDisabled,
    ];

    /// The reason as configuration, log and metrics write it.
    pub fn name(self) -> &'static str {
        self.defaults().name
    }

    /// The HTTP status it answers by default.
    pub fn status(self) -> u16 {
        self.defaults().status
    }

    /// The `code` it answers by default.
    pub fn code(self) -> &'static str {
        self.defaults().code
    }

    /// The `message` it answers by default, with its placeholders.
    pub fn message(self) -> &'static str {
        self.defaults().message
    }

    /// The reason of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.name() == name)
    }

    /// Its place in [`Reason::ALL`], for tables by reason.
    pub fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// A refusal with what its answer needs beside the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A reason that needs nothing beside itself.
    Plain(Reason),
    /// The scope that is missing; of an `any_scope` route all its names, space-separated.
    MissingScope(Arc<str>),
    /// A rate limit is reached.
    RateLimited {
        /// Which.
        limit: Limit,
        /// Seconds until the next request would pass, at least 1.
        retry_after: u64,
        /// Milliseconds until the window is whole again, where it is the key's to know.
        reset_in_ms: Option<u64>,
    },
    /// What is wrong with the request, in a few words, never with a part of it.
    BadRequest(&'static str),
    /// A reason, and what is wrong in words that the client may read: names of fields, never secrets.
    Because(Reason, Arc<str>),
    /// The methods that the path has, as an `Allow` header lists them.
    MethodNotAllowed(Arc<str>),
}

impl Refusal {
    /// The reason, for the log, the metrics and the answer.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Plain(reason) | Self::Because(reason, _) => *reason,
            Self::MissingScope(_) => Reason::MissingScope,
            Self::RateLimited { .. } => Reason::RateLimited,
            Self::BadRequest(_) => Reason::BadRequest,
            Self::MethodNotAllowed(_) => Reason::MethodNotAllowed,
        }
    }
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self::Plain(reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_found_by_its_name_and_stands_at_its_index() {
        for (index, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(Reason::from_name(reason.name()), Some(*reason));
            assert_eq!(reason.index(), index);
        }
    }
}
