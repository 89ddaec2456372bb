//! Step 9: which headers go on, which are taken off, which are set.
//!
//! The one rule: everything that could be ours is taken off first, in any spelling, and what is ours
//! is set last, so that no client can say it for us.

use std::ops::Range;

use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, HeaderName, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE,
};
use http::{HeaderMap, HeaderValue};

use super::authorize::Holder;
use super::client_address::Sender;
use super::connection::Connection;
use super::cookies;
use super::credential;
use super::plan::{IdentityNames, Plan};
use super::route::Route;
use super::trailers;
use crate::key::SecretFormat;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const PROXY_AUTHENTICATE: HeaderName = HeaderName::from_static("proxy-authenticate");
const PROXY_AUTHORIZATION: HeaderName = HeaderName::from_static("proxy-authorization");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");
const FORWARDED: HeaderName = HeaderName::from_static("forwarded");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub(super) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// Kept from the client where it is well-formed, made where it is not.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Hop-by-hop (RFC 9110 section 7.6.1), and framing, which is written anew.
static HOP_BY_HOP: [HeaderName; 10] = [
    CONNECTION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    HTTP2_SETTINGS,
];
/// What a client says of itself and no trusted proxy confirmed, and what could make an upstream
/// take another method or length than was checked.
static UNTRUSTED: [HeaderName; 9] = [
    FORWARDED,
    X_REAL_IP,
    TRACESTATE,
    EXPECT,
    CONTENT_LENGTH,
    HeaderName::from_static("x-http-method-override"),
    HeaderName::from_static("x-http-method"),
    HeaderName::from_static("x-method-override"),
    HeaderName::from_static("x-original-method"),
];

/// One request's names: `traceparent` (W3C Trace Context) and, cut out of it, a request id.
pub struct Trace {
    /// `X-Request-Id`.
    pub request_id: HeaderValue,
    traceparent: HeaderValue,
}

impl Trace {
    /// Takes the client's request id if it is 1 to 64 of `[A-Za-z0-9._-]`, else the trace's own;
    /// and the trace of a peer that is believed, else begins one.
    pub fn new(headers: &HeaderMap, believed: bool, random: [u8; 24]) -> Self {
        let text = Bytes::from_owner(traceparent(random));
        let value = |text| HeaderValue::from_maybe_shared(text).expect("hex is a header's value");
        let given = headers.get(X_REQUEST_ID).filter(|id| is_request_id(id.as_bytes()));
        let before = if believed { begun_before(headers) } else { None };
        Self {
            request_id: given.cloned().unwrap_or_else(|| value(text.slice(TRACE_ID))),
            traceparent: before.unwrap_or_else(|| value(text)),
        }
    }
}

/// Where the trace's id lies in a `traceparent`.
const TRACE_ID: Range<usize> = 3..35;

/// `00-{trace id}-{parent id}-01`: the trace is begun here. It is marked as sampled because the
/// common parent-based samplers follow the mark, and an upstream would else record nothing at all.
fn traceparent(random: [u8; 24]) -> [u8; 55] {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut text = *b"00-................................-................-01";
    let (trace, parent) = random.split_at(16);
    for (id, from) in [(trace, TRACE_ID.start), (parent, TRACE_ID.end + 1)] {
        for (byte, digits) in id.iter().zip(text[from..].chunks_exact_mut(2)) {
            digits[0] = HEX[usize::from(byte >> 4)];
            digits[1] = HEX[usize::from(byte & 15)];
        }
    }
    text
}

/// The one `traceparent` that the headers hold, if it has the form of its version 00 (W3C Trace
/// Context section 3.2.2).
fn begun_before(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut values = headers.get_all(TRACEPARENT).iter();
    let value = values.next().filter(|_| values.next().is_none())?;
    let parts: Vec<&[u8]> = value.as_bytes().split(|byte| *byte == b'-').collect();
    let [b"00", trace, parent, flags] = parts[..] else { return None };
    let hex = |part: &[u8]| part.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let lengths = (trace.len(), parent.len(), flags.len()) == (32, 16, 2);
    let named = [trace, parent].iter().all(|part| part.iter().any(|byte| *byte != b'0'));
    let well_formed = lengths && named && [trace, parent, flags].iter().all(|part| hex(part));
    well_formed.then(|| value.clone())
}

