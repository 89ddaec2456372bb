//! Step 3: which route a path and a method have. Compiled once a configuration, asked once a
//! request; no allocation, and ten thousand routes cost what ten do.
//!
//! The most specific path decides: at the first segment that differs, a literal goes before
//! `{name}` and that before `/**`. It decides whatever its methods are: a less specific path that
//! has the method is not fallen back to, because it may ask for less than the operator asks for the
//! path that was named. What a segment says is judged by what it means:
//! `/a%3Ab` and `/a:b` are one path to every upstream, so they are one path here.
//!
//! `{name}` is one segment, never an empty one. `/**` is one segment or more, the first of them not
//! empty: `/a/**` has `/a/b`, `/a/b/` and `/a/b/c`, neither `/a` nor `/a/`, and never `/ab`. A
//! slash at the end makes another path, and so does the case of a letter.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use http::Method;
use thiserror::Error;

use super::path::canonical;

/// Routes found by path and method; each is a place in the list that the matcher was made of.
#[derive(Debug)]
pub struct Matcher {
    nodes: Vec<Node>,
}

/// What a path and a method have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Match {
    /// This route.
    Found(usize),
    /// No route has the path.
    NotFound,
    /// The path's routes don't have the method. What they have, sorted, as an `Allow` header lists it (RFC 9110 section 10.2.1).
    MethodNotAllowed(Arc<str>),
}

/// Orders paths as they are tried: at the first segment that differs, a literal goes before `{name}`
/// and that before `/**`. Of paths that no request has both of, the order says nothing.
pub fn specificity(path: &str) -> Vec<(u8, &str)> {
    let segment = |segment| match segment {
        "**" => (2, ""),
        name if is_name(name) == Ok(true) => (1, ""),
        literal => (0, literal),
    };
    path.split('/').skip(1).map(segment).collect()
}

/// A route's path that no request can match as it was meant.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the route path {path:?} cannot be matched: {why}")]
pub struct PatternError {
    path: String,
    why: &'static str,
}

/// What can follow one beginning of a path.
#[derive(Debug, Default)]
struct Node {
    literals: HashMap<Box<str>, usize, BuildHasherDefault<Fnv>>,
    name: Option<usize>,
    /// The routes that end here, and those that end here with `/**`.
    ends: Routes,
    rest: Routes,
}

/// The routes of one path, in the order they were given.
#[derive(Debug, Default)]
struct Routes {
    listed: Vec<(Method, usize)>,
    any: Option<usize>,
}

impl Matcher {
    /// Compiles paths with their methods; no method stands for all but OPTIONS, CONNECT and TRACE.
    ///
    /// Of routes that have the same path and method the first one is found. Names don't tell paths
    /// apart. A literal is brought into the spelling that a request's path is brought into.
    pub fn new<'a>(
        routes: impl IntoIterator<Item = (&'a str, &'a [Method])>,
    ) -> Result<Self, PatternError> {
        let mut matcher = Self { nodes: vec![Node::default()] };
        for (index, (path, methods)) in routes.into_iter().enumerate() {
            matcher
                .add(path, methods, index)
                .map_err(|why| PatternError { path: path.to_owned(), why })?;
        }
        Ok(matcher)
    }

    /// The route of a method and a path as [`canonical`] gives it.
    pub fn find(&self, method: &Method, path: &str) -> Match {
        let Some(routes) = self.routes(path) else {
            return Match::NotFound;
        };
        match routes.find(method) {
            Some(index) => Match::Found(index),
            None => Match::MethodNotAllowed(routes.allow(|_| true).into()),
        }
    }

    /// The methods of those of a path's routes that are `wanted`, as an `Allow` header lists them.
    pub fn methods(&self, path: &str, wanted: impl Fn(usize) -> bool) -> String {
        self.routes(path).map(|routes| routes.allow(wanted)).unwrap_or_default()
    }

    fn routes(&self, path: &str) -> Option<&Routes> {
        self.walk(&self.nodes[0], &meaning(path.strip_prefix('/')?))
    }

    /// The routes of the most specific path that matches.
    ///
    /// Goes no deeper than the longest route has segments, however many the path has.
    fn walk<'m>(&'m self, node: &'m Node, segments: &str) -> Option<&'m Routes> {
        let (segment, further) = match memchr::memchr(b'/', segments.as_bytes()) {
            Some(at) => (&segments[..at], Some(&segments[at + 1..])),
            None => (segments, None),
        };
        let children =
            [node.literals.get(segment), node.name.as_ref().filter(|_| !segment.is_empty())];
        for child in children.into_iter().flatten() {
            let child = &self.nodes[*child];
            let found = match further {
                Some(further) => self.walk(child, further),
                None => child.ends.some(),
            };
            if found.is_some() {
                return found;
            }
        }
        if segment.is_empty() { None } else { node.rest.some() }
    }

    fn add(&mut self, path: &str, methods: &[Method], index: usize) -> Result<(), &'static str> {
        let segments = path.strip_prefix('/').ok_or("it does not begin with /")?;
        let mut at = 0;
        let mut segments = segments.split('/').peekable();
        while let Some(segment) = segments.next() {
            if segment == "**" {
                if segments.peek().is_some() {
                    return Err("** stands only at the end");
                }
                self.nodes[at].rest.add(methods, index);
                return Ok(());
            }
            let next = self.nodes.len();
            let node = &mut self.nodes[at];
            at = if is_name(segment)? {
                *node.name.get_or_insert(next)
            } else {
                *node.literals.entry(literal(segment)?).or_insert(next)
            };
            if at == next {
                self.nodes.push(Node::default());
            }
        }
        self.nodes[at].ends.add(methods, index);
        Ok(())
    }
}

