//! The wiring: the only part that knows every part.
//!
//! Two planes in one process: each worker a thread with a runtime of its own, and around them the
//! control plane on the runtime that [`Gateway::start`] is called on.

mod certificates;
mod handover;
mod listeners;
mod live;
mod others;
mod reload;
mod systemd;
mod usage;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, bail};
use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::runtime::{Builder, LocalOptions};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};

use self::certificates::Certificates;
use self::handover::Shares;
use self::listeners::{Bound, Listeners};
use self::reload::Reloader;
use self::systemd::Inherited;
use crate::admin::{self, AdminState, AdminTls, Door, Live, NotReloaded};
use crate::auth::Authenticator;
use crate::auth::flush::{flush, keep_flushing};
use crate::auth::pool::Argon2Pool;
use crate::auth::sync::{StoreState, Sync, Synchroniser};
use crate::auth::table::Moment;
use crate::cluster::Membership;
use crate::config::reload::Watch;
use crate::config::{Config, Environment, LoadedConfig, StoreLocation};
use crate::domain::Clock;
use crate::key::hash::DigestKey;
use crate::limit::{ConnectionCounts, RedisClient, SharedLimits};
use crate::proxy::listener::Listener;
use crate::proxy::plan::Plan;
use crate::proxy::probe::Probers;
use crate::proxy::refusals::Refusals;
use crate::proxy::worker::{self, Order, Shared};
use crate::rotation::{Terms, keep_time};
use crate::self_service::{Clerk, Desk, Office};
use crate::spend::{Keeper, Now, Spender};
use crate::store::{self, Store, StoreError};
use crate::telemetry::access::AccessLog;
use crate::telemetry::history::History;
use crate::telemetry::metrics::Metrics;
use crate::usage::Journal;
use crate::webhooks::Webhooks;

/// How long the start waits for the store's answer: a million ids are read in less.
const STORE_ANSWERS: Duration = Duration::from_secs(5);
/// How often the configuration's file is looked at.
const LOOK_AT_FILE: Duration = Duration::from_secs(2);

/// A running gateway.
pub struct Gateway {
    control: Arc<Control>,
    orders: watch::Sender<Order>,
    workers: Vec<JoinHandle<()>>,
    data_addresses: Vec<SocketAddr>,
    redirect_address: Option<SocketAddr>,
    admin: Admin,
    door: Arc<Door>,
    shares: Shares,
    background: Vec<AbortHandle>,
    reloader: Reloader,
    reloads: mpsc::Receiver<WantsReload>,
    signals: Signals,
}

/// Who wants the configuration reloaded, and is told how that went.
type WantsReload = oneshot::Sender<Result<(), NotReloaded>>;

