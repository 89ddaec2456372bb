//! Who sent a request, where a trusted proxy passed it on: `X-Forwarded-For` and `Forwarded`
//! (RFC 7239).
//!
//! The one rule: an address is believed only from who stands behind it. The peer is known from the
//! socket; if it is trusted, what it wrote last is believed; if that is a trusted proxy's address
//! too, what stands before it; and so on from the right, up to the first address that is not
//! trusted. Whatever the client wrote itself stands further left and is never looked at.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use http::header::FORWARDED;
use http::{HeaderMap, HeaderName};
use thiserror::Error;

use crate::domain::AddressRange;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Who sent a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sender {
    /// The client's address; an IPv4-mapped one in its IPv4 form.
    pub address: IpAddr,
    /// Whether the peer is a trusted proxy, so that what it says of the client is kept.
    pub believed: bool,
}

/// A `Forwarded` of a trusted proxy that can't be read. It is refused: where its quotes end, and so
/// which part of it is the proxy's and which the client's, could only be guessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the Forwarded header cannot be read")]
pub struct Unreadable;

/// Finds who sent a request that came from `peer`.
///
/// `X-Forwarded-For` wins where there is one; `Forwarded` is read where there is none. An entry that
/// names no address (`unknown`, a word of the proxy's own) ends the walk at the last that did.
pub fn find(
    headers: &HeaderMap,
    peer: IpAddr,
    trusted: &[AddressRange],
) -> Result<Sender, Unreadable> {
    let peer = peer.to_canonical();
    let is_trusted = |address: IpAddr| trusted.iter().any(|range| range.contains(address));
    if trusted.is_empty() || !is_trusted(peer) {
        return Ok(Sender { address: peer, believed: false });
    }
    let address = if headers.contains_key(X_FORWARDED_FOR) {
        let lines = headers.get_all(X_FORWARDED_FOR).iter().rev();
        let entries = lines.flat_map(|line| forwarded_for(line.as_bytes()));
        walk(peer, entries, is_trusted)
    } else {
        let mut entries = Vec::new();
        for line in headers.get_all(FORWARDED) {
            entries.extend(forwarded(line.as_bytes())?);
        }
        walk(peer, entries.into_iter().rev(), is_trusted)
    };
    Ok(Sender { address, believed: true })
}

/// The entries of an `X-Forwarded-For`, the last first; `None` is one that names no address.
pub fn forwarded_for(value: &[u8]) -> impl Iterator<Item = Option<IpAddr>> {
    let entries = value.rsplit(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    entries.filter(|entry| !entry.is_empty()).map(node)
}

/// The entries of a `Forwarded`, in their order; `None` is one whose `for` names no address.
pub fn forwarded(value: &[u8]) -> Result<Vec<Option<IpAddr>>, Unreadable> {
    let mut rest = Rest(value);
    let mut entries = Vec::new();
    loop {
        if let Some(pairs) = rest.element()? {
            entries.push(pairs.client()?);
        }
        if !rest.takes(b',') {
            return if rest.0.is_empty() { Ok(entries) } else { Err(Unreadable) };
        }
    }
}

fn walk(
    peer: IpAddr,
    entries: impl Iterator<Item = Option<IpAddr>>,
    is_trusted: impl Fn(IpAddr) -> bool,
) -> IpAddr {
    let mut sender = peer;
    for entry in entries {
        let Some(address) = entry else { break };
        sender = address;
        if !is_trusted(address) {
            break;
        }
    }
    sender
}

/// What is left of a `Forwarded` that is being read.
struct Rest<'a>(&'a [u8]);

/// The parameters of one entry.
struct Pairs<'a>(Vec<(&'a [u8], Vec<u8>)>);

impl Pairs<'_> {
    /// Who it was for; said twice, it can't be told.
    fn client(&self) -> Result<Option<IpAddr>, Unreadable> {
        let mut said = self.0.iter().filter(|(name, _)| name.eq_ignore_ascii_case(b"for"));
        match (said.next(), said.next()) {
            (_, Some(_)) => Err(Unreadable),
            (Some((_, client)), None) => Ok(node(client)),
            (None, None) => Ok(None),
        }
    }
}