impl Routes {
    fn add(&mut self, methods: &[Method], index: usize) {
        if methods.is_empty() {
            self.any.get_or_insert(index);
        }
        self.listed.extend(methods.iter().map(|method| (method.clone(), index)));
    }

    /// The route that lists the method, else for HEAD the one that lists GET, else the one for all.
    fn find(&self, method: &Method) -> Option<usize> {
        let listed =
            |method: &Method| self.listed.iter().find(|(m, _)| m == method).map(|(_, i)| *i);
        let by_get = || if method == Method::HEAD { listed(&Method::GET) } else { None };
        let any = || if ONLY_LISTED.contains(method) { None } else { self.any };
        listed(method).or_else(by_get).or_else(any)
    }

    /// These routes, if there are any.
    fn some(&self) -> Option<&Self> {
        (self.any.is_some() || !self.listed.is_empty()).then_some(self)
    }

    /// What an `Allow` header lists of the wanted routes, sorted.
    fn allow(&self, wanted: impl Fn(usize) -> bool) -> String {
        let listed = || self.listed.iter().filter(|(_, i)| wanted(*i)).map(|(m, _)| m.as_str());
        let head = listed().any(|method| method == "GET").then_some("HEAD");
        let all = self.any.iter().filter(|i| wanted(**i)).flat_map(|_| NAMED_FOR_ALL);
        let names: BTreeSet<&str> = listed().chain(head).chain(all).collect();
        names.into_iter().collect::<Vec<_>>().join(", ")
    }
}

/// Methods that a route for all of them does not have.
const ONLY_LISTED: [Method; 3] = [Method::OPTIONS, Method::CONNECT, Method::TRACE];
/// Stand in `Allow` for a route that has all methods; it has those that nobody can list, too.
const NAMED_FOR_ALL: [&str; 6] = ["DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"];

/// Whether the segment of a route is `{name}`, or else a literal.
fn is_name(segment: &str) -> Result<bool, &'static str> {
    let inner = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    match inner {
        Some("") => Err("a name in braces is empty"),
        Some(name) if !name.contains(['{', '}']) => Ok(true),
        None if !segment.contains(['{', '}', '*']) => Ok(false),
        _ => Err("a segment is a literal, {name} or at the end **, and no mixture"),
    }
}

/// A literal as requests are compared with it.
fn literal(segment: &str) -> Result<Box<str>, &'static str> {
    let path = format!("/{segment}");
    let path = canonical(&path)?;
    Ok(meaning(&path[1..]).into())
}

/// What canonical segments mean: escapes of characters that may as well stand there themselves
/// (RFC 3986 section 3.3, `pchar`) are decoded. The path that is sent on keeps them as they came,
/// since some upstreams tell `+` from `%2B`; but none has another resource under `%3A` than `:`,
/// and a client could otherwise choose by the spelling which route's rules it is under.
fn meaning(segments: &str) -> Cow<'_, str> {
    let Some(first) = memchr::memchr(b'%', segments.as_bytes()) else {
        return Cow::Borrowed(segments);
    };
    let (done, rest) = segments.split_at(first);
    let mut out = String::with_capacity(segments.len());
    out.push_str(done);
    for piece in rest.split_inclusive('%') {
        // Every piece but the first begins with the two digits behind a `%` that `out` ends with.
        let stands_for = piece.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match stands_for.filter(|byte| out.ends_with('%') && b"!$&'()*+,;=:@".contains(byte)) {
            Some(byte) => {
                out.pop();
                out.push(char::from(byte));
                out.push_str(&piece[2..]);
            }
            None => out.push_str(piece),
        }
    }
    Cow::Owned(out)
}

/// FNV-1a (Fowler, Noll, Vo; draft-eastlake-fnv): a segment is a few bytes, and only the operator
/// puts any into the tables, so that nobody can make them collide.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests;
