//! Step 3: which route a path and a method have. Built once a configuration, asked once a request.
//!
//! The most specific path decides, whatever its methods: a less specific one with the method is not
//! fallen back to, because it may ask for less. So a path that is known never needs fewer rights
//! than its own routes say.

use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use http::Method;

use crate::config;
use crate::domain::{Catalogue, Reason, Refusal, ScopeSet};
use crate::limit::window::Rule;

/// A route as requests use it.
#[derive(Debug)]
pub struct Route {
    /// Its place in the configuration.
    pub index: usize,
    /// As written: the label of metrics and log.
    pub path: Arc<str>,
    /// Which key may.
    pub requirement: Requirement,
    /// Its upstream's place in the configuration.
    pub upstream: usize,
    /// Its own limits, counted for each key.
    pub limits: Vec<Rule>,
    /// Bytes to take off the front of the path.
    pub strip: usize,
    /// Bytes a body may have.
    pub max_body: u64,
    /// Milliseconds the upstream may take.
    pub timeout_ms: u64,
    /// Whether test keys may.
    pub allow_test_keys: bool,
    /// Whether header names with an underscore pass.
    pub underscore_headers: bool,
}

/// Which scopes a route asks for, as bits and in words.
#[derive(Debug)]
pub enum Requirement {
    /// No key.
    Public,
    /// Every one of these; all of them as one set, then each with its name.
    All(ScopeSet, Vec<(ScopeSet, Arc<str>)>),
    /// One of these; their names, space-separated.
    Any(ScopeSet, Arc<str>),
}

/// The routes of one path.
#[derive(Debug, Default)]
struct PathRoutes {
    by_method: Vec<(Method, usize)>,
    any: Option<usize>,
    allow: Option<Arc<str>>,
}

/// All routes, found by path.
pub struct Router {
    paths: matchit::Router<PathRoutes>,
    routes: Vec<Route>,
}

/// A path that the matcher doesn't take; `config check` finds it first.
#[derive(Debug, thiserror::Error)]
#[error("the route path {path} does not fit the others: {reason}")]
pub struct RouteError {
    path: String,
    reason: String,
}

impl Router {
    /// Compiles the routes of a checked configuration.
    pub fn new(config: &config::Config) -> Result<Self, RouteError> {
        let mut by_pattern: Vec<(String, PathRoutes)> = Vec::new();
        let mut routes = Vec::with_capacity(config.routes.len());
        let mut places = std::collections::HashMap::new();
        for (index, route) in config.routes.iter().enumerate() {
            let pattern = pattern(&route.path);
            let place = *places.entry(pattern.clone()).or_insert_with(|| {
                by_pattern.push((pattern, PathRoutes::default()));
                by_pattern.len() - 1
            });
            by_pattern[place].1.add(&route.methods, index);
            routes.push(Route::new(index, route, config));
        }
        let mut paths = matchit::Router::new();
        for (pattern, mut of_path) in by_pattern {
            of_path.allow = Some(of_path.allowed().into());
            paths
                .insert(pattern.clone(), of_path)
                .map_err(|error| RouteError { path: pattern, reason: error.to_string() })?;
        }
        Ok(Self { paths, routes })
    }

    /// The route of a canonical path and a method.
    pub fn find(&self, method: &Method, path: &str) -> Result<&Route, Refusal> {
        let matched = self.paths.at(path).map_err(|_| Reason::RouteNotFound)?;
        let of_path = matched.value;
        match of_path.find(method) {
            Some(index) => Ok(&self.routes[index]),
            None => Err(Refusal::MethodNotAllowed(of_path.allow.clone().unwrap_or_default())),
        }
    }

    /// Every route, in the order of the configuration.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }
}

impl PathRoutes {
    fn add(&mut self, methods: &[Method], index: usize) {
        if methods.is_empty() {
            self.any = Some(index);
        }
        self.by_method.extend(methods.iter().map(|method| (method.clone(), index)));
    }

    /// A method's own route, else GET's for HEAD, else the one for all; OPTIONS only where listed.
    fn find(&self, method: &Method) -> Option<usize> {
        let listed =
            |method: &Method| self.by_method.iter().find(|(m, _)| m == method).map(|(_, i)| *i);
        listed(method)
            .or_else(|| if method == Method::HEAD { listed(&Method::GET) } else { None })
            .or_else(|| if method == Method::OPTIONS { None } else { self.any })
    }

    /// What `Allow` lists (RFC 9110 section 10.2.1).
    fn allowed(&self) -> String {
        let mut names: Vec<&str> = self.by_method.iter().map(|(m, _)| m.as_str()).collect();
        if names.contains(&"GET") && !names.contains(&"HEAD") {
            names.push("HEAD");
        }
        if self.any.is_some() {
            let all = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];
            names.extend(all.iter().filter(|name| !names.contains(name)).collect::<Vec<_>>());
        }
        names.join(", ")
    }
}

impl Route {
    fn new(index: usize, route: &config::Route, config: &config::Config) -> Self {
        let upstream = &config.upstreams[route.upstream];
        let subject = subject(route);
        Self {
            index,
            path: route.path.as_str().into(),
            requirement: Requirement::new(&route.requirement, &config.scopes),
            upstream: route.upstream,
            limits: route.limits.iter().map(|limit| Rule { subject, limit: *limit }).collect(),
            strip: route.strip_prefix.len(),
            max_body: route.max_body.unwrap_or(config.server.max_body),
            timeout_ms: route.timeout.unwrap_or(upstream.timeout).as_millis() as u64,
            allow_test_keys: route.allow_test_keys,
            underscore_headers: route.underscore_headers,
        }
    }
}

impl Requirement {
    fn new(requirement: &config::Requirement, catalogue: &Catalogue) -> Self {
        match requirement {
            config::Requirement::Public => Self::Public,
            config::Requirement::All(names) => {
                let one = |name: &String| (catalogue.required([name]), name.as_str().into());
                Self::All(catalogue.required(names), names.iter().map(one).collect())
            }
            config::Requirement::Any(names) => {
                Self::Any(catalogue.required(names), names.join(" ").into())
            }
        }
    }
}

/// The path as the matcher writes it: parameters by their place, so that their names don't matter.
fn pattern(path: &str) -> String {
    let mut pattern = String::with_capacity(path.len() + 8);
    for (place, segment) in path.split('/').enumerate().skip(1) {
        pattern.push('/');
        match segment {
            "**" => pattern.push_str("{*rest}"),
            parameter if parameter.starts_with('{') => {
                write!(pattern, "{{p{place}}}").expect("a String takes every text");
            }
            literal => pattern.push_str(literal),
        }
    }
    pattern
}

/// A number for the route's counters that a reload leaves as it is; never 0, the key's own.
fn subject(route: &config::Route) -> u64 {
    let mut hasher = DefaultHasher::new();
    route.path.hash(&mut hasher);
    route.methods.iter().for_each(|method| method.as_str().hash(&mut hasher));
    hasher.finish() | 1
}
