//! What the gateway offers and tells beside proxying: self-service, traces, events.

use crate::config::shape::Kind::{Bool, Secret, Text};
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

pub(super) const WEBHOOKS: &[Setting] = &[
    Setting::default(
        "allow_private_networks",
        One(Bool),
        "false",
        "Whether events may go to private, loopback and link-local addresses.",
    )
    .later(),
    Setting::default(
        "ca_file",
        One(Text),
        r#""""#,
        "PEM file of certificate authorities trusted beside the system's own.",
    )
    .later(),
    Setting::optional("endpoints", Tables(ENDPOINT), "Where events go.").later(),
];

const ENDPOINT: &[Setting] = &[
    Setting::required("url", One(Text), "Where events are posted to."),
    Setting::default("events", List { of: Text, least: 1 }, r#"["*"]"#, "Which events."),
    Setting::required("secret", One(Secret), "Signs the events: `whsec_…`."),
];
