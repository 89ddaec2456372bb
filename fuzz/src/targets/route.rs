//! Text as a table of routes and a request: a line `METHOD,METHOD PATH` a route (`*` for all
//! methods), the last line `METHOD PATH` for the request.

use http::Method;

use super::path::decode;
use crate::proxy::matcher::{Match, Matcher};
use crate::proxy::path::canonical;

/// The routes are few, or the slow reading that the matcher is compared to takes all the time.
const MAX_ROUTES: usize = 32;

/// The matcher finds what trying every route in turn finds.
pub fn check(bytes: &[u8]) {
    let Some((table, request)) = std::str::from_utf8(bytes).ok().and_then(|t| t.rsplit_once('\n'))
    else {
        return;
    };
    let routes: Option<Vec<Route<'_>>> = table.lines().take(MAX_ROUTES).map(route).collect();
    let (Some(routes), Some((method, path))) = (routes, request.split_once(' ')) else { return };
    let Ok(method) = Method::from_bytes(method.as_bytes()) else { return };
    let given = routes.iter().map(|route| (route.path, route.methods.as_slice()));
    let Ok(matcher) = Matcher::new(given) else { return };
    let Ok(path) = canonical(path) else { return };
    assert_eq!(matcher.find(&method, &path), naive(&routes, &method, &path));
}

struct Route<'a> {
    path: &'a str,
    /// None stands for all.
    methods: Vec<Method>,
}

fn route(line: &str) -> Option<Route<'_>> {
    let (methods, path) = line.split_once(' ')?;
    if methods == "*" {
        return Some(Route { path, methods: Vec::new() });
    }
    let methods = methods.split(',').map(|method| Method::from_bytes(method.as_bytes()));
    Some(Route { path, methods: methods.collect::<Result<_, _>>().ok()? })
}

/// How specific a segment of a route is, the most specific first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Literal,
    Name,
    Rest,
}

/// Tries every route in turn; of those that match, the most specific path decides, whatever its
/// methods.
fn naive(routes: &[Route<'_>], method: &Method, path: &str) -> Match {
    let ranked = |(index, route): (usize, &Route<'_>)| Some((ranks(route.path, path)?, index));
    let mut matching: Vec<(Vec<Rank>, usize)> =
        routes.iter().enumerate().filter_map(ranked).collect();
    matching.sort();
    let Some(best) = matching.first().map(|(ranks, _)| ranks.clone()) else {
        return Match::NotFound;
    };
    matching.retain(|(ranks, _)| *ranks == best);
    let first = |test: &dyn Fn(&[Method]) -> bool| {
        matching.iter().map(|(_, index)| *index).find(|index| test(&routes[*index].methods))
    };
    let refused = [Method::OPTIONS, Method::CONNECT, Method::TRACE].contains(method);
    let found = first(&|methods| methods.contains(method))
        .or_else(|| first(&|methods| method == Method::HEAD && methods.contains(&Method::GET)))
        .or_else(|| first(&|methods| methods.is_empty() && !refused));
    if let Some(index) = found {
        return Match::Found(index);
    }
    let mut allowed: Vec<&str> = Vec::new();
    for (_, index) in &matching {
        let methods = &routes[*index].methods;
        allowed.extend(methods.iter().map(Method::as_str));
        if methods.contains(&Method::GET) {
            allowed.push("HEAD");
        }
        if methods.is_empty() {
            allowed.extend(["DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"]);
        }
    }
    allowed.sort_unstable();
    allowed.dedup();
    Match::MethodNotAllowed(allowed.join(", ").into())
}

/// A rank for each segment of the route, where it matches the path.
fn ranks(route: &str, path: &str) -> Option<Vec<Rank>> {
    let segments: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
    let parts: Vec<&str> = route[1..].split('/').collect();
    let mut ranks = Vec::new();
    for (place, part) in parts.iter().enumerate() {
        let segment = *segments.get(place)?;
        if *part == "**" {
            ranks.push(Rank::Rest);
            return (!segment.is_empty()).then_some(ranks);
        }
        if part.starts_with('{') {
            ranks.push(Rank::Name);
            if segment.is_empty() {
                return None;
            }
        } else {
            ranks.push(Rank::Literal);
            if decode(part.as_bytes()) != decode(segment.as_bytes()) {
                return None;
            }
        }
    }
    (parts.len() == segments.len()).then_some(ranks)
}
