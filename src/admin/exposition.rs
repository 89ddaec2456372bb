//! `/metrics`: every counter in the text form of OpenMetrics, added up when it is asked for.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabelSet, MetricEncoder, NoLabelSet, text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::Admin;
use crate::auth::sync::StoreState;
use crate::domain::Reason;
use crate::proxy::worker::Shared;
use crate::telemetry::metrics::{BOUNDS, Durations};

/// What `render` gives.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics as they stand now.
pub fn render(admin: &Arc<Admin>) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Scrape(Arc::clone(admin))));
    let mut rendered = String::new();
    text::encode(&mut rendered, &registry)?;
    Ok(rendered)
}

/// One reading of everything.
struct Scrape(Arc<Admin>);

impl fmt::Debug for Scrape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scrape")
    }
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let out = &mut encoder;
        let shared = &self.0.shared;
        requests(out, shared)?;
        refusals(out, shared)?;
        durations(out, shared)?;
        authentication(out, shared)?;
        store(out, &self.0)?;
        connections(out, shared)?;
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        let mut info = family(out, "keygate_build_info", "The version that runs", MetricType::Gauge)?;
        info.encode_family(&version)?.encode_gauge(&1u64)
    }
}

fn requests(out: &mut DescriptorEncoder<'_>, shared: &Shared) -> fmt::Result {
    let help = "Requests by route and answered status; 499: the client left before";
    let mut metric = family(out, "keygate_requests", help, MetricType::Counter)?;
    for ((route, status), count) in shared.metrics.requests() {
        let status = status.map_or_else(|| "other".to_owned(), |status| status.to_string());
        let labels = [("route", &*route), ("status", &status)];
        count_with(&mut metric, &labels, count)?;
    }
    Ok(())
}

fn refusals(out: &mut DescriptorEncoder<'_>, shared: &Shared) -> fmt::Result {
    let help = "Requests that were refused, by reason";
    let mut metric = family(out, "keygate_refusals", help, MetricType::Counter)?;
    for reason in Reason::ALL {
        let count = shared.metrics.total(|worker| worker.refusals[reason.index()].read());
        count_with(&mut metric, &[("reason", reason.name())], count)?;
    }
    Ok(())
}

fn durations(out: &mut DescriptorEncoder<'_>, shared: &Shared) -> fmt::Result {
    let whole = shared.metrics.durations(|worker| &worker.duration);
    let help = "From a request's head to its answer's last byte";
    histogram(out, "keygate_request_duration_seconds", help, &whole)?;
    let own = shared.metrics.durations(|worker| &worker.overhead);
    let help = "What of it passed in the gateway before the upstream was asked";
    histogram(out, "keygate_overhead_seconds", help, &own)
}

fn authentication(out: &mut DescriptorEncoder<'_>, shared: &Shared) -> fmt::Result {
    let (auth, relaxed) = (&shared.auth, Ordering::Relaxed);
    let counts = auth.counts();
    let help = "Secrets by what the key table knew of them";
    let mut metric = family(out, "keygate_key_table", help, MetricType::Counter)?;
    for (result, count) in [
        ("hit", shared.metrics.total(|worker| worker.table_hits.read())),
        ("miss", counts.misses.load(relaxed)),
        ("unknown", counts.unknown.load(relaxed)),
        ("wrong", counts.wrong.load(relaxed)),
    ] {
        count_with(&mut metric, &[("result", result)], count)?;
    }
    let pool = auth.pool.counts();
    counter(out, "keygate_argon2_runs", "Argon2 runs", pool.runs.load(relaxed))?;
    let waiting = pool.waiting.load(relaxed);
    gauge(out, "keygate_argon2_queue", "Secrets that Argon2 runs on or that wait for it", waiting)?;
    let held = auth.sync.table.len() as u64;
    gauge(out, "keygate_key_table_secrets", "Secrets in the key table", held)
}

fn store(out: &mut DescriptorEncoder<'_>, admin: &Admin) -> fmt::Result {
    let sync = &admin.shared.auth.sync;
    let up = u64::from(sync.state() == StoreState::Live);
    gauge(out, "keygate_store_up", "Whether the store is in reach and its changes are followed", up)?;
    counter(out, "keygate_store_queries", "Statements sent to the store", admin.store.queries())?;
    let lag_s = sync.counts().change_lag_ms.load(Ordering::Relaxed) as f64 / 1e3;
    let help = "How long the last change took from its notice until it was in force";
    let mut metric = family(out, "keygate_change_lag_seconds", help, MetricType::Gauge)?;
    metric.encode_gauge(&lag_s)?;
    let revision = sync.counts().revision.load(Ordering::Relaxed);
    gauge(out, "keygate_store_revision", "The store's revision that is in force", revision)
}

fn connections(out: &mut DescriptorEncoder<'_>, shared: &Shared) -> fmt::Result {
    let open = shared.open_connections.load(Ordering::Relaxed) as u64;
    gauge(out, "keygate_client_connections_open", "Client connections that are open", open)?;
    let accepted = shared.metrics.total(|worker| worker.connections.read());
    counter(out, "keygate_client_connections", "Client connections accepted", accepted)?;
    let refused = shared.metrics.total(|worker| worker.refused_connections.read());
    let help = "Client connections closed because of server.max_connections";
    counter(out, "keygate_client_connections_refused", help, refused)?;
    let help = "Batches of access log lines that were dropped because the writer fell behind";
    counter(out, "keygate_access_log_dropped", help, shared.access_log.dropped())
}

fn family<'s>(
    out: &'s mut DescriptorEncoder<'_>,
    name: &'s str,
    help: &str,
    kind: MetricType,
) -> Result<MetricEncoder<'s>, fmt::Error> {
    out.encode_descriptor(name, help, None, kind)
}

fn counter(out: &mut DescriptorEncoder<'_>, name: &str, help: &str, count: u64) -> fmt::Result {
    let mut metric = family(out, name, help, MetricType::Counter)?;
    metric.encode_counter::<NoLabelSet, _, u64>(&count, None)
}

fn gauge(out: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    family(out, name, help, MetricType::Gauge)?.encode_gauge(&value)
}

fn count_with<L: EncodeLabelSet>(
    metric: &mut MetricEncoder<'_>,
    labels: &L,
    count: u64,
) -> fmt::Result {
    metric.encode_family(labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)
}

fn histogram(
    out: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    durations: &Durations,
) -> fmt::Result {
    let bounds = BOUNDS.iter().copied().chain([f64::MAX]);
    let buckets: Vec<(f64, u64)> = bounds.zip(durations.buckets.iter().copied()).collect();
    let count = durations.buckets.iter().sum();
    let mut metric = family(out, name, help, MetricType::Histogram)?;
    metric.encode_histogram::<NoLabelSet>(durations.sum, count, &buckets, None)
}