fn is_request_id(id: &[u8]) -> bool {
    let part = |b: &u8| b.is_ascii_alphanumeric() || b"._-".contains(b);
    (1..=64).contains(&id.len()) && id.iter().all(part)
}

/// What of a request and its connection decides its headers.
pub struct Outbound<'a> {
    /// The configuration in force.
    pub plan: &'a Plan,
    /// The route taken.
    pub route: &'a Route,
    /// The client's connection.
    pub connection: &'a Connection,
    /// Who sent the request.
    pub sender: Sender,
    /// Whose request it is.
    pub holder: Option<&'a Holder>,
    /// Which configured credential headers held the key, one bit each.
    pub held_in: u64,
    /// The request's names.
    pub trace: &'a Trace,
    /// What `Host` says where the client gave none.
    pub authority: Option<&'a HeaderValue>,
}

/// What stands among a head's names, found in one pass: hardly any head has any of it, and to look for
/// each name would cost a hash of it.
#[derive(Clone, Copy, Default)]
struct Seen {
    hop_by_hop: bool,
    untrusted: bool,
    cookie: bool,
}

impl Seen {
    fn among(headers: &HeaderMap, outbound: &Outbound<'_>) -> Self {
        let underscores = outbound.route.underscore_headers;
        let mut seen = Self::default();
        for name in headers.keys() {
            seen.hop_by_hop |= HOP_BY_HOP.contains(name);
            seen.untrusted |= UNTRUSTED.contains(name)
                || is_forged(name.as_str(), &outbound.plan.identity, underscores);
            seen.cookie |= *name == COOKIE;
        }
        seen
    }
}

/// Room for what is ours to set on every request.
const OURS: usize = 14;

/// Makes a client's headers the upstream's. What comes back are the trailers that may go on.
pub fn to_upstream(headers: &mut HeaderMap, outbound: &Outbound<'_>) -> Box<[HeaderName]> {
    let seen = Seen::among(headers, outbound);
    let announced = if outbound.route.forward_trailers {
        trailers::announced(headers, |name| trailers::may_go_up(name, outbound))
    } else {
        Box::default()
    };
    let takes_trailers = seen.hop_by_hop && trailers::are_welcome(headers);
    if seen.hop_by_hop {
        remove_hop_by_hop(headers);
    }
    remove_credentials(headers, outbound);
    if seen.cookie {
        cookies::remove_sessions(headers);
    }
    if seen.untrusted {
        let traced = outbound.sender.believed
            && headers.get(TRACEPARENT) == Some(&outbound.trace.traceparent);
        let state = traced.then(|| headers.remove(TRACESTATE)).flatten();
        remove_forgeries(headers, &outbound.plan.identity, outbound.route.underscore_headers);
        if let Some(state) = state {
            headers.insert(TRACESTATE, state);
        }
    }
    headers.reserve(OURS);
    for (name, value) in &outbound.plan.upstreams[outbound.route.upstream].upstream.set_headers {
        headers.insert(name.clone(), value.clone());
    }
    set_forwarded(headers, outbound);
    if let Some(holder) = outbound.holder {
        set_identity(headers, &outbound.plan.identity, holder);
    }
    trailers::announce(headers, &announced);
    if takes_trailers {
        // RFC 9110 section 10.1.4: of this hop, like everything that Connection names.
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(CONNECTION, HeaderValue::from_static("te"));
    }
    announced
}

/// Makes an upstream's headers the client's.
pub fn to_client(headers: &mut HeaderMap) {
    if headers.keys().any(|name| HOP_BY_HOP.contains(name)) {
        let announced = trailers::announced(headers, trailers::may_come_down);
        remove_hop_by_hop(headers);
        trailers::announce(headers, &announced);
    }
}

/// Those that `Connection` names go too, but for the ones that a client may not take away: the
/// framing is dropped anyway, and ours are set later.
fn remove_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        let named: Vec<HeaderName> =
            listed(headers, &CONNECTION).filter(|n| *n != HOST && *n != CONTENT_LENGTH).collect();
        for name in named {
            headers.remove(name);
        }
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}

