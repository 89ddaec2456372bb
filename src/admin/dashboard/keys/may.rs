//! What a key may do: every route, and why not where it may not; which of its scopes that needs.
//!
//! It is told from the record and from the routes in force by the checks that requests go through
//! (section 4, steps 5 to 7); limits and money are beside the question.

use std::collections::BTreeSet;

use http::Method;

use crate::domain::{Environment, Key, ScopeSet};
use crate::proxy::plan::Plan;
use crate::proxy::route::{Requirement, Route};

/// A route as a key sees it.
pub(super) struct RouteRow {
    /// `GET, POST`, or `any`.
    pub(super) methods: String,
    pub(super) path: String,
    /// What it asks for, in words.
    pub(super) needs: String,
    /// Why the key may not; `None`: it may.
    pub(super) refused: Option<String>,
}

/// A scope that a key was granted, and what it was good for.
pub(super) struct ScopeUse {
    pub(super) name: String,
    pub(super) description: String,
    /// The catalogue does not know it (any more), so it gives nothing.
    pub(super) unknown: bool,
    /// Routes that were used and ask for it.
    pub(super) used_by: Vec<String>,
}

/// Every route, in the order of the configuration; then those that keygate answers itself. `family` is
/// the key and those above it.
pub(super) fn routes(plan: &Plan, family: &[Key]) -> (Vec<RouteRow>, Vec<RouteRow>) {
    let rights = rights(plan, family);
    let environment = family.first().map_or(Environment::Live, |key| key.environment);
    let row = |route: &Route| RouteRow {
        methods: methods(plan, route),
        path: route.path.to_string(),
        needs: route.requirement.in_words(),
        refused: refused(route, &rights, environment),
    };
    let routes = plan.router.routes().iter();
    let (calls, routes): (Vec<_>, Vec<_>) = routes.partition(|route| route.call.is_some());
    (routes.into_iter().map(row).collect(), calls.into_iter().map(row).collect())
}

/// The scopes that a key was granted itself, against the routes that were used.
pub(super) fn scopes(plan: &Plan, granted: &[String], used: &BTreeSet<String>) -> Vec<ScopeUse> {
    let catalogue = &plan.policy.catalogue;
    let of = |name: &String| {
        let set = catalogue.granted([name]);
        let routes = plan.router.routes().iter();
        let asks = routes.filter(|route| used.contains(&*route.path) && asks_for(route, &set));
        let used_by: BTreeSet<String> = asks.map(|route| route.path.to_string()).collect();
        let entry = catalogue.entries().find(|(known, _)| known == name);
        ScopeUse {
            name: name.clone(),
            description: entry.map(|(_, entry)| entry.description.clone()).unwrap_or_default(),
            unknown: !catalogue.knows(name),
            used_by: used_by.into_iter().collect(),
        }
    };
    granted.iter().map(of).collect()
}

/// What the key and all above it may.
fn rights(plan: &Plan, family: &[Key]) -> ScopeSet {
    let catalogue = &plan.policy.catalogue;
    let sets = family.iter().map(|key| catalogue.granted(&key.scopes));
    let shared = sets.reduce(|shared, set| shared.shared_with(&set));
    shared.unwrap_or_else(|| catalogue.granted([""; 0]))
}

fn refused(route: &Route, rights: &ScopeSet, environment: Environment) -> Option<String> {
    if matches!(route.requirement, Requirement::Public) {
        return None;
    }
    if environment == Environment::Test && !route.allow_test_keys {
        return Some("test keys may not".to_owned());
    }
    match &route.requirement {
        Requirement::Public => None,
        Requirement::All(_, each) => {
            let lacks = each.iter().filter(|(one, _)| !rights.contains_all(one));
            let lacks: Vec<&str> = lacks.map(|(_, name)| &**name).collect();
            (!lacks.is_empty()).then(|| format!("lacks {}", lacks.join(" and ")))
        }
        Requirement::Any(any, names) => {
            (!rights.contains_any(any)).then(|| format!("lacks {}", names.replace(' ', " or ")))
        }
    }
}