impl Gateway {
    /// Starts every part and listens. The store need not be in reach: then it is waited for, and
    /// `/readyz` says so. `environment` is what reloads fill the file with. Runs on a multi-thread runtime, which becomes the control plane.
    pub async fn start(
        loaded: LoadedConfig,
        environment: Environment,
        clock: Clock,
    ) -> anyhow::Result<Self> {
        let inherited = Inherited::from_environment()?;
        let config = Arc::new(loaded.config.clone());
        let bound = Bound::new(&config, inherited)?;
        let (data_addresses, redirect_address) = (bound.data_addresses(), bound.redirect_address());
        let store = open_store(&config).await?;
        let metrics = Metrics::new(config.server.workers, env!("CARGO_PKG_VERSION"));
        let journal = usage::begin(&config)?;
        usage::show(&journal, &metrics);
        let plan = Plan::new(Arc::clone(&config), 1)?.in_service(&metrics, None);
        let (sync, mut synchroniser) = Sync::new(
            Arc::clone(&store),
            plan.policy.clone(),
            clock.clone(),
            config.cache.capacity,
            Arc::clone(&metrics),
        );
        let cache_keys = loaded.cache_keys().map_err(anyhow::Error::msg)?;
        if cache_keys.is_some() {
            synchroniser.read_ahead();
        }
        let now = sync.clock.now();
        let membership = Membership::join(Arc::clone(&store), sync.applied(), loaded.hash(), now);
        let limits = share_limits(&config, &membership, &sync, &metrics)?;
        let (limits, redis) = limits.unzip();
        let (spender, keeper) =
            hold_leases(&config, &store, &journal, &membership, &sync, &metrics);
        let (desk, clerk) = Desk::new();
        let certificates = Certificates::of(&config)?;
        let shared = Arc::new(Shared {
            https_port: data_addresses[0].port(),
            tls: ArcSwapOption::empty(),
            generation: AtomicU64::new(plan.generation),
            plan: ArcSwap::from_pointee(plan),
            auth: authenticator(&sync, &metrics)?,
            limits,
            spender,
            desk,
            journal,
            metrics: Arc::clone(&metrics),
            access_log: open_access_log(&config, &metrics)?,
            refusals: Refusals::of(config.server.workers),
            connections_by_address: ConnectionCounts::default(),
            open_connections: AtomicUsize::new(0),
        });
        shared.auth.macs.replace_keys(cache_keys.as_ref());
        read_counters(&metrics, &sync, &store, &membership);
        let webhooks = Webhooks::new(Arc::clone(&store), &loaded, clock, Arc::clone(&metrics));
        let webhooks = Arc::new(webhooks.map_err(anyhow::Error::msg)?);
        tokio::spawn(Arc::clone(&webhooks).run());
        let (wants_reload, reloads) = mpsc::channel(1);
        let control = Arc::new(Control {
            webhooks,
            history: History::default(),
            reloads: wants_reload,
            shared: Arc::clone(&shared),
            store: Arc::clone(&store),
            membership,
            admin_tls: AdminTls::default(),
            loaded: ArcSwap::from_pointee(loaded.clone()),
            draining: AtomicBool::new(false),
        });
        certificates.put_in_force(&control);
        let mut background =
            start_background(synchroniser, redis, keeper, &shared, Arc::clone(&store));
        background.extend(usage::start_background(&shared, &store));
        background.push(serve_calls(clerk, &control));
        background.push(keep_history(&control));
        settle(&control).await;
        let (orders, order) = watch::channel(Order::Serve);
        let Listeners { workers, admin, shares } = bound.listen()?;
        let workers = start_workers(&shared, workers, &order)?;
        let door = Arc::new(Door::new(Arc::clone(&metrics))?);
        let state = AdminState {
            door: Arc::clone(&door),
            metrics,
            live: Arc::clone(&control) as Arc<dyn Live>,
            store,
            clock: control.shared.auth.sync.clock.clone(),
        };
        let admin = Admin::start(state, Arc::clone(&control.admin_tls), admin)?;
        let watch = Watch::new(&loaded, environment);
        let probers = Probers::following(&shared.plan.load());
        let reloader =
            Reloader { control: Arc::clone(&control), watch, config, probers, certificates };
        Ok(Self {
            control,
            orders,
            workers,
            data_addresses,
            redirect_address,
            admin,
            door,
            shares,
            background,
            reloader,
            reloads,
            signals: Signals::new()?,
        })
    }

    /// Where the data plane listens.
    pub fn data_addresses(&self) -> &[SocketAddr] {
        &self.data_addresses
    }

    /// Where clients are sent from to TLS, if anywhere.
    pub fn redirect_address(&self) -> Option<SocketAddr> {
        self.redirect_address
    }

    /// Where health and metrics are asked.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin.address
    }

    /// Who may come in there.
    pub fn door(&self) -> &Arc<Door> {
        &self.door
    }

    /// Serves until SIGTERM or SIGINT, reloading at SIGHUP and when the file changes; then drains.
    pub async fn run_until_stopped(mut self) -> anyhow::Result<()> {
        systemd::ready();
        let mut look = interval(LOOK_AT_FILE);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let Signals { stop, interrupt, reload } = &mut self.signals;
            tokio::select! {
                _ = stop.recv() => break,
                _ = interrupt.recv() => break,
                // What is wrong is in the log.
                Some(()) = reload.recv() => drop(self.reloader.reload_now()),
                Some(answer) = self.reloads.recv() => {
                    // Who asked may have left.
                    let _ = answer.send(self.reloader.reload_now());
                }
                _ = look.tick() => self.reloader.reload_if_changed(),
            }
        }
        systemd::stopping();
        self.drain().await;
        Ok(())
    }

    /// Not ready first, then no new connections, then the running requests are finished, as long as
    /// they may take; last uses are written, and the admin listener closes last.
    ///
    /// Where another process answers on the same addresses, health is asked of it from the beginning:
    /// nobody sees that this one is not ready.
    async fn drain(self) {
        let Self { control, orders, workers, admin, shares, background, .. } = self;
        let admin = admin.stop_if_others_answer();
        control.draining.store(true, Ordering::Release);
        let timeout = control.shared.plan.load().config.server.drain_timeout;
        let deadline = Instant::now() + timeout;
        shares.leave(&orders, timeout / 4).await;
        tracing::info!(?timeout, "draining: running requests are finished, no new ones are taken");
        orders.send_replace(Order::Drain(deadline));
        let joined = tokio::task::spawn_blocking(move || {
            for worker in workers {
                // A worker that panicked has nothing left to finish.
                let _ = worker.join();
            }
        });
        let _ = joined.await;
        if let Some(limits) = &control.shared.limits {
            limits.release().await;
        }
        control.webhooks.stop().await;
        control.membership.leave().await;
        for task in background {
            task.abort();
        }
        flush(&control.shared.auth, &*control.store).await;
        control.shared.journal.close(&*control.store, &control.shared.auth.sync.clock).await;
        control.shared.access_log.close();
        if let Some(admin) = admin {
            admin.stop();
        }
        tracing::info!("stopped");
    }
}