/// The names that a header lists, commas between them.
pub(super) fn listed<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = HeaderName> + use<'h> {
    let values = headers.get_all(name).iter();
    let names = values.flat_map(|value| value.as_bytes().split(|b| *b == b','));
    names.filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
}

/// Takes off every configured header that held the key; on a public route, where none was looked
/// for, every one that holds a string of a key's form.
fn remove_credentials(headers: &mut HeaderMap, outbound: &Outbound<'_>) {
    let keys = &outbound.plan.config.keys;
    for (place, name) in keys.headers.iter().enumerate() {
        let held = outbound.held_in & (1 << place) != 0;
        if held || (outbound.holder.is_none() && holds_secret(headers, name, &keys.format)) {
            headers.remove(name);
        }
    }
}

fn holds_secret(headers: &HeaderMap, name: &HeaderName, format: &SecretFormat) -> bool {
    let texts = headers.get_all(name).iter().filter_map(|v| credential::text_of(name, v));
    texts.into_iter().any(|text| format.parse(text).is_some())
}

fn remove_forgeries(headers: &mut HeaderMap, identity: &IdentityNames, underscores: bool) {
    for name in &UNTRUSTED {
        headers.remove(name);
    }
    let forged = |name: &HeaderName| is_forged(name.as_str(), identity, underscores);
    if headers.keys().any(forged) {
        let names: Vec<HeaderName> = headers.keys().filter(|name| forged(name)).cloned().collect();
        for name in names {
            headers.remove(name);
        }
    }
}

/// Whether a name could be taken for one that is ours; the plain spellings of what is overwritten or
/// removed by name anyway are not looked at.
pub(super) fn is_forged(name: &str, identity: &IdentityNames, underscores: bool) -> bool {
    let underscore = name.contains('_');
    (underscore && !underscores)
        || begins_folded(name, &identity.prefix)
        || (underscore && is_ours_folded(name))
}

/// Whether a name begins with the prefix, `_` read as `-`. Both are in lower case.
fn begins_folded(name: &str, prefix: &str) -> bool {
    let fold = |byte: u8| if byte == b'_' { b'-' } else { byte };
    name.len() >= prefix.len()
        && name.bytes().zip(prefix.bytes()).all(|(have, want)| fold(have) == fold(want))
}

/// Whether a name is one that is ours to set or take off, `_` read as `-`.
pub(super) fn is_ours_folded(name: &str) -> bool {
    let ours = [&X_FORWARDED_FOR, &X_FORWARDED_HOST, &X_FORWARDED_PROTO, &X_REQUEST_ID];
    ours.iter().copied().chain(&UNTRUSTED).chain(&HOP_BY_HOP).any(|own| is_folded(name, own))
}

/// Whether two names are one, `_` read as `-`.
pub(super) fn is_folded(name: &str, other: &HeaderName) -> bool {
    other.as_str().len() == name.len() && begins_folded(name, other.as_str())
}

fn set_forwarded(headers: &mut HeaderMap, outbound: &Outbound<'_>) {
    let believed = outbound.sender.believed;
    let host = headers.get(HOST).cloned();
    if !believed || !headers.contains_key(X_FORWARDED_HOST) {
        match &host {
            Some(host) => headers.insert(X_FORWARDED_HOST, host.clone()),
            None => headers.remove(X_FORWARDED_HOST),
        };
    }
    if let (None, Some(authority)) = (host, outbound.authority) {
        headers.insert(HOST, authority.clone());
    }
    let scheme = if outbound.connection.secure { "https" } else { "http" };
    if !believed || !headers.contains_key(X_FORWARDED_PROTO) {
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(scheme));
    }
    let peer = &outbound.connection.client_value;
    let way = if believed { way_so_far(headers, outbound) } else { peer.clone() };
    headers.insert(X_FORWARDED_FOR, way);
    headers.insert(X_REQUEST_ID, outbound.trace.request_id.clone());
    headers.insert(TRACEPARENT, outbound.trace.traceparent.clone());
}

