//! `[[routes]]`: each on its own, and all of them together.

use std::collections::HashMap;

use http::{HeaderName, Method};

use super::{cors, path, self_service};
use crate::config::problem::{Complaints, suggestion};
use crate::config::tree::{Table, Word};
use crate::config::types::{Requirement, Route, SelfService, Upstream};
use crate::domain::money::MAX_COST;
use crate::domain::{Catalogue, Millionths};

/// Where the path stands that a shape and a method, or all others, were first given with.
type Taken = HashMap<(String, Option<Method>), usize>;

pub(super) fn check(
    root: &Table,
    scopes: &Catalogue,
    upstreams: &[Upstream],
    own: Option<&SelfService>,
    complaints: &mut Complaints<'_>,
) -> Vec<Route> {
    let mut routes = Vec::new();
    let mut taken = Taken::new();
    for given in root.tables("routes") {
        let path = given.word("path");
        let words = given.words("methods");
        let methods = methods(&words, complaints);
        let shape = path.and_then(|word| path::check(word, complaints));
        // With a wrong method left out, the rest could be taken for a route of all methods.
        if let Some(shape) = shape.filter(|_| methods.len() == words.len()) {
            let at = given.place_of("path");
            check_taken(&mut taken, &shape, &methods, at, complaints);
            self_service::warn_of_taken(own, &shape, &methods, at, complaints);
        }
        let requirement = requirement(given, scopes, complaints);
        let limits = super::windows("routes.limits", given.list("limits"), complaints);
        if requirement == Requirement::Public && !limits.is_empty() {
            complaints.warning(
                given.place_of("limits"),
                "a public route's limits count nothing, because they are counted for each key",
            );
        }
        let (cost, cost_header) = cost(given, &requirement, complaints);
        routes.push(Route {
            strip_prefix: strip_prefix(given.text("strip_prefix"), path, complaints),
            path: path.map_or("", |word| word.text).to_owned(),
            methods,
            requirement,
            cost,
            cost_header,
            upstream: upstream(given.word("upstream"), upstreams, complaints),
            limits,
            max_body: given.optional_size("max_body"),
            timeout: given.optional_duration("timeout"),
            allow_test_keys: given.bool("allow_test_keys"),
            underscore_headers: given.bool("underscore_headers"),
            forward_trailers: given.bool("forward_trailers"),
            websocket: given.bool("websocket"),
            cors: cors::check(given, complaints),
        });
    }
    warn_of_shadowed(&taken, complaints);
    warn_of_idle_parts(root, &routes, upstreams, own, complaints);
    routes
}

