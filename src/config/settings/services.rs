//! What the gateway offers and tells beside proxying: self-service, traces, events.

use crate::config::shape::Kind::{Bool, Secret, Text, Url};
use crate::config::shape::Setting;
use crate::config::shape::Shape::{List, Named, One, Tables};

pub(super) const SELF_SERVICE: &[Setting] = &[
    Setting::default("enabled", One(Bool), "false", "Whether there is a self-service API."),
    Setting::default(
        "prefix",
        One(Text),
        r#""/v1""#,
        "Path it is under. Its calls win over routes of the same path and method; empty: the root.",
    ),
    Setting::optional(
        "scopes",
        Named { key: "SCOPE", of: &One(Text) },
        "Other names for the scopes that its calls ask for: `agents:create`, `billing:read`, \
         `keys:read`, `keys:write`. Those that `[scopes]` does not describe are added to it.",
    ),
];

pub(super) const TELEMETRY: &[Setting] = &[Setting::default(
    "otlp_endpoint",
    One(Text),
    r#""""#,
    "Where traces are sent by OTLP; empty for nowhere.",
)
.later()];

pub(super) const ALERTS: &[Setting] = &[Setting::default(
    "unusual_usage",
    One(Bool),
    "false",
    "Whether `usage.unusual` is told where a key had many more requests in an hour than it ever had at \
     that time of the day.",
)];

pub(super) const WEBHOOKS: &[Setting] = &[
    Setting::default(
        "allow_private_networks",
        One(Bool),
        "false",
        "Whether events may go to private, loopback and link-local addresses, and over `http://`. \
         Where keys may name addresses for their own events, it holds for those too.",
    ),
    Setting::default(
        "ca_file",
        One(Text),
        r#""""#,
        "PEM file of certificate authorities trusted beside the system's own.",
    ),
    Setting::default(
        "key_file",
        One(Text),
        r#""""#,
        "File with at least 32 random characters, kept outside the store, under which the secrets \
         of addresses that keys and owners have named are encrypted. Empty: under the cache key; \
         where there is none either, a SQLite store gets a file `DATABASE.hooks-key` beside it, and \
         with Postgres no such address can be registered. To replace it, put the new one on the \
         first line and leave the old one on the second for an hour.",
    ),
    Setting::optional("endpoints", Tables(ENDPOINT), "Where events go."),
];

const ENDPOINT: &[Setting] = &[
    Setting::required(
        "url",
        One(Url),
        "Where events are posted to: `https://`, without user and password.",
    ),
    Setting::default(
        "events",
        List { of: Text, least: 1 },
        r#"["*"]"#,
        "Which events: by name, `key.*` for a group, `*` for all.",
    ),
    Setting::required(
        "secret",
        One(Secret),
        "Signs the events: `whsec_` and base64 of 24 to 64 random bytes.",
    ),
];