impl<'a> Rest<'a> {
    /// Pairs up to a comma; none at all are no entry (RFC 9110 section 5.6.1).
    fn element(&mut self) -> Result<Option<Pairs<'a>>, Unreadable> {
        let mut pairs = Vec::new();
        loop {
            self.0 = self.0.trim_ascii_start();
            if !matches!(self.0.first(), None | Some(b',' | b';')) {
                pairs.push(self.pair()?);
                self.0 = self.0.trim_ascii_start();
            }
            if !self.takes(b';') {
                return Ok((!pairs.is_empty()).then_some(Pairs(pairs)));
            }
        }
    }

    /// `token "=" value`, where a value is a token or a quoted string (RFC 7239 section 4). A bare
    /// address with a port has a colon, which no token has; proxies write it all the same.
    fn pair(&mut self) -> Result<(&'a [u8], Vec<u8>), Unreadable> {
        let name = self.take_while(is_token);
        if name.is_empty() || !self.takes(b'=') {
            return Err(Unreadable);
        }
        let value = if self.takes(b'"') {
            self.unquote()?
        } else {
            self.take_while(|byte| is_token(byte) || byte == b':').to_vec()
        };
        if value.is_empty() { Err(Unreadable) } else { Ok((name, value)) }
    }

    /// The text of a quoted string whose first quote is taken.
    fn unquote(&mut self) -> Result<Vec<u8>, Unreadable> {
        let mut text = Vec::new();
        while let Some((byte, rest)) = self.0.split_first() {
            self.0 = rest;
            match byte {
                b'"' => return Ok(text),
                b'\\' => {
                    let (escaped, rest) = rest.split_first().ok_or(Unreadable)?;
                    text.push(*escaped);
                    self.0 = rest;
                }
                byte => text.push(*byte),
            }
        }
        Err(Unreadable)
    }

    fn takes(&mut self, byte: u8) -> bool {
        let rest = self.0.strip_prefix(&[byte]);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn take_while(&mut self, wanted: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.0.iter().position(|byte| !wanted(*byte)).unwrap_or(self.0.len());
        let (taken, rest) = self.0.split_at(end);
        self.0 = rest;
        taken
    }
}

/// RFC 9110 section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// An address with or without a port, IPv6 with or without brackets.
fn node(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    if let Some(bracketed) = text.strip_prefix('[') {
        let (address, behind) = bracketed.split_once(']')?;
        let port = behind.is_empty() || behind.strip_prefix(':').is_some_and(is_port);
        return port.then(|| Ipv6Addr::from_str(address).ok()).flatten().map(canonical);
    }
    if let Ok(address) = IpAddr::from_str(text) {
        return Some(address.to_canonical());
    }
    let (address, port) = text.split_once(':')?;
    is_port(port).then(|| Ipv4Addr::from_str(address).ok()).flatten().map(IpAddr::from)
}

fn canonical(address: Ipv6Addr) -> IpAddr {
    IpAddr::from(address).to_canonical()
}

