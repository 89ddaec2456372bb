//! The ways in which a key that could call comes to call no more.

use std::time::Duration;

use keygate::domain::{Key, KeyId};
use tokio::time::Instant;

use super::{MintedKey, TestGateway, bulk};

/// How long a request may be under way after its key's end.
pub(crate) const CUT_WITHIN: Duration = Duration::from_secs(1);
/// A machine that stood still for a moment is not the gateway's fault; so often in a row is.
const ATTEMPTS: usize = 8;
/// Not even such a machine stands still for so long.
const NEVER: Duration = Duration::from_secs(10);
/// How long those last that end by the clock.
const A_SECOND: Duration = Duration::from_secs(1);

/// One way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Revoked,
    Disabled,
    Expired,
    SecretRevoked,
    GraceOver,
    OwnerDisabled,
    ParentRevoked,
    ParentExpired,
    Deleted,
}

/// A key that will end in one way.
pub(crate) struct Doomed {
    pub(crate) key: MintedKey,
    end: End,
    /// What the command names.
    target: String,
}

impl End {
    /// Mints a key that will end so.
    pub(crate) fn key(self, gateway: &TestGateway) -> Doomed {
        let (key, target) = match self {
            Self::OwnerDisabled => {
                gateway.run("owner create acme");
                (gateway.key("--owner acme --name doomed"), "acme".to_owned())
            }
            Self::ParentRevoked | Self::ParentExpired => {
                let parent = gateway.key("--name parent");
                let of_parent =
                    |_, key: &mut Key| key.parent_id = Some(KeyId::from_text(parent.id()));
                let child = bulk::insert(gateway.store(), 1, of_parent).remove(0);
                (child, parent.id().to_owned())
            }
            _ => {
                let key = gateway.key("--name doomed");
                let id = key.id().to_owned();
                (key, id)
            }
        };
        if self == Self::SecretRevoked {
            gateway.mint(&format!("key rotate {target} --grace 7d"));
        }
        Doomed { key, end: self, target }
    }

    /// What the access log says then.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Revoked | Self::SecretRevoked | Self::ParentRevoked | Self::ParentExpired => {
                "revoked_key"
            }
            Self::Disabled => "disabled_key",
            Self::Expired | Self::GraceOver => "expired_key",
            Self::OwnerDisabled => "owner_disabled",
            Self::Deleted => "invalid_key",
        }
    }
}

impl Doomed {
    /// Has it end; from when on it has.
    pub(crate) fn end(&self, gateway: &TestGateway) -> Instant {
        let target = &self.target;
        let command = match self.end {
            End::Revoked | End::ParentRevoked => format!("key revoke {target} --no-wait"),
            End::Disabled => format!("key disable {target}"),
            End::Expired | End::ParentExpired => format!("key update {target} --expires 1s"),
            End::SecretRevoked => {
                let secret_id = &self.key.secret()["sk_live_".len()..][..8];
                format!("key revoke {target} --secret {secret_id} --no-wait")
            }
            End::GraceOver => {
                gateway.mint(&format!("key rotate {target} --grace 1s"));
                return Instant::now() + A_SECOND;
            }
            End::OwnerDisabled => format!("owner disable {target}"),
            End::Deleted => {
                gateway.store().sql(&format!("DELETE FROM keys WHERE id = '{target}'"));
                return Instant::now();
            }
        };
        gateway.run(&command);
        let by_clock = matches!(self.end, End::Expired | End::ParentExpired);
        Instant::now() + if by_clock { A_SECOND } else { Duration::ZERO }
    }
}

/// Plays what says how long after its key's end the last request has ended; that must be in time.
pub(crate) fn in_time(play: impl Fn() -> Option<Duration>) {
    let mut late = Vec::new();
    while late.len() < ATTEMPTS {
        match play() {
            None => return,
            Some(after) if after < CUT_WITHIN => return,
            Some(after) => {
                assert!(after < NEVER, "what was under way was not cut");
                late.push(after);
            }
        }
    }
    panic!("what was under way was not cut in time: {late:?}");
}
