//! A configuration made ready: everything that a request needs decided, decided once.

use std::sync::Arc;

use arc_swap::ArcSwap;
use http::{HeaderName, HeaderValue};

use super::matcher::PatternError;
use super::respond::Answers;
use super::route::Router;
use crate::auth::table::KeyPolicy;
use crate::auth::verify::Rules;
use crate::config::{Config, Target, Upstream};

/// The configuration in force, compiled.
pub struct Plan {
    /// Grows with every reload.
    pub generation: u64,
    /// What it was made of.
    pub config: Arc<Config>,
    /// Paths and methods.
    pub router: Router,
    /// What each refusal answers.
    pub answers: Answers,
    /// What keys are compiled with.
    pub policy: KeyPolicy,
    /// How verification goes.
    pub rules: Rules,
    /// The names of the identity headers.
    pub identity: IdentityNames,
    /// By their place in the configuration.
    pub upstreams: Vec<UpstreamPlan>,
}

/// The identity headers' names under the configured prefix.
pub struct IdentityNames {
    /// The prefix: whatever a client sends under it is removed.
    pub prefix: String,
    /// The key's id.
    pub key_id: HeaderName,
    /// Its name.
    pub key_name: HeaderName,
    /// Its owner.
    pub owner: HeaderName,
    /// Its scopes.
    pub scopes: HeaderName,
    /// Its environment.
    pub env: HeaderName,
    /// Its parent.
    pub parent: HeaderName,
}

/// An upstream with its targets' values ready.
pub struct UpstreamPlan {
    /// As configured.
    pub upstream: Upstream,
    /// Where requests go.
    pub targets: Vec<TargetPlan>,
    /// Where test keys' requests go; empty where there is no sandbox.
    pub sandbox: Vec<TargetPlan>,
}

/// A target with its `Host`.
pub struct TargetPlan {
    /// As configured.
    pub target: Target,
    /// For requests that came without a Host.
    pub host: HeaderValue,
}

/// Where the plan in force is found; workers look at its generation once a request.
pub type PlanSource = ArcSwap<Plan>;

impl Plan {
    /// Compiles a checked configuration.
    pub fn new(config: Arc<Config>, generation: u64) -> Result<Self, PatternError> {
        let policy = KeyPolicy {
            generation,
            catalogue: config.scopes.clone(),
            per_key: config.limits.per_key.clone(),
            test_keys_count: config.limits.test_keys_count,
        };
        let rules = Rules {
            ttl: config.cache.ttl,
            stale_if_down: config.cache.stale_if_down,
            failed_auth_per_ip: config.limits.failed_auth_per_ip,
        };
        Ok(Self {
            generation,
            router: Router::new(&config)?,
            answers: Answers::new(&config.errors),
            policy,
            rules,
            identity: IdentityNames::under(&config.identity_prefix),
            upstreams: config.upstreams.iter().map(UpstreamPlan::new).collect(),
            config,
        })
    }
}

impl IdentityNames {
    /// The names under a checked prefix.
    pub fn under(prefix: &str) -> Self {
        let name = |rest: &str| {
            HeaderName::from_bytes(format!("{prefix}{rest}").as_bytes())
                .expect("a checked prefix begins a header's name")
        };
        Self {
            prefix: prefix.to_owned(),
            key_id: name("key-id"),
            key_name: name("key-name"),
            owner: name("owner"),
            scopes: name("scopes"),
            env: name("env"),
            parent: name("parent"),
        }
    }
}

impl UpstreamPlan {
    fn new(upstream: &Upstream) -> Self {
        let plan = |targets: &[Target]| targets.iter().map(TargetPlan::new).collect();
        Self {
            targets: plan(&upstream.targets),
            sandbox: plan(&upstream.sandbox),
            upstream: upstream.clone(),
        }
    }
}

impl TargetPlan {
    fn new(target: &Target) -> Self {
        Self {
            host: HeaderValue::from_str(&target.authority)
                .expect("a checked authority is a header's value"),
            target: target.clone(),
        }
    }
}
