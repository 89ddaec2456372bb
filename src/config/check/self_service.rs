//! `[self_service]`: where its calls are, the names of their scopes, and which routes they take the
//! place of.

use std::collections::BTreeMap;

use http::Method;

use super::path;
use crate::config::problem::{Complaints, suggestion};
use crate::config::tree::Table;
use crate::config::types::SelfService;
use crate::domain::Call;
use crate::domain::call::SCOPES;
use crate::domain::scope::{ScopeEntry, check_name};

pub(super) fn check(given: &Table, complaints: &mut Complaints<'_>) -> Option<SelfService> {
    let prefix = given.text("prefix");
    path::check_literal(prefix, complaints);
    let mut scopes = BTreeMap::new();
    for (name, at, node) in &given.table("scopes").entries {
        let known = SCOPES.map(|(name, _)| name);
        if !known.contains(&name.as_str()) {
            let problem = format!("no call of the self-service API asks for `{name}`");
            complaints.problem_with_hint(*at, problem, suggestion(name, known));
        }
        let Some(word) = node.word() else { continue };
        if let Err(error) = check_name(word.text) {
            complaints.problem(word.at, format!("{word} is no name for a scope: {error}"));
        }
        scopes.insert(name.clone(), word.text.to_owned());
    }
    given.bool("enabled").then(|| SelfService { prefix: prefix.text.to_owned(), scopes })
}

/// The scopes that its calls ask for: without them in the catalogue, nobody could be granted one.
pub(super) fn scopes(own: &SelfService) -> BTreeMap<String, ScopeEntry> {
    let entry = |(name, description): (&str, &str)| {
        let name = own.scopes.get(name).map_or(name, String::as_str).to_owned();
        (name, ScopeEntry { description: description.to_owned(), implies: Vec::new() })
    };
    SCOPES.map(entry).into()
}

/// Warns of a route that no request comes to, or none with some of its methods. `shape`: its path,
/// parameters without their names.
pub(super) fn warn_of_taken(
    own: Option<&SelfService>,
    shape: &str,
    methods: &[Method],
    at: usize,
    complaints: &mut Complaints<'_>,
) {
    let Some(own) = own else { return };
    for call in Call::ALL {
        let method = call.method();
        let has_method = methods.is_empty() || methods.contains(&method);
        if has_method && takes(&own.path(*call), shape) {
            complaints.warning(
                at,
                format!(
                    "{method} here is the self-service API's own call `{}`, which wins; another \
                     `self_service.prefix` leaves this route its requests",
                    own.path(*call)
                ),
            );
        }
    }
}

/// Whether every request for a shape is one for a call's path.
fn takes(call: &str, shape: &str) -> bool {
    let (call, shape): (Vec<&str>, Vec<&str>) =
        (call.split('/').collect(), shape.split('/').collect());
    let takes = |(own, theirs): (&&str, &&str)| {
        own == theirs || (own.starts_with('{') && !theirs.is_empty() && *theirs != "**")
    };
    call.len() == shape.len() && call.iter().zip(&shape).all(takes)
}