/// A number, or a word of the proxy's own (RFC 7239 section 6).
fn is_port(text: &str) -> bool {
    let of_its_own = text.strip_prefix('_');
    let (word, longest) = of_its_own.map_or((text, 5), |word| (word, 64));
    let part = |b: u8| b.is_ascii_digit() || (of_its_own.is_some() && is_token(b));
    (1..=longest).contains(&word.len()) && word.bytes().all(part)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const TRUSTED: [&str; 2] = ["10.0.0.0/8", "2001:db8:ffff::/48"];

    fn sender(peer: &str, fields: &[(&'static str, &str)]) -> Result<(String, bool), Unreadable> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        let trusted = TRUSTED.map(|range| range.parse().unwrap());
        let found = find(&headers, peer.parse().unwrap(), &trusted)?;
        Ok((found.address.to_string(), found.believed))
    }

    fn through_proxy(fields: &[(&'static str, &str)]) -> String {
        let (address, believed) = sender("10.0.0.1", fields).unwrap();
        assert!(believed);
        address
    }

    #[test]
    fn who_is_not_trusted_speaks_for_itself() {
        let said = [("x-forwarded-for", "192.0.2.1"), ("forwarded", "for=192.0.2.1")];
        assert_eq!(sender("203.0.113.9", &said), Ok(("203.0.113.9".into(), false)));
        assert_eq!(
            sender("203.0.113.9", &[("forwarded", "\"")]),
            Ok(("203.0.113.9".into(), false))
        );
    }

    #[test]
    fn the_first_address_from_the_right_that_is_not_trusted_is_the_client() {
        for (value, client) in [
            ("203.0.113.9", "203.0.113.9"),
            ("10.9.9.9, 203.0.113.9", "203.0.113.9"),
            ("spoofed, 192.0.2.1, 203.0.113.9, 10.0.0.2", "203.0.113.9"),
            ("203.0.113.9 ,, 10.0.0.2,", "203.0.113.9"),
            ("203.0.113.9:4711", "203.0.113.9"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("2001:db8::1, 2001:db8:ffff::2", "2001:db8::1"),
            ("::ffff:203.0.113.9, ::ffff:10.0.0.2", "203.0.113.9"),
            // All of them trusted: the farthest that is known.
            ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
            // Unknown: the last that is known.
            ("192.0.2.1, unknown, 10.0.0.2", "10.0.0.2"),
            ("unknown", "10.0.0.1"),
            ("", "10.0.0.1"),
            ("203.0.113.9:99999x", "10.0.0.1"),
            ("fe80::1%eth0", "10.0.0.1"),
        ] {
            assert_eq!(through_proxy(&[("x-forwarded-for", value)]), client, "{value}");
        }
    }

    #[test]
    fn a_mapped_peer_is_trusted_by_its_ipv4_form() {
        let said = [("x-forwarded-for", "203.0.113.9")];
        assert_eq!(sender("::ffff:10.0.0.1", &said), Ok(("203.0.113.9".into(), true)));
    }

    #[test]
    fn several_lines_are_one_list() {
        let said = [("x-forwarded-for", "192.0.2.1"), ("x-forwarded-for", "203.0.113.9, 10.0.0.2")];
        assert_eq!(through_proxy(&said), "203.0.113.9");
        let said = [("x-forwarded-for", "192.0.2.1, 203.0.113.9"), ("x-forwarded-for", "10.0.0.2")];
        assert_eq!(through_proxy(&said), "203.0.113.9");
        let said = [("forwarded", "for=203.0.113.9"), ("forwarded", "for=10.0.0.2")];
        assert_eq!(through_proxy(&said), "203.0.113.9");
    }

    #[test]
    fn forwarded_is_read_by_its_grammar() {
        for (value, client) in [
            ("for=203.0.113.9", "203.0.113.9"),
            ("For=\"203.0.113.9:47011\";proto=https;by=10.0.0.1", "203.0.113.9"),
            ("proto=https; for=203.0.113.9 ; host=\"a, for=10.1.1.1\"", "203.0.113.9"),
            ("for=\"[2001:db8::1]:_x\", for=\"[2001:db8:ffff::1]\"", "2001:db8::1"),
            ("for=192.0.2.1, for=203.0.113.9, for=10.0.0.2", "203.0.113.9"),
            ("for=203.0.113.9;host=\"a\\\"b, for=10.9.9.9\"", "203.0.113.9"),
            ("for=192.0.2.1, for=unknown, for=10.0.0.2", "10.0.0.2"),
            ("for=192.0.2.1, proto=https, for=10.0.0.2", "10.0.0.2"),
            ("for=_hidden", "10.0.0.1"),
            (", ,for=203.0.113.9,", "203.0.113.9"),
            ("", "10.0.0.1"),
        ] {
            assert_eq!(through_proxy(&[("forwarded", value)]), client, "{value}");
        }
    }

    #[test]
    fn what_the_grammar_does_not_have_is_refused_and_not_guessed_at() {
        for value in [
            "for=\"192.0.2.1, for=203.0.113.9",
            "for",
            "for=",
            "for=\"\"",
            "=192.0.2.1",
            "for=192.0.2.1 x",
            "for=\"192.0.2.1\"x",
            "for=192.0.2.1;for=203.0.113.9",
            "for=[2001:db8::1]",
            "for=\"a\\",
        ] {
            assert_eq!(sender("10.0.0.1", &[("forwarded", value)]), Err(Unreadable), "{value}");
        }
    }

    #[test]
    fn x_forwarded_for_wins() {
        let said = [("forwarded", "for=192.0.2.1"), ("x-forwarded-for", "203.0.113.9")];
        assert_eq!(through_proxy(&said), "203.0.113.9");
    }

    proptest! {
        #[test]
        fn whatever_a_client_writes_left_of_its_proxy_changes_nothing(left in "[ -~]{0,60}") {
            let value = format!("{left}, 203.0.113.9, 10.0.0.2");
            prop_assert_eq!(through_proxy(&[("x-forwarded-for", &value)]), "203.0.113.9");
            let value = format!("{left}, for=203.0.113.9, for=10.0.0.2");
            if let Ok((address, _)) = sender("10.0.0.1", &[("forwarded", &value)]) {
                prop_assert_eq!(address, "203.0.113.9");
            }
        }

        #[test]
        fn no_bytes_make_the_readers_panic(bytes: Vec<u8>) {
            let _ = forwarded_for(&bytes).count();
            let _ = forwarded(&bytes);
        }
    }
}