/// What the control plane holds of the running gateway.
struct Control {
    shared: Arc<Shared>,
    store: Arc<dyn Store>,
    membership: Membership,
    webhooks: Arc<Webhooks>,
    /// What this instance did of late.
    history: History,
    reloads: mpsc::Sender<WantsReload>,
    /// What the admin listener's connections begin with.
    admin_tls: AdminTls,
    /// The configuration in force.
    loaded: ArcSwap<LoadedConfig>,
    draining: AtomicBool,
}

/// The admin listener, while it is there.
struct Admin {
    address: SocketAddr,
    is_inherited: bool,
    stop: oneshot::Sender<()>,
}

impl Admin {
    fn start(state: AdminState, tls: AdminTls, listener: Listener) -> io::Result<Self> {
        let Listener { socket, is_inherited } = listener;
        let address = socket.local_addr()?;
        let socket = tokio::net::TcpListener::from_std(socket)?;
        let (stop, stopped) = oneshot::channel();
        tokio::spawn(async move {
            admin::serve(socket, state, tls, stopped).await;
        });
        Ok(Self { address, is_inherited, stop })
    }

    /// Where another process answers on the same address, or will (what comes on a socket that was
    /// handed over waits for the next one), health is asked of that one from here on.
    fn stop_if_others_answer(self) -> Option<Self> {
        if self.is_inherited || others::listening_on(self.address) > 1 {
            self.stop();
            return None;
        }
        Some(self)
    }

    fn stop(self) {
        // It may be gone already.
        let _ = self.stop.send(());
    }
}

/// Who is calling, and the threads that hash.
fn authenticator(sync: &Arc<Sync>, metrics: &Arc<Metrics>) -> anyhow::Result<Authenticator> {
    let digests = DigestKey::random().context("no random bytes for the digests' key")?;
    let pool = Argon2Pool::start(cores(), Arc::clone(metrics))
        .context("the hashing threads could not be started")?;
    Ok(Authenticator::new(Arc::clone(sync), pool, digests))
}

fn open_access_log(config: &Config, metrics: &Arc<Metrics>) -> anyhow::Result<AccessLog> {
    let opened = AccessLog::start(&config.access_log, Arc::clone(metrics));
    opened
        .with_context(|| format!("the access log {:?} cannot be opened", config.access_log.output))
}

/// With the store in reach, the first request finds it followed already; so with Redis.
async fn settle(control: &Control) {
    let Shared { auth, limits, .. } = &*control.shared;
    if auth.sync.settles_within(STORE_ANSWERS).await == StoreState::Live {
        // Nobody is let in by an instance that a receipt does not count.
        control.membership.known().await;
    }
    if let Some(limits) = limits {
        limits.settled().await;
    }
}

/// Has `/metrics` ask those who count for themselves.
fn read_counters(
    metrics: &Metrics,
    sync: &Arc<Sync>,
    store: &Arc<dyn Store>,
    membership: &Membership,
) {
    let (sync, store, running) = (Arc::clone(sync), Arc::clone(store), membership.running());
    metrics.read_with(move |metrics| {
        metrics.store_queries.take_over(store.queries());
        metrics.key_table_entries.set(sync.table.len() as u64);
        metrics.instances.set(*running.borrow() as u64);
    });
}

