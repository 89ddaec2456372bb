//! What is behind the gateway and what it takes to get there: scopes, upstreams, routes, answers.

use super::{ANY_SIZE, LONGER_THAN_ZERO};
use crate::config::shape::Kind::{Amount, Bool, Integer, Limit, Secret, Text};
use crate::config::shape::Setting;
use crate::config::shape::Shape::{List, Named, One, Table};

pub(super) const SCOPE: &[Setting] = &[
    Setting::default("description", One(Text), r#""""#, "For people who choose scopes."),
    Setting::default(
        "implies",
        List { of: Text, least: 0 },
        "[]",
        "Scopes that come with it: names, `prefix:*` or `*`.",
    ),
];

pub(super) const UPSTREAM: &[Setting] = &[
    Setting::required(
        "targets",
        List { of: Text, least: 1 },
        "Where requests go: `http://HOST[:PORT]` or `https://HOST[:PORT]`; of several, the less busy \
         of two random ones.",
    ),
    Setting::default(
        "sandbox",
        List { of: Text, least: 0 },
        "[]",
        "Where test keys' requests go, in the same form; empty: where all go.",
    ),
    Setting::optional(
        "health",
        Table(HEALTH),
        "Active health checks: a target is down after two that fail, up again after one that \
         succeeds. Without them only requests find out.",
    ),
    Setting::default(
        "connect_timeout",
        One(LONGER_THAN_ZERO),
        r#""2s""#,
        "How long a connection may take to stand.",
    ),
    Setting::default(
        "timeout",
        One(LONGER_THAN_ZERO),
        r#""60s""#,
        "How long the upstream may take to begin its answer, and between two pieces of it.",
    ),
    Setting::default(
        "retries",
        One(Integer { least: 0, most: 10 }),
        "1",
        "Further targets tried: with any method when no connection could be made, with an \
         idempotent one when nothing came back.",
    ),
    Setting::default(
        "http2",
        One(Bool),
        "false",
        "Whether `http://` targets speak HTTP/2, by prior knowledge. An `https://` target chooses \
         for itself.",
    ),
    Setting::optional("tls", Table(UPSTREAM_TLS), "For `https://` targets."),
    Setting::optional(
        "set_headers",
        Named { key: "HEADER", of: &One(Secret) },
        "Headers set on every request to it, in place of the client's own. `config show` masks \
         their values.",
    ),
];

const HEALTH: &[Setting] = &[
    Setting::default(
        "path",
        One(Text),
        r#""""#,
        "What is asked for with GET; any answer of 200 to 399 within 2 seconds is a good one. \
         Empty: no checks.",
    ),
    Setting::default("interval", One(LONGER_THAN_ZERO), r#""5s""#, "How often."),
];

const UPSTREAM_TLS: &[Setting] = &[
    Setting::default(
        "ca",
        One(Text),
        r#""""#,
        "File with the certificates of the authorities that are believed, in PEM; empty: the \
         system's.",
    ),
    Setting::default(
        "cert",
        One(Text),
        r#""""#,
        "File with the certificate, and those above it, that the gateway shows to targets.",
    ),
    Setting::default("key", One(Text), r#""""#, "File with the key of `cert`."),
    Setting::default(
        "server_name",
        One(Text),
        r#""""#,
        "What the targets' certificates must be for; empty: each target's host.",
    ),
];

pub(super) const ROUTE: &[Setting] = &[
    Setting::required(
        "path",
        One(Text),
        "Literal segments, `{name}` for any one segment, `/**` last for one or more.",
    ),
    Setting::optional(
        "methods",
        List { of: Text, least: 1 },
        "Methods it has; absent: all. GET allows HEAD; OPTIONS only where it is listed, but for \
         the preflights of `cors`.",
    ),
    Setting::optional(
        "scopes",
        List { of: Text, least: 0 },
        "Scopes a key must have, all of them. Without `scopes`, `any_scope` and `public` any key \
         will do.",
    ),
    Setting::optional(
        "any_scope",
        List { of: Text, least: 1 },
        "Scopes of which a key must have one, instead of `scopes`.",
    ),
    Setting::default(
        "public",
        One(Bool),
        "false",
        "Whether it needs no key at all, instead of `scopes`.",
    ),
    Setting::required("upstream", One(Text), "Name of the upstream it goes to."),
    Setting::optional(
        "cost",
        One(Amount),
        "What a request costs the key, its ancestors and its owner; beside `cost_header`, what is \
         charged when the upstream does not say.",
    ),
    Setting::default(
        "cost_header",
        One(Text),
        r#""""#,
        "Header in which the upstream says what the request cost, as a decimal number; the client \
         is not told. Empty: it says nothing.",
    ),
    Setting::default(
        "limits",
        List { of: Limit, least: 0 },
        "[]",
        "Rate limits of each key on this route, beside the key's own.",
    ),
    Setting::default(
        "strip_prefix",
        One(Text),
        r#""""#,
        "Taken off the front of the path before it is sent on: whole literal segments of `path`.",
    ),
    Setting::optional(
        "max_body",
        One(ANY_SIZE),
        "How long a body may be, in place of `server.max_body`.",
    ),
    Setting::optional(
        "timeout",
        One(LONGER_THAN_ZERO),
        "In place of the upstream's. A WebSocket on which nothing is said for it ends, and without it \
         after an hour.",
    ),
    Setting::default("allow_test_keys", One(Bool), "true", "Whether test keys may."),
    Setting::default(
        "forward_trailers",
        One(Bool),
        "false",
        "Whether request trailers that `Trailer` announces are sent on, filtered like headers. \
         The answer's trailers always pass.",
    ),
    Setting::default(
        "underscore_headers",
        One(Bool),
        "false",
        "Whether header names with an underscore are let through.",
    ),
    Setting::default(
        "websocket",
        One(Bool),
        "true",
        "Whether a GET may become a WebSocket. Any other `Upgrade` is taken off.",
    ),
    Setting::optional(
        "cors",
        Table(CORS),
        "Browser access: preflight answered without a key, errors readable by the page.",
    ),
];

const CORS: &[Setting] = &[Setting::default(
    "origins",
    List { of: Text, least: 0 },
    "[]",
    "Origins of pages that may call, as browsers send them (`https://HOST[:PORT]`), or `*` alone \
     for all; empty: none.",
)];

pub(super) const IDENTITY: &[Setting] = &[
    Setting::default(
        "header_prefix",
        One(Text),
        r#""x-auth-""#,
        "Begins the names of the identity headers. Whatever a client sends under it is removed.",
    ),
    Setting::section("jwt", JWT, "A signed assertion beside the headers."),
];

const JWT: &[Setting] =
    &[Setting::default("enabled", One(Bool), "false", "Whether `x-auth-assertion` is sent.")
        .later()];

pub(super) const ERROR: &[Setting] = &[
    Setting::optional("status", One(Integer { least: 400, most: 599 }), "The HTTP status."),
    Setting::optional("code", One(Text), "The `code` of the body."),
    Setting::optional(
        "message",
        One(Text),
        "The `message` of the body. `{scope}` is filled in for missing_scope, `{limit}` and \
         `{retry_after}` for rate_limited, `{detail}` for bad_request.",
    ),
];
