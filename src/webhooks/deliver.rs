//! The task that makes events into deliveries and sends them.
//!
//! Several instances share one store: each takes deliveries on for [`CLAIM`], and what it has not
//! settled by then is another's. So every event arrives at least once, whoever is killed when.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::guard::{Network, SystemNetwork};
use super::hooks::{HookSettings, Hooks};
use super::send::{ATTEMPT, Message, SendError};
use super::settings::Settings;
use super::sign::signature;
use super::{housekeeping, schedule};
use crate::config::LoadedConfig;
use crate::domain::{Clock, WebhookUrl};
use crate::key::SigningSecret;
use crate::store::deliveries::{Claim, Outcome, Wanted};
use crate::store::{Result, Store};
use crate::telemetry::metrics::Metrics;

/// Between two questions whether there is anything to do.
const LOOK: Duration = Duration::from_millis(500);
/// How long a delivery is one instance's: an attempt, and the store's answers around it.
const CLAIM: SignedDuration = SignedDuration::from_secs(20);
/// Attempts at once.
const AT_ONCE: usize = 16;
/// Attempts at once to one host and port, so that one that hangs holds up nothing else.
const PER_HOST: usize = 2;
/// Events that are made into deliveries in one transaction.
const EVENTS: u32 = 100;
/// How long the end waits for attempts under way.
const ENDING: Duration = Duration::from_secs(8);

/// Webhooks as the control plane holds them.
pub struct Webhooks {
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    pub(super) settings: ArcSwap<Settings>,
    network: Arc<dyn Network>,
    hooks: Arc<Hooks>,
    stopping: watch::Sender<bool>,
    /// Whether the task has ended.
    ended: watch::Sender<bool>,
}

/// A configuration that was read and can be put in force.
pub struct Prepared {
    settings: Settings,
    hooks: HookSettings,
}

