//! What a configured route asks for, made ready for requests: the step itself is [`super::matcher`].

use std::sync::Arc;
use std::time::Duration;

use http::Method;

use crate::config;
use crate::domain::{Call, Catalogue, Limit, Reason, Refusal, ScopeSet};
use crate::limit::RouteId;
use crate::self_service;
use crate::spend::Charge;
use crate::usage::RouteName;

use super::cors::{Cors, Preflight};
use super::matcher::{Match, Matcher, PatternError, specificity};

/// For WebSockets of a route without a timeout of its own: an upstream's is for answers, and too
/// short for a conversation.
const TUNNEL_IDLE: Duration = Duration::from_hours(1);

/// A route as requests use it.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
pub struct Route {
    /// Its place in the configuration.
    pub index: usize,
    /// As written: the label of metrics and log.
    pub path: Arc<str>,
    /// Which key may.
    pub requirement: Requirement,
    /// Its path, as the usage journal names it.
    pub usage: RouteName,
    /// Its upstream's place in the configuration; beyond all of them where keygate answers itself.
    pub upstream: usize,
    /// What its requests cost.
    pub charge: Charge,
    /// Its own limits, counted for each key.
    pub limits: Vec<Limit>,
    /// By which its counters are found.
    pub id: RouteId,
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
    /// Whether request trailers pass, filtered.
    pub forward_trailers: bool,
    /// Whether WebSockets pass.
    pub websocket: bool,
    /// Milliseconds for which nothing may be said on a WebSocket.
    pub tunnel_idle_ms: u64,
    /// What is said to browsers.
    pub cors: Option<Cors>,
    /// What keygate does itself, in place of an upstream.
    pub call: Option<Call>,
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

impl Requirement {
    /// What it asks for, in words.
    pub fn in_words(&self) -> String {
        match self {
            Self::Public => "no key".to_owned(),
            Self::All(_, each) if each.is_empty() => "any key".to_owned(),
            Self::All(_, each) => {
                each.iter().map(|(_, name)| &**name).collect::<Vec<_>>().join(" and ")
            }
            Self::Any(_, names) => names.replace(' ', " or "),
        }
    }
}

/// All routes, found by path and method.
pub struct Router {
    matcher: Matcher,
    /// Those that keygate answers itself; their routes stand behind the configuration's.
    calls: Matcher,
    configured: usize,
    routes: Vec<Route>,
}

impl Router {
    /// Compiles the routes of a checked configuration.
    pub fn new(config: &config::Config) -> Result<Self, PatternError> {
        let patterns = config.routes.iter().map(|r| (r.path.as_str(), r.methods.as_slice()));
        let matcher = Matcher::new(patterns)?;
        let routes = config.routes.iter().enumerate();
        let mut routes: Vec<Route> =
            routes.map(|(index, route)| Route::new(index, route, config)).collect();
        let configured = routes.len();
        let own =
            config.self_service.iter().flat_map(|own| Call::ALL.iter().map(move |c| (own, *c)));
        let patterns: Vec<(String, [Method; 1])> =
            own.clone().map(|(own, call)| (own.path(call), [call.method()])).collect();
        let calls = Matcher::new(patterns.iter().map(|(path, m)| (path.as_str(), m.as_slice())))?;
        routes.extend(
            own.enumerate().map(|(place, (own, call))| {
                Route::own(configured + place, call, own, &config.scopes)
            }),
        );
        Ok(Self { matcher, calls, configured, routes })
    }

    /// The route of a canonical path and a method. What keygate answers itself comes first.
    pub fn find(&self, method: &Method, path: &str) -> Result<&Route, Refusal> {
        let own = self.calls.find(method, path);
        if let Match::Found(place) = own {
            return Ok(&self.routes[self.configured + place]);
        }
        match (self.matcher.find(method, path), own) {
            (Match::Found(index), _) => Ok(&self.routes[index]),
            (Match::MethodNotAllowed(allow), Match::MethodNotAllowed(own)) => {
                Err(Refusal::MethodNotAllowed(format!("{allow}, {own}").into()))
            }
            (Match::MethodNotAllowed(allow), _) | (_, Match::MethodNotAllowed(allow)) => {
                Err(Refusal::MethodNotAllowed(allow))
            }
            (Match::NotFound, _) => Err(Reason::RouteNotFound.into()),
        }
    }

    /// The route that a preflight asks for, if that one speaks to browsers.
    pub fn preflighted(&self, preflight: &Preflight<'_>, path: &str) -> Option<&Route> {
        let route = self.find(&preflight.method, path).ok()?;
        route.cors.is_some().then_some(route)
    }

    /// What a path's routes that speak to browsers have, sorted.
    pub fn methods_for_pages(&self, path: &str) -> String {
        self.matcher.methods(path, |index| self.routes[index].cors.is_some())
    }

    /// Every route in the order in which they are tried: what keygate answers itself, then by
    /// [`specificity`], then as configured.
    pub fn in_match_order(&self) -> Vec<&Route> {
        let mut routes: Vec<&Route> = self.routes.iter().collect();
        routes.sort_by_cached_key(|route| (route.call.is_none(), specificity(&route.path)));
        routes
    }

    /// Every route, in the order of the configuration.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }
}

impl Route {
    fn new(index: usize, route: &config::Route, config: &config::Config) -> Self {
        let upstream = &config.upstreams[route.upstream];
        let methods = route.methods.iter().map(Method::as_str);
        let texts = std::iter::once(route.path.as_str()).chain(methods);
        Self {
            index,
            path: route.path.as_str().into(),
            requirement: Requirement::new(&route.requirement, &config.scopes),
            usage: RouteName::of(&route.path),
            upstream: route.upstream,
            charge: Charge { fixed: route.cost.get(), header: route.cost_header.clone() },
            limits: route.limits.clone(),
            id: RouteId::of(texts),
            strip: route.strip_prefix.len(),
            max_body: route.max_body.unwrap_or(config.server.max_body),
            timeout_ms: route.timeout.unwrap_or(upstream.timeout).as_millis() as u64,
            allow_test_keys: route.allow_test_keys,
            underscore_headers: route.underscore_headers,
            forward_trailers: route.forward_trailers,
            websocket: route.websocket,
            tunnel_idle_ms: route.timeout.unwrap_or(TUNNEL_IDLE).as_millis() as u64,
            cors: route.cors.as_ref().map(Cors::new),
            call: None,
        }
    }

    /// The route of a call of the self-service API.
    fn own(index: usize, call: Call, own: &config::SelfService, catalogue: &Catalogue) -> Self {
        let path = own.path(call);
        let scopes = own.scope(call).map(str::to_owned).into_iter().collect();
        Self {
            index,
            id: RouteId::of([path.as_str(), call.method().as_str()]),
            usage: RouteName::of(&path),
            path: path.into(),
            requirement: Requirement::new(&config::Requirement::All(scopes), catalogue),
            upstream: usize::MAX,
            charge: Charge { fixed: 0, header: None },
            limits: Vec::new(),
            strip: 0,
            max_body: self_service::MAX_BODY,
            timeout_ms: self_service::PATIENCE.as_millis() as u64,
            allow_test_keys: true,
            underscore_headers: false,
            forward_trailers: false,
            websocket: false,
            tunnel_idle_ms: 0,
            cors: None,
            call: Some(call),
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