fn asks_for(route: &Route, scope: &ScopeSet) -> bool {
    match &route.requirement {
        Requirement::Public => false,
        Requirement::All(set, _) | Requirement::Any(set, _) => scope.contains_any(set),
    }
}

fn methods(plan: &Plan, route: &Route) -> String {
    let of_call = route.call.map(|call| vec![call.method()]);
    let configured = || plan.config.routes.get(route.index).map(|route| route.methods.clone());
    let methods = of_call.or_else(configured).unwrap_or_default();
    if methods.is_empty() {
        return "any".to_owned();
    }
    methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use jiff::Timestamp;

    use super::*;
    use crate::config::{Environment as Variables, parse};
    use crate::domain::OwnerId;

    const CONFIG: &str = r#"
        [scopes]
        "a:read" = "Read a"
        "a:write" = { description = "Write a", implies = ["a:read"] }
        "b:read" = "Read b"
        [upstreams.api]
        targets = ["http://127.0.0.1:9"]
        [[routes]]
        path = "/open"
        public = true
        upstream = "api"
        [[routes]]
        path = "/a"
        methods = ["GET"]
        scopes = ["a:read"]
        upstream = "api"
        [[routes]]
        path = "/both"
        scopes = ["a:read", "b:read"]
        allow_test_keys = false
        upstream = "api"
        [[routes]]
        path = "/either"
        any_scope = ["a:write", "b:read"]
        upstream = "api"
    "#;

    fn plan() -> Plan {
        let loaded = parse(CONFIG, Path::new("k.toml"), &Variables::default()).unwrap();
        Plan::new(Arc::new(loaded.config), 1).unwrap()
    }

    fn key(scopes: &[&str], environment: Environment) -> Key {
        let owner = OwnerId::from_text("default");
        Key {
            scopes: scopes.iter().map(ToString::to_string).collect(),
            ..Key::new("k".to_owned(), owner, environment, Timestamp::UNIX_EPOCH)
        }
    }

    fn refusals(family: &[Key]) -> Vec<Option<String>> {
        routes(&plan(), family).0.into_iter().map(|route| route.refused).collect()
    }

    #[test]
    fn each_route_says_what_it_asks_for_and_why_a_key_may_not() {
        let (told, _) = routes(&plan(), &[key(&["a:read"], Environment::Live)]);
        let told: Vec<_> = told
            .iter()
            .map(|r| (r.methods.as_str(), r.path.as_str(), r.needs.as_str(), r.refused.as_deref()))
            .collect();
        assert_eq!(
            told,
            [
                ("any", "/open", "no key", None),
                ("GET", "/a", "a:read", None),
                ("any", "/both", "a:read and b:read", Some("lacks b:read")),
                ("any", "/either", "a:write or b:read", Some("lacks a:write or b:read")),
            ]
        );
    }

    #[test]
    fn a_key_may_what_all_above_it_may_and_a_test_key_where_those_may() {
        let live = |scopes: &[&str]| key(scopes, Environment::Live);
        let all = [None, None, None, None];
        assert_eq!(refusals(&[live(&["*"])]), all);
        let child = [live(&["*"]), live(&["a:write"])];
        assert_eq!(refusals(&child)[2], Some("lacks b:read".to_owned()));
        assert_eq!(refusals(&child)[3], None);
        let test = [key(&["*"], Environment::Test)];
        assert_eq!(refusals(&test)[2], Some("test keys may not".to_owned()));
    }

    #[test]
    fn a_scope_is_used_where_a_used_route_asks_for_it_or_for_what_it_implies() {
        let granted = ["a:write", "b:read", "gone"].map(str::to_owned);
        let told = scopes(&plan(), &granted, &BTreeSet::from(["/a".to_owned()]));
        let told: Vec<_> =
            told.iter().map(|s| (s.name.as_str(), s.unknown, s.used_by.clone())).collect();
        let used = vec!["/a".to_owned()];
        assert_eq!(
            told,
            [("a:write", false, used), ("b:read", false, vec![]), ("gone", true, vec![])]
        );
    }
}