/// Opens the store, whose schema must fit, if it is in reach.
async fn open_store(config: &Config) -> anyhow::Result<Arc<dyn Store>> {
    let store = store::open(&config.store).await?;
    match (store::prepare(&*store, &config.store).await, &config.store) {
        (Ok(()), _) => {}
        (
            Err(error @ (StoreError::Unavailable(_) | StoreError::Silent(_))),
            StoreLocation::Postgres(_),
        ) => tracing::error!(%error, "starting without the store; it is waited for"),
        (Err(error), _) => bail!(error),
    }
    Ok(store)
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Limits that instances share, where Redis is configured, and the task that speaks with it.
fn share_limits(
    config: &Config,
    membership: &Membership,
    sync: &Arc<Sync>,
    metrics: &Arc<Metrics>,
) -> anyhow::Result<Option<(SharedLimits, RedisClient)>> {
    let Some(location) = &config.redis else { return Ok(None) };
    let (sync, metrics) = (Arc::clone(sync), Arc::clone(metrics));
    let now_ms = move || sync.monotonic_ms();
    // How many instances run, this one included: what shares go by.
    let instances = membership.running();
    Ok(Some(SharedLimits::new(location, instances, now_ms, metrics)?))
}

/// Leases of budgets and credits, in the name of this process's journal.
fn hold_leases(
    config: &Config,
    store: &Arc<dyn Store>,
    journal: &Journal,
    membership: &Membership,
    sync: &Arc<Sync>,
    metrics: &Arc<Metrics>,
) -> (Spender, Keeper) {
    let (store, holder) = (Arc::clone(store), journal.id().clone());
    let good_for = config.cache.stale_if_down;
    let metrics = Arc::clone(metrics);
    Keeper::new(store, holder, membership.running(), now_of(sync), good_for, metrics)
}

/// The time as those who spend go by it.
fn now_of(sync: &Arc<Sync>) -> impl Fn() -> Now + Send + std::marker::Sync + 'static {
    let sync = Arc::clone(sync);
    move || {
        let Moment { monotonic_ms, wall_ms } = sync.now();
        Now { wall_ms, monotonic_ms }
    }
}

fn start_background(
    synchroniser: Synchroniser,
    redis: Option<RedisClient>,
    keeper: Keeper,
    shared: &Arc<Shared>,
    store: Arc<dyn Store>,
) -> Vec<AbortHandle> {
    let follow = tokio::spawn(synchroniser.run());
    let remind = tokio::spawn(remind(Arc::clone(shared), Arc::clone(&store)));
    let shared = Arc::clone(shared);
    let flush = tokio::spawn(async move { keep_flushing(&shared.auth, &*store).await });
    let redis = redis.map(|redis| tokio::spawn(redis.run()));
    let keep = tokio::spawn(keeper.run());
    [follow, flush, keep, remind].into_iter().chain(redis).map(|task| task.abort_handle()).collect()
}

/// Tells what goes by the clock, as the configuration in force says.
async fn remind(shared: Arc<Shared>, store: Arc<dyn Store>) {
    let terms = || Terms::of(&shared.plan.load().config);
    keep_time(&*store, &shared.auth.sync.clock, terms).await;
}

/// Has what keys ask of keygate itself done on the control plane.
fn serve_calls(clerk: Clerk, control: &Control) -> AbortHandle {
    let shared = Arc::clone(&control.shared);
    let office = Office {
        store: Arc::clone(&control.store),
        journal: Arc::clone(&shared.journal),
        hooks: Arc::clone(control.webhooks.hooks()),
        clock: shared.auth.sync.clock.clone(),
        config: Box::new(move || Arc::clone(&shared.plan.load().config)),
    };
    tokio::spawn(clerk.run(Arc::new(office))).abort_handle()
}

/// Samples what this instance does, for people to look at.
fn keep_history(control: &Arc<Control>) -> AbortHandle {
    let control = Arc::clone(control);
    let keep = async move {
        let shared = &control.shared;
        control.history.keep(&shared.metrics, &shared.auth.sync.clock).await;
    };
    tokio::spawn(keep).abort_handle()
}

fn start_workers(
    shared: &Arc<Shared>,
    listeners: Vec<worker::Listeners>,
    orders: &watch::Receiver<Order>,
) -> anyhow::Result<Vec<JoinHandle<()>>> {
    let start = |(index, listeners)| {
        let (shared, orders) = (Arc::clone(shared), orders.clone());
        std::thread::Builder::new()
            .name(format!("worker-{index}"))
            .spawn(move || run_worker(index, shared, listeners, orders))
            .context("a worker's thread could not be started")
    };
    listeners.into_iter().enumerate().map(start).collect()
}

fn run_worker(
    index: usize,
    shared: Arc<Shared>,
    listeners: worker::Listeners,
    orders: watch::Receiver<Order>,
) {
    let served = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .and_then(|runtime| runtime.block_on(worker::run(index, shared, listeners, orders)));
    if let Err(error) = served {
        tracing::error!(%error, "a worker could not serve");
    }
}

struct Signals {
    stop: Signal,
    interrupt: Signal,
    reload: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            stop: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            reload: signal(SignalKind::hangup())?,
        })
    }
}
