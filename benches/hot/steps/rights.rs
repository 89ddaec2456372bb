//! What its key may do, and how often.

use std::collections::BTreeMap;
use std::hint::black_box;

use keygate::domain::scope::ScopeEntry;
use keygate::domain::{Catalogue, Limit};
use keygate::limit::{KeyCounters, RouteId};

/// Whether half of a catalogue's scopes contain two.
pub fn scopes(count: usize) -> impl FnMut() -> bool {
    let names: Vec<String> = (0..count).map(|n| format!("scope{n}:read")).collect();
    let entries: BTreeMap<_, _> =
        names.iter().map(|name| (name.clone(), ScopeEntry::default())).collect();
    let catalogue = Catalogue::new(entries);
    let granted = catalogue.granted(&names[..count / 2]);
    let required = catalogue.required(&names[..2]);
    move || black_box(&granted).contains_all(black_box(&required))
}

/// A key's two windows and one of the route, a request each two milliseconds; none is refused.
pub fn three_windows() -> impl FnMut() -> bool {
    let own = ["1000000/min", "10000000/hour"].map(limit);
    let of_route = [own[0]];
    let id = RouteId::of(["/v1/agents"]);
    let counters = KeyCounters::default();
    let mut now_ms = 0;
    move || {
        now_ms += 2;
        counters.take(black_box(&own), Some((id, &of_route[..])), now_ms).is_ok()
    }
}

/// A request for which there is nothing left.
pub fn refuse_at_a_window() -> impl FnMut() -> bool {
    let own = [limit("60/min")];
    let counters = KeyCounters::default();
    (0..60).for_each(|turn| assert!(counters.take(&own, None, turn * 900).is_ok()));
    move || counters.take(black_box(&own), None, 54_000).is_err()
}

fn limit(text: &str) -> Limit {
    text.parse().unwrap()
}