/// What the trusted peer said of the way, and the peer. Where it said it by `Forwarded`, the client
/// and the peer: one header tells it all.
fn way_so_far(headers: &HeaderMap, outbound: &Outbound<'_>) -> HeaderValue {
    let peer = &outbound.connection.client_value;
    let mut way: Vec<u8> = Vec::new();
    for value in headers.get_all(X_FORWARDED_FOR).iter().filter(|value| !value.is_empty()) {
        way.extend_from_slice(value.as_bytes());
        way.extend_from_slice(b", ");
    }
    if way.is_empty() && outbound.sender.address != outbound.connection.client {
        way.extend_from_slice(outbound.sender.address.to_string().as_bytes());
        way.extend_from_slice(b", ");
    }
    way.extend_from_slice(peer.as_bytes());
    HeaderValue::from_maybe_shared(Bytes::from(way)).expect("values and commas make a value")
}

fn set_identity(headers: &mut HeaderMap, names: &IdentityNames, holder: &Holder) {
    let record = &holder.rights.record;
    let identity = &record.identity;
    headers.insert(names.key_id.clone(), identity.key_id.clone());
    headers.insert(names.key_name.clone(), identity.key_name.clone());
    headers.insert(names.owner.clone(), record.owner.value.clone());
    headers.insert(names.scopes.clone(), holder.rights.told().clone());
    headers.insert(names.env.clone(), record.env_value());
    if let Some(parent) = identity.parent.as_deref() {
        headers.insert(names.parent.clone(), parent.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names_left(given: &[(&'static str, &'static str)], underscores: bool) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let identity = IdentityNames::under("x-auth-");
        remove_hop_by_hop(&mut headers);
        remove_forgeries(&mut headers, &identity, underscores);
        headers.keys().map(|name| name.as_str().to_owned()).collect()
    }

    #[test]
    fn hop_by_hop_headers_and_those_that_connection_names_go() {
        let given = [
            ("connection", "keep-alive, X-Secret ,host, content-length"),
            ("x-secret", "a"),
            ("keep-alive", "5"),
            ("te", "trailers"),
            ("upgrade", "h2c"),
            ("http2-settings", "x"),
            ("transfer-encoding", "chunked"),
            ("host", "a"),
            ("accept", "b"),
        ];
        assert_eq!(names_left(&given, false), ["accept", "host"]);
    }

    #[test]
    fn what_could_pass_for_ours_goes_in_every_spelling() {
        let given = [
            ("x-auth-key-id", "a"),
            ("x_auth_key_id", "a"),
            ("x-auth_owner", "a"),
            ("x-auth-anything", "a"),
            ("x_forwarded_for", "a"),
            ("x-http-method-override", "DELETE"),
            ("x_http_method_override", "DELETE"),
            ("x-authority", "stays"),
            ("under_score", "a"),
        ];
        assert_eq!(names_left(&given, false), ["x-authority"]);
        assert_eq!(names_left(&given, true), ["x-authority", "under_score"]);
    }

    #[test]
    fn a_request_id_of_the_client_is_kept_where_it_is_well_formed() {
        let trace = |id: &'static str| {
            let headers = HeaderMap::from_iter([(
                X_REQUEST_ID,
                HeaderValue::from_bytes(id.as_bytes()).unwrap(),
            )]);
            Trace::new(&headers, false, [0xab; 24]).request_id
        };
        assert_eq!(trace("my-id_1.2"), "my-id_1.2");
        for wrong in ["", "a b", "é", "x".repeat(65).leak()] {
            assert_eq!(trace(wrong), "ab".repeat(16), "{wrong:?}");
        }
    }

    #[test]
    fn a_traceparent_has_the_form_of_the_w3c() {
        let trace = Trace::new(&HeaderMap::new(), true, [0x1f; 24]);
        let expected = format!("00-{}-{}-01", "1f".repeat(16), "1f".repeat(8));
        assert_eq!(trace.traceparent, *expected);
    }

    #[test]
    fn a_trace_is_kept_of_who_is_believed_and_only_in_its_form() {
        let kept = |believed, values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(TRACEPARENT, HeaderValue::from_static(value));
            }
            let trace = Trace::new(&headers, believed, [0x1f; 24]).traceparent;
            values.first() == Some(&trace.to_str().unwrap())
        };
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
        assert!(kept(true, &[good]));
        assert!(!kept(false, &[good]));
        assert!(!kept(true, &[good, good]));
        for wrong in [
            "",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-00",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00-00",
        ] {
            assert!(!kept(true, &[wrong]), "{wrong}");
        }
    }
}
