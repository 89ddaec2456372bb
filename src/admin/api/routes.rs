//! `GET /admin/v1/routes`: what passes where, and what it asks for.

use super::{AdminState, Json, List, Serialize, State, ToSchema};
use crate::admin::access::Viewer;
use crate::config;
use crate::config::units::{format_duration, format_size};
use crate::domain::{Limit, Millionths};
use crate::proxy::plan::Plan;
use crate::proxy::route::{self, Requirement};

/// The routes in the order in which they are tried: what keygate answers itself first, then the more
/// specific path before the less specific one.
#[utoipa::path(
    get,
    operation_id = "listRoutes",
    path = "/admin/v1/routes",
    responses(
        (status = 200, body = List<Route>),
    )
)]
pub(super) async fn list(_: Viewer, State(state): State<AdminState>) -> Json<List<Route>> {
    let plan = state.live.plan();
    let data = plan.router.in_match_order().into_iter().map(|route| Route::of(route, &plan));
    Json(List { data: data.collect(), next_cursor: None })
}

/// A route.
#[derive(Debug, Serialize, ToSchema)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
pub(super) struct Route {
    /// Literal segments, `{name}` for one, `/**` last for one or more.
    path: String,
    /// Empty: all but OPTIONS, CONNECT and TRACE.
    methods: Vec<String>,
    /// Whether no key is asked for.
    public: bool,
    /// All of these are asked for.
    scopes: Vec<String>,
    /// One of these is asked for.
    any_scope: Vec<String>,
    /// Null: keygate answers it itself.
    upstream: Option<String>,
    /// What a request costs, or what is charged where the upstream does not say.
    #[schema(value_type = String)]
    cost: Millionths,
    /// The header in which the upstream says it.
    cost_header: Option<String>,
    /// Of each key on this route, beside the key's own.
    #[schema(value_type = Vec<String>)]
    limits: Vec<Limit>,
    /// Whether test keys may.
    allow_test_keys: bool,
    /// How long the upstream may take to begin its answer, and between two pieces of it.
    timeout: String,
    /// How long a body may be.
    max_body: String,
    /// Taken off the path before it is forwarded.
    strip_prefix: String,
    /// Whether WebSockets pass.
    websocket: bool,
    /// Whether request trailers pass.
    forward_trailers: bool,
    /// Whether header names with an underscore pass.
    underscore_headers: bool,
    /// Pages of which origins may call; null: nothing is said to browsers.
    cors: Option<Vec<String>>,
}

impl Route {
    fn of(route: &route::Route, plan: &Plan) -> Self {
        let written = plan.config.routes.get(route.index);
        let (scopes, any_scope) = match &route.requirement {
            Requirement::Public => (Vec::new(), Vec::new()),
            Requirement::All(_, each) => {
                (each.iter().map(|(_, name)| name.to_string()).collect(), Vec::new())
            }
            Requirement::Any(_, names) => {
                (Vec::new(), names.split(' ').map(str::to_owned).collect())
            }
        };
        let methods = match (route.call, written) {
            (Some(call), _) => vec![call.method().to_string()],
            (None, written) => {
                written.iter().flat_map(|it| &it.methods).map(ToString::to_string).collect()
            }
        };
        let upstream = plan.upstreams.get(route.upstream);
        Self {
            path: route.path.to_string(),
            methods,
            public: matches!(route.requirement, Requirement::Public),
            scopes,
            any_scope,
            upstream: upstream.map(|upstream| upstream.upstream.name.clone()),
            cost: Millionths::new(route.charge.fixed).unwrap_or_default(),
            cost_header: route.charge.header.as_ref().map(ToString::to_string),
            limits: route.limits.clone(),
            allow_test_keys: route.allow_test_keys,
            timeout: format_duration(std::time::Duration::from_millis(route.timeout_ms)),
            max_body: format_size(route.max_body),
            strip_prefix: written.map(|it| it.strip_prefix.clone()).unwrap_or_default(),
            websocket: route.websocket,
            forward_trailers: route.forward_trailers,
            underscore_headers: route.underscore_headers,
            cors: written.and_then(|it| it.cors.as_ref()).map(origins),
        }
    }
}

fn origins(origins: &config::Origins) -> Vec<String> {
    match origins {
        config::Origins::Any => vec!["*".to_owned()],
        config::Origins::Listed(origins) => {
            origins.iter().filter_map(|it| it.to_str().ok()).map(str::to_owned).collect()
        }
    }
}