fn methods(words: &[Word<'_>], complaints: &mut Complaints<'_>) -> Vec<Method> {
    let mut methods = Vec::with_capacity(words.len());
    for word in words {
        let upper = word.text.to_ascii_uppercase();
        match Method::from_bytes(word.text.as_bytes()) {
            Err(_) => complaints.problem(word.at, format!("{word} is no method")),
            Ok(_) if word.text != upper => complaints.problem_with_hint(
                word.at,
                format!("{word} is not in upper case, as methods are"),
                word.shown.then(|| format!("write `{upper}`")),
            ),
            Ok(Method::CONNECT | Method::TRACE) => {
                complaints.problem(word.at, format!("{word} is refused on every route"));
            }
            Ok(method) if methods.contains(&method) => {
                complaints.problem(word.at, format!("{word} is in `methods` twice"));
            }
            Ok(method) => methods.push(method),
        }
    }
    methods
}

/// Finds an earlier route that has the same path and one of the methods. One that lists methods
/// goes beside one for all the others.
fn check_taken(
    taken: &mut Taken,
    shape: &str,
    methods: &[Method],
    at: usize,
    complaints: &mut Complaints<'_>,
) {
    let mut keys: Vec<Option<Method>> = methods.iter().cloned().map(Some).collect();
    if keys.is_empty() {
        keys.push(None);
    }
    for method in keys {
        let which = method.as_ref().map_or("all methods".to_owned(), |m| format!("`{m}`"));
        if let Some(earlier) = taken.insert((shape.to_owned(), method), at) {
            let line = complaints.line(earlier);
            complaints
                .problem(at, format!("the route at line {line} has this path for {which} already"));
        }
    }
}

fn requirement(given: &Table, scopes: &Catalogue, complaints: &mut Complaints<'_>) -> Requirement {
    let public = given.bool("public");
    let names = ["scopes", "any_scope"].map(|name| given.node(name).map(|_| name));
    let ways: Vec<&str> = names.into_iter().flatten().chain(public.then_some("public")).collect();
    if let [_, second, ..] = ways[..] {
        complaints.problem(
            given.place_of(second),
            "a route has one of `scopes`, `any_scope` and `public`, not several",
        );
    }
    for word in given.words("scopes").into_iter().chain(given.words("any_scope")) {
        if word.text != "*" && !scopes.entries().any(|(name, _)| name == word.text) {
            super::unknown_scope(word, scopes, complaints);
        }
    }
    let list = |name| given.words(name).iter().map(|word| word.text.to_owned()).collect();
    match (public, given.node("any_scope")) {
        (true, _) => Requirement::Public,
        (false, Some(_)) => Requirement::Any(list("any_scope")),
        (false, None) => Requirement::All(list("scopes")),
    }
}

/// What a request costs, and in which header the upstream says so.
fn cost(
    given: &Table,
    requirement: &Requirement,
    complaints: &mut Complaints<'_>,
) -> (Millionths, Option<HeaderName>) {
    let cost = given.optional_amount("cost").unwrap_or_default();
    if cost.get() > MAX_COST {
        complaints.problem(given.place_of("cost"), "a request costs 1000000 at most");
    }
    let word = given.text("cost_header");
    let header = match HeaderName::from_bytes(word.text.as_bytes()) {
        Ok(header) => Some(header),
        Err(_) if word.text.is_empty() => None,
        Err(_) => {
            complaints.problem(word.at, format!("{word} is no name of a header"));
            None
        }
    };
    if *requirement == Requirement::Public && (cost.get() > 0 || header.is_some()) {
        let at = given.place_of(if header.is_some() { "cost_header" } else { "cost" });
        complaints.warning(
            at,
            "a public route's requests cost nobody anything, because no key makes them",
        );
    }
    (cost, header)
}

fn upstream(
    word: Option<Word<'_>>,
    upstreams: &[Upstream],
    complaints: &mut Complaints<'_>,
) -> usize {
    let Some(word) = word else { return 0 };
    if let Some(index) = upstreams.iter().position(|upstream| upstream.name == word.text) {
        return index;
    }
    let names = upstreams.iter().map(|upstream| upstream.name.as_str());
    let hint = suggestion(word.text, names)
        .unwrap_or_else(|| "say where requests go under `[upstreams.NAME]`".to_owned());
    complaints.problem_with_hint(word.at, format!("there is no upstream {word}"), hint);
    0
}

fn strip_prefix(word: Word<'_>, path: Option<Word<'_>>, complaints: &mut Complaints<'_>) -> String {
    path::check_literal(word, complaints);
    if let Some(path) = path.filter(|_| !word.text.is_empty()) {
        let rest = path.text.strip_prefix(word.text);
        if !rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
            complaints.problem(
                word.at,
                format!("`strip_prefix` must be whole segments that the path {path} begins with"),
            );
        }
    }
    word.text.to_owned()
}

/// `X/**` gets nothing where `X/{}` takes one segment and `X/{}/**` takes more, because the most
/// specific path decides whatever its methods are.
fn warn_of_shadowed(taken: &Taken, complaints: &mut Complaints<'_>) {
    let has = |shape: String| taken.keys().any(|(known, _)| *known == shape);
    for ((shape, _), at) in taken {
        let Some(stem) = shape.strip_suffix("**") else { continue };
        if has(format!("{stem}{{}}")) && has(format!("{stem}{{}}/**")) {
            let message = "no request comes here: other routes take its paths of one segment and \
                           those of more";
            complaints.warning(*at, message);
        }
    }
}

fn warn_of_idle_parts(
    root: &Table,
    routes: &[Route],
    upstreams: &[Upstream],
    own: Option<&SelfService>,
    complaints: &mut Complaints<'_>,
) {
    if root.list("routes").is_empty() && own.is_none() {
        complaints.warning(0, "there are no routes, so that every request is answered 404");
    }
    for (index, upstream) in upstreams.iter().enumerate() {
        if !routes.iter().any(|route| route.upstream == index) {
            let at = root.table("upstreams").place_of_name(&upstream.name);
            complaints.warning(at, format!("no route goes to the upstream `{}`", upstream.name));
        }
    }
}
