//! Lines as what a request says of its sender: the first is the peer's address, each other one a
//! value, of `Forwarded` where it begins with `F`, else of `X-Forwarded-For`.

use std::net::IpAddr;

use http::header::FORWARDED;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::domain::AddressRange;
use crate::proxy::client_address::{find, forwarded, forwarded_for};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const TRUSTED: [&str; 3] = ["10.0.0.0/8", "::1", "2001:db8::/32"];

/// Who is not trusted is believed nothing; what a client writes left of what trusted proxies wrote
/// changes nothing; an address is one that was named.
pub fn check(bytes: &[u8]) {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let peer = lines.next().and_then(|line| std::str::from_utf8(line).ok()?.parse().ok());
    let Some(peer): Option<IpAddr> = peer else { return };
    let trusted: Vec<AddressRange> =
        TRUSTED.iter().map(|range| range.parse().expect("a range")).collect();
    let peer_is_trusted = trusted.iter().any(|range| range.contains(peer));
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(field) {
        headers.append(name, value);
    }
    if let Ok(sender) = find(&headers, peer, &trusted) {
        assert_eq!(sender.believed, peer_is_trusted);
        assert_eq!(sender.address, sender.address.to_canonical());
        let was_named = peer_is_trusted && named(&headers).contains(&sender.address);
        assert!(sender.address == peer.to_canonical() || was_named);
    } else {
        assert!(peer_is_trusted, "only who is trusted can say something unreadable");
    }
    what_stands_further_left_changes_nothing(headers, &trusted);
}

fn field(line: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = match line.strip_prefix(b"F") {
        Some(value) => (FORWARDED, value),
        None => (X_FORWARDED_FOR, line),
    };
    Some((name, HeaderValue::from_bytes(value).ok()?))
}

fn named(headers: &HeaderMap) -> Vec<IpAddr> {
    let by_hops = headers.get_all(X_FORWARDED_FOR).iter().flat_map(|v| forwarded_for(v.as_bytes()));
    let by_grammar = headers.get_all(FORWARDED).iter().filter_map(|v| forwarded(v.as_bytes()).ok());
    by_hops.chain(by_grammar.flatten()).flatten().collect()
}

/// A proxy adds what it knows to the last line of the kind that it uses, or as a line of its own.
fn what_stands_further_left_changes_nothing(mut headers: HeaderMap, trusted: &[AddressRange]) {
    through_two_proxies(&headers, &X_FORWARDED_FOR, "203.0.113.9, 10.0.0.2", trusted);
    // The one is read where the other one is not there.
    headers.remove(X_FORWARDED_FOR);
    let added = "for=203.0.113.9, for=10.0.0.2;proto=https";
    through_two_proxies(&headers, &FORWARDED, added, trusted);
}

fn through_two_proxies(said: &HeaderMap, name: &HeaderName, added: &str, trusted: &[AddressRange]) {
    let mut line_more = said.clone();
    line_more.append(name, HeaderValue::from_str(added).expect("a value"));
    let mut lines: Vec<Vec<u8>> =
        said.get_all(name).iter().map(|value| value.as_bytes().to_vec()).collect();
    match lines.last_mut() {
        Some(last) => last.extend([b", ", added.as_bytes()].concat()),
        None => lines.push(added.as_bytes().to_vec()),
    }
    let mut line_longer = HeaderMap::new();
    for line in lines {
        line_longer.append(name, HeaderValue::from_bytes(&line).expect("a value"));
    }
    let proxy = IpAddr::from([10, 0, 0, 1]);
    for headers in [line_more, line_longer] {
        if let Ok(sender) = find(&headers, proxy, trusted) {
            let client = IpAddr::from([203, 0, 113, 9]);
            assert_eq!((sender.address, sender.believed), (client, true), "{headers:?}");
        }
    }
}
