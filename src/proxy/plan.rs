//! A configuration made ready: everything that a request needs decided, decided once.

use std::sync::Arc;

use arc_swap::ArcSwap;
use http::{HeaderName, HeaderValue};

use super::health::TargetState;
use super::matcher::PatternError;
use super::respond::Answers;
use super::route::Router;
use super::upstream::Dialer;
use crate::auth::table::KeyPolicy;
use crate::auth::verify::Rules;
use crate::config::{Config, Target, Upstream};
use crate::telemetry::metrics::Metrics;
use crate::tls::{TlsClient, TlsError};

/// The configuration in force, compiled.
pub struct Plan {
    /// Grows with every reload.
    pub generation: u64,
    /// What it was made of.
    pub config: Arc<Config>,
    /// Paths and methods; outlives the plan where a refusal is kept that it decided.
    pub router: Arc<Router>,
    /// What each refusal answers; the same holds for it.
    pub answers: Arc<Answers>,
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
    /// For targets with `https://`, if there is any.
    tls: Option<Arc<TlsClient>>,
}

/// Why a checked configuration cannot be put in force.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A route cannot be matched; `config check` says so too.
    #[error(transparent)]
    Routes(#[from] PatternError),
    /// A file that an upstream's `tls` names has changed since it was checked.
    #[error("upstreams.{upstream}.tls: {source}")]
    Tls {
        /// Which.
        upstream: String,
        /// Why.
        source: TlsError,
    },
}

/// A target with its `Host`, and how it stands.
pub struct TargetPlan {
    /// As configured.
    pub target: Target,
    /// For requests that came without a Host.
    pub host: HeaderValue,
    /// How it stands. Of a plan that is not [in service](Plan::in_service) nobody else knows.
    pub state: Arc<TargetState>,
}

/// Where the plan in force is found; workers look at its generation once a request.
pub type PlanSource = ArcSwap<Plan>;

impl Plan {
    /// Compiles a checked configuration.
    pub fn new(config: Arc<Config>, generation: u64) -> Result<Self, PlanError> {
        let policy = KeyPolicy {
            generation,
            catalogue: config.scopes.clone(),
            per_key: config.limits.per_key.as_slice().into(),
            test_keys_count: config.limits.test_keys_count,
            rotation_grace: config.keys.rotation_grace,
            enforce_rotation: config.keys.enforce_rotation,
        };
        let rules = Rules {
            ttl: config.cache.ttl,
            stale_if_down: config.cache.stale_if_down,
            failed_auth_per_ip: config.limits.failed_auth_per_ip,
        };
        Ok(Self {
            generation,
            router: Arc::new(Router::new(&config)?),
            answers: Arc::new(Answers::new(&config.errors)),
            policy,
            rules,
            identity: IdentityNames::under(&config.identity_prefix),
            upstreams: config.upstreams.iter().map(UpstreamPlan::new).collect::<Result<_, _>>()?,
            config,
        })
    }

    /// The plan for requests: what is known of a target that was there `before` goes on, and the
    /// metrics show how all of them stand.
    #[must_use]
    pub fn in_service(mut self, metrics: &Metrics, before: Option<&Self>) -> Self {
        for upstream in &mut self.upstreams {
            let name = &upstream.upstream.name;
            let known = before.and_then(|before| {
                before.upstreams.iter().find(|known| known.upstream.name == *name)
            });
            if let (Some(tls), Some(known)) =
                (&mut upstream.tls, known.and_then(|k| k.tls.as_ref()))
                && tls.is_like(known)
            {
                *tls = Arc::clone(known);
            }
            for target in upstream.targets.iter_mut().chain(&mut upstream.sandbox) {
                let known = known.and_then(|upstream| upstream.state_of(&target.target));
                target.state = known.unwrap_or_else(|| {
                    let authority = &target.target.authority;
                    let metrics = metrics.target(name, authority);
                    Arc::new(TargetState::new(name, authority, metrics))
                });
            }
        }
        self
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
    fn new(upstream: &Upstream) -> Result<Self, PlanError> {
        let name = &upstream.name;
        let plan = |targets: &[Target]| targets.iter().map(|t| TargetPlan::new(name, t)).collect();
        let encrypted = upstream.targets.iter().chain(&upstream.sandbox).any(|target| target.tls);
        let tls = encrypted.then(|| TlsClient::new(&upstream.tls)).transpose();
        Ok(Self {
            tls: tls
                .map_err(|source| PlanError::Tls { upstream: name.clone(), source })?
                .map(Arc::new),
            targets: plan(&upstream.targets),
            sandbox: plan(&upstream.sandbox),
            upstream: upstream.clone(),
        })
    }

    /// How one of its targets is reached.
    pub fn dialer(&self, target: &Target) -> Dialer {
        Dialer {
            target: target.clone(),
            tls: self.tls.as_ref().filter(|_| target.tls).map(Arc::clone),
            http2: self.upstream.http2,
            connect_timeout: self.upstream.connect_timeout,
        }
    }

    /// Every target, sandbox ones last.
    pub fn all_targets(&self) -> impl Iterator<Item = &TargetPlan> {
        self.targets.iter().chain(&self.sandbox)
    }

    fn state_of(&self, target: &Target) -> Option<Arc<TargetState>> {
        let known = self.all_targets().find(|known| known.target == *target)?;
        Some(Arc::clone(&known.state))
    }
}

impl TargetPlan {
    fn new(upstream: &str, target: &Target) -> Self {
        let state = TargetState::new(upstream, &target.authority, Arc::default());
        Self {
            state: Arc::new(state),
            host: HeaderValue::from_str(&target.authority)
                .expect("a checked authority is a header's value"),
            target: target.clone(),
        }
    }
}
