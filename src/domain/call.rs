//! The calls of the self-service API: section 8 of the contract.

use http::Method;

macro_rules! calls {
    ($($(#[$doc:meta])* $variant:ident = $method:ident $path:literal $scope:expr;)*) => {
        /// What a key may ask of keygate itself.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Call {
            $($(#[$doc])* $variant,)*
        }

        impl Call {
            /// Every call.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its method.
            pub fn method(self) -> Method {
                match self {
                    $(Self::$variant => Method::$method,)*
                }
            }

            /// Its path under the prefix, `{name}` for what is asked about.
            pub fn path(self) -> &'static str {
                match self {
                    $(Self::$variant => $path,)*
                }
            }

            /// The scope that it asks for, unless the configuration has another name for it.
            pub fn scope(self) -> Option<&'static str> {
                match self {
                    $(Self::$variant => $scope,)*
                }
            }
        }
    };
}

const KEYS_READ: Option<&str> = Some("keys:read");
const KEYS_WRITE: Option<&str> = Some("keys:write");
const AGENTS_CREATE: Option<&str> = Some("agents:create");
const BILLING_READ: Option<&str> = Some("billing:read");

/// The scopes that the calls ask for, with what each lets a key do.
pub const SCOPES: [(&str, &str); 4] = [
    ("agents:create", "Make child keys, list and revoke them"),
    ("billing:read", "See budget, spending and credits"),
    ("keys:read", "List the owner's keys"),
    ("keys:write", "Make child keys, and revoke the owner's keys"),
];

calls! {
    /// A key under the calling one.
    CreateKey = POST "/api-keys" KEYS_WRITE;
    /// The owner's keys.
    ListKeys = GET "/api-keys" KEYS_READ;
    /// A new secret of the calling key.
    Rotate = POST "/api-keys/rotate" None;
    /// The calling key's rotation on schedule.
    StartAutoRotation = POST "/api-keys/auto-rotate" None;
    /// The same, to be seen.
    ShowAutoRotation = GET "/api-keys/auto-rotate" None;
    /// The end of it.
    StopAutoRotation = DELETE "/api-keys/auto-rotate" None;
    /// One of the owner's keys.
    ShowKey = GET "/api-keys/{id}" KEYS_READ;
    /// The end of one of them.
    RevokeKey = DELETE "/api-keys/{id}" KEYS_WRITE;
    /// A key under the calling one, in other words.
    CreateChild = POST "/agents/create-child" AGENTS_CREATE;
    /// The keys under the calling one.
    ListChildren = GET "/agents" AGENTS_CREATE;
    /// The end of one of them.
    RevokeChild = DELETE "/agents/{child}/revoke" AGENTS_CREATE;
    /// What the calling key is and may do.
    Me = GET "/me" None;
    /// Its money.
    Balance = GET "/balance" BILLING_READ;
}

impl Call {
    /// Whether an `Idempotency-Key` makes it happen once however often it is sent.
    pub fn is_creation(self) -> bool {
        matches!(self, Self::CreateKey | Self::Rotate | Self::CreateChild)
    }

    /// What the last variable segment of its path says in `path`, which it has matched.
    pub fn subject(self, path: &str) -> &str {
        let template = self.path().rsplit('/');
        let mut segments = template.zip(path.rsplit('/'));
        segments.find(|(name, _)| name.starts_with('{')).map_or("", |(_, subject)| subject)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_about_is_the_segment_that_varies() {
        assert_eq!(Call::ShowKey.subject("/v1/api-keys/key_1"), "key_1");
        assert_eq!(Call::RevokeChild.subject("/v1/agents/key_2/revoke"), "key_2");
        assert_eq!(Call::Me.subject("/v1/me"), "");
    }

    #[test]
    fn every_scope_of_a_call_is_among_the_scopes() {
        for scope in Call::ALL.iter().filter_map(|call| call.scope()) {
            assert!(SCOPES.iter().any(|(name, _)| *name == scope), "{scope}");
        }
    }
}