impl Webhooks {
    /// Sends nothing yet. The error says what is wrong with a file that the configuration names.
    pub fn new(
        store: Arc<dyn Store>,
        loaded: &LoadedConfig,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Result<Self, String> {
        Self::over(Arc::new(SystemNetwork), store, loaded, clock, metrics)
    }

    /// The same, over another network.
    pub fn over(
        network: Arc<dyn Network>,
        store: Arc<dyn Store>,
        loaded: &LoadedConfig,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Result<Self, String> {
        let hooks = Hooks::over(Arc::clone(&network), Arc::clone(&store), loaded, clock.clone())?;
        Ok(Self {
            settings: ArcSwap::from_pointee(Settings::new(loaded, &network)?),
            hooks: Arc::new(hooks),
            store,
            clock,
            metrics,
            network,
            stopping: watch::Sender::new(false),
            ended: watch::Sender::new(true),
        })
    }

    /// The addresses that keys and owners have named.
    pub fn hooks(&self) -> &Arc<Hooks> {
        &self.hooks
    }

    /// Reads another configuration, and changes nothing; the error says what is wrong with a file.
    pub fn prepare(&self, loaded: &LoadedConfig) -> Result<Prepared, String> {
        let settings = Settings::new(loaded, &self.network)?;
        Ok(Prepared { settings, hooks: self.hooks.prepare(loaded)? })
    }

    /// Takes another configuration up. What is under way ends as it began.
    pub fn put_in_force(&self, prepared: Prepared) {
        self.hooks.put_in_force(prepared.hooks);
        self.settings.store(Arc::new(prepared.settings));
    }

    /// Makes deliveries and sends them, until [`Self::stop`].
    pub async fn run(self: Arc<Self>) {
        self.ended.send_replace(false);
        let mut stopping = self.stopping.subscribe();
        let mut under_way = UnderWay::default();
        let mut housekeeping = housekeeping::Times::default();
        let mut fails = false;
        while !*stopping.borrow_and_update() {
            let begun = Instant::now();
            let done = match self.turn(&mut under_way).await {
                Ok(()) => housekeeping.look(&self).await,
                Err(error) => Err(error),
            };
            note(&done, &mut fails);
            tokio::select! {
                _ = stopping.changed() => {}
                // A place that has become free is for what waits.
                () = under_way.done(), if done.is_ok() && !under_way.is_empty() => {}
                () = tokio::time::sleep_until(begun + LOOK) => {}
            }
        }
        while !under_way.is_empty() {
            under_way.done().await;
        }
        self.ended.send_replace(true);
    }

    /// Takes nothing on any more, and waits for what is under way.
    pub async fn stop(&self) {
        self.stopping.send_replace(true);
        let mut ended = self.ended.subscribe();
        // What is not settled by then is sent once more, by whoever runs.
        let _ = timeout(ENDING, ended.wait_for(|ended| *ended)).await;
    }

    /// Does what there is to do now, as far as places go.
    async fn turn(self: &Arc<Self>, under_way: &mut UnderWay) -> Result<()> {
        let mut to_do = self.store.to_do(self.clock.now()).await?;
        let settings = self.settings.load_full();
        while to_do.events {
            let route = |kind: &str| settings.route(kind);
            let made = self.store.dispatch(&route, self.clock.now(), EVENTS).await?;
            to_do.deliveries = true;
            to_do.events = made == EVENTS;
        }
        while to_do.deliveries && under_way.len() < AT_ONCE {
            let wanted = under_way.wanted(settings.names());
            let now = self.clock.now();
            let claims = self.store.claim(&wanted, now, later(now, CLAIM)).await?;
            to_do.deliveries = !claims.is_empty();
            for claim in claims {
                under_way.add(&claim.host, Arc::clone(self).deliver(claim.clone()));
            }
        }
        Ok(())
    }

    /// One attempt, and what comes of it.
    async fn deliver(self: Arc<Self>, claim: Claim) {
        let outcome = match self.attempt(&claim).await {
            Ok(()) => Outcome::Delivered,
            Err((error, last)) => self.after(&claim, error, last),
        };
        match &outcome {
            Outcome::Delivered => self.metrics.webhooks_delivered.increment(),
            Outcome::Again { .. } => self.metrics.webhooks_retried.increment(),
            Outcome::Failed { error } => {
                self.metrics.webhooks_failed.increment();
                let Claim { id, event_id, kind, host, .. } = &claim;
                tracing::warn!(%id, event = %event_id, kind, host, error, "a delivery is given up");
            }
        }
        let until = Instant::now() + CLAIM.unsigned_abs() - ATTEMPT;
        while let Err(error) = self.store.settle(&claim, &outcome, self.clock.now()).await {
            if Instant::now() >= until {
                let id = &claim.id;
                tracing::warn!(%id, %error, "what came of a delivery was lost; it is sent again");
                return;
            }
            sleep(LOOK).await;
        }
    }

    /// Sends it; the error says what went wrong, and whether that is for good.
    async fn attempt(&self, claim: &Claim) -> Result<(), (String, bool)> {
        let settings = self.settings.load_full();
        let (url, secret) = self.destination(&settings, claim).map_err(|error| (error, false))?;
        let body = body(claim).map_err(|error| (error, true))?;
        let timestamp = self.clock.now().as_second();
        let id = claim.event_id.to_string();
        let signature = signature(&secret, &id, timestamp, body.as_bytes());
        let message = Message { id, timestamp, signature, body: body.into() };
        let sent = settings.sender.send(&url, &message).await;
        sent.map_err(|error| (error.to_string(), matches!(error, SendError::Gone)))
    }

    /// Where it goes and what it is signed with.
    fn destination(
        &self,
        settings: &Settings,
        claim: &Claim,
    ) -> Result<(WebhookUrl, SigningSecret), String> {
        if let Some((url, sealed)) = &claim.hook {
            // Whether http:// will do may have changed since it was registered.
            let clear = settings.sender.allows_private_networks();
            let url = WebhookUrl::parse(url, clear).map_err(|error| error.to_string())?;
            let secret = self.hooks.open(&claim.subject, sealed);
            return Ok((url, secret.map_err(|error| error.to_string())?));
        }
        let endpoint = settings.endpoint(&claim.endpoint);
        let endpoint = endpoint.ok_or("the endpoint has just left the configuration")?;
        Ok((endpoint.url.clone(), endpoint.secret.clone()))
    }

    fn after(&self, claim: &Claim, error: String, last: bool) -> Outcome {
        match schedule::pause(claim.attempt, rand::random::<f64>()) {
            Some(pause) if !last => {
                let pause = SignedDuration::try_from(pause).unwrap_or(SignedDuration::MAX);
                Outcome::Again { at: later(self.clock.now(), pause), error }
            }
            _ => Outcome::Failed { error },
        }
    }
}

/// `{type, timestamp, data}`, the same at every attempt.
fn body(claim: &Claim) -> Result<String, String> {
    let data: serde_json::Value = serde_json::from_str(&claim.data)
        .map_err(|error| format!("the event is no JSON: {error}"))?;
    let body = serde_json::json!({ "type": claim.kind, "timestamp": claim.at, "data": data });
    Ok(body.to_string())
}

fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.saturating_add(by).unwrap_or(Timestamp::MAX)
}

/// That the store is away is told by who follows it; this tells once what stands still because of it.
fn note(done: &Result<()>, fails: &mut bool) {
    match done {
        Err(error) if !*fails => tracing::warn!(%error, "webhooks wait for the store"),
        Ok(()) if *fails => tracing::info!("webhooks go on"),
        _ => {}
    }
    *fails = done.is_err();
}

/// Attempts under way, and how many to each host.
#[derive(Default)]
struct UnderWay {
    tasks: JoinSet<()>,
    running: BTreeMap<String, usize>,
    hosts: BTreeMap<tokio::task::Id, String>,
    /// The host that something was sent to last.
    last: String,
}

impl UnderWay {
    fn len(&self) -> usize {
        self.tasks.len()
    }

    fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    fn wanted(&self, endpoints: Vec<String>) -> Wanted {
        let (running, most) = (self.running.clone(), AT_ONCE - self.len());
        let after = self.last.clone();
        Wanted { endpoints, running, per_host: PER_HOST, most, after }
    }

    fn add(&mut self, host: &str, attempt: impl Future<Output = ()> + Send + 'static) {
        *self.running.entry(host.to_owned()).or_default() += 1;
        host.clone_into(&mut self.last);
        let task = self.tasks.spawn(attempt);
        self.hosts.insert(task.id(), host.to_owned());
    }

    /// Waits until one of them is done. To be called only while there is one.
    async fn done(&mut self) {
        let done = self.tasks.join_next_with_id().await;
        let id = match done {
            Some(Ok((id, ()))) => id,
            Some(Err(error)) => error.id(),
            None => return,
        };
        if let Some(host) = self.hosts.remove(&id)
            && let Some(running) = self.running.get_mut(&host)
        {
            *running -= 1;
            if *running == 0 {
                self.running.remove(&host);
            }
        }
    }
}
