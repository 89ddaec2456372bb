//! The metrics in the text form of `OpenMetrics` 1.0, which Prometheus reads.
//!
//! Counters stand here without the `_total` that the encoder gives them.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabelSet, MetricEncoder, NoLabelSet, text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::cells::{Bounds, CHANGE_BOUNDS, OVERHEAD_BOUNDS, REQUEST_BOUNDS, Reading};
use super::{
    Counter, Histogram, Http2Cut, KeyTableResult, Metrics, Source, TargetLabel, TargetMetrics,
    WaitedFor, WorkerMetrics, lock,
};
use crate::domain::Reason;

/// What [`Metrics::encode`] gives.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

impl Metrics {
    /// Everything as it stands now.
    pub fn encode(self: &Arc<Self>) -> String {
        // Called without the lock: a source may add another.
        let sources: Vec<Source> = lock(&self.sources).clone();
        for source in sources {
            source(self);
        }
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Scrape(Arc::clone(self))));
        let mut encoded = String::with_capacity(8 * 1024);
        text::encode(&mut encoded, &registry).expect("a string takes all that is written to it");
        encoded
    }
}

#[derive(Debug)]
struct Scrape(Arc<Metrics>);

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut exposition = Exposition(encoder);
        exposition.requests(&self.0)?;
        exposition.authentication(&self.0)?;
        exposition.store(&self.0)?;
        exposition.usage(&self.0)?;
        exposition.redis(&self.0)?;
        exposition.leases(&self.0)?;
        exposition.webhooks(&self.0)?;
        exposition.upstreams(&self.0)?;
        exposition.connections(&self.0)?;
        exposition.process(&self.0)
    }
}

/// Targets that somebody still has.
type Held = Vec<(TargetLabel, Arc<TargetMetrics>)>;

/// Writes one metric after the other.
struct Exposition<'e>(DescriptorEncoder<'e>);

impl Exposition<'_> {
    fn requests(&mut self, metrics: &Metrics) -> fmt::Result {
        let help = "Requests by route and answered status";
        let mut family = self.family("keygate_requests", help, MetricType::Counter)?;
        let routes = lock(&metrics.routes).clone();
        for (route, counters) in &routes {
            for (status, count) in counters.read() {
                let status = if status == 0 { "other".to_owned() } else { status.to_string() };
                count_with(&mut family, &[("route", &**route), ("status", &status)], count)?;
            }
        }
        let help = "From a request's head to its answer's last byte";
        let name = "keygate_request_duration_seconds";
        self.workers(name, help, metrics, &REQUEST_BOUNDS, |worker| &worker.duration)?;
        let help = "What of a request's time was the gateway's own";
        let name = "keygate_overhead_seconds";
        self.workers(name, help, metrics, &OVERHEAD_BOUNDS, |worker| &worker.overhead)?;
        let help = "Refused requests by reason";
        let mut family = self.family("keygate_refusals", help, MetricType::Counter)?;
        for reason in Reason::ALL {
            let count = metrics.total(|worker| &worker.refusals[reason.index()]);
            count_with(&mut family, &[("reason", reason.name())], count)?;
        }
        let help = "Answers and WebSockets broken off because their key ended, by reason";
        let mut family = self.family("keygate_requests_cut", help, MetricType::Counter)?;
        for reason in Reason::OF_KEYS {
            let count = metrics.total(|worker| &worker.cut[reason.index()]);
            count_with(&mut family, &[("reason", reason.name())], count)?;
        }
        Ok(())
    }

    fn authentication(&mut self, metrics: &Metrics) -> fmt::Result {
        let help = "Secrets by what the key table said to them";
        let mut family = self.family("keygate_key_table", help, MetricType::Counter)?;
        for result in KeyTableResult::ALL {
            let count = metrics.total(|worker| &worker.key_table[result as usize]);
            count_with(&mut family, &[("result", result.name())], count)?;
        }
        let help = "Secrets that the key table holds";
        self.gauge("keygate_key_table_entries", help, metrics.key_table_entries.read())?;
        self.counter("keygate_argon2_runs", "Argon2 runs", metrics.argon2_runs.read())?;
        let help = "Secrets that Argon2 runs on or that wait for it";
        self.gauge("keygate_argon2_queue", help, metrics.argon2_queue.read())?;
        let help = "Requests refused because their address has had too many 401s";
        let blocked = metrics.total(|worker| &worker.failed_auth_blocked);
        self.counter("keygate_failed_auth_blocked", help, blocked)?;
        let help = "Keys that were sent in clear to server.redirect_http";
        let exposed = metrics.total(|worker| &worker.keys_exposed);
        self.counter("keygate_keys_exposed", help, exposed)?;
        let help = "Tokens, sessions and set-up codes that did not let in by the admin plane";
        self.counter("keygate_failed_sign_ins", help, metrics.sign_ins_failed.read())?;
        let help = "Tries to come in there that were not looked at: too many had failed";
        self.counter("keygate_failed_sign_ins_blocked", help, metrics.sign_ins_blocked.read())
    }

    fn store(&mut self, metrics: &Metrics) -> fmt::Result {
        let help = "Whether the store is in reach and its changes are followed";
        self.gauge("keygate_store_up", help, metrics.store_up.read())?;
        let help = "Statements sent to the store";
        self.counter("keygate_store_queries", help, metrics.store_queries.read())?;
        let help = "Instances that run on the store, this one counted";
        self.gauge("keygate_instances", help, metrics.instances.read())?;
        let help = "From a change in the store until it is in force";
        let reading = Reading::of(&CHANGE_BOUNDS, [&metrics.change_lag]);
        self.histogram("keygate_change_lag_seconds", help, &reading)
    }

    fn usage(&mut self, metrics: &Metrics) -> fmt::Result {
        // In this order none is on the books that was not written.
        let booked = metrics.usage_booked.read();
        let written = metrics.usage_written.read();
        let help = "Answered requests written to the usage journal";
        self.counter("keygate_usage_written", help, written)?;
        let help = "Requests of the usage journal that are on the books";
        self.counter("keygate_usage_booked", help, booked)?;
        let help = "Requests of the usage journal that wait to be booked";
        self.gauge("keygate_usage_waiting", help, written.saturating_sub(booked))?;
        let help = "Requests refused because the usage journal had no room";
        self.counter("keygate_usage_refused", help, metrics.usage_refused.read())?;
        let help = "Bytes that the usage journal takes of its disk";
        self.gauge("keygate_usage_journal_bytes", help, metrics.usage_bytes.read())
    }

    fn redis(&mut self, metrics: &Metrics) -> fmt::Result {
        let help = "Whether Redis, if there is one, is in reach and limits are shared by it";
        self.gauge("keygate_redis_up", help, metrics.redis_up.read())?;
        let help = "Questions put to Redis";
        self.counter("keygate_redis_calls", help, metrics.redis_calls.read())?;
        let help = "Requests whose limits were decided without Redis, which was late";
        self.counter("keygate_redis_late", help, metrics.redis_late.read())
    }

    fn leases(&mut self, metrics: &Metrics) -> fmt::Result {
        let help = "Parts of budgets and credits asked of the store, by what came of it";
        let mut family = self.family("keygate_lease_grants", help, MetricType::Counter)?;
        let outcomes = [
            ("granted", &metrics.leases_granted),
            ("short", &metrics.leases_short),
            ("failed", &metrics.leases_failed),
        ];
        for (outcome, count) in outcomes {
            count_with(&mut family, &[("outcome", outcome)], count.read())?;
        }
        Ok(())
    }

    fn webhooks(&mut self, metrics: &Metrics) -> fmt::Result {
        let help = "Attempts to deliver events, by what came of them";
        let mut family = self.family("keygate_webhook_deliveries", help, MetricType::Counter)?;
        let outcomes = [
            ("delivered", &metrics.webhooks_delivered),
            ("retried", &metrics.webhooks_retried),
            ("failed", &metrics.webhooks_failed),
        ];
        for (outcome, count) in outcomes {
            count_with(&mut family, &[("outcome", outcome)], count.read())?;
        }
        let help = "Deliveries that wait, of all instances";
        self.gauge("keygate_webhooks_waiting", help, metrics.webhooks_waiting.read())?;
        let help = "Age of the event that has waited longest for a delivery";
        let oldest = metrics.webhooks_oldest_seconds.read();
        self.gauge("keygate_webhooks_oldest_waiting_seconds", help, oldest)
    }

    fn upstreams(&mut self, metrics: &Metrics) -> fmt::Result {
        let known = lock(&metrics.targets).clone();
        let targets: Held =
            known.into_iter().filter_map(|(label, held)| Some((label, held.upgrade()?))).collect();
        let help = "Whether an upstream's target is neither left out nor found down";
        let up = |target: &TargetMetrics| u64::from(target.is_up());
        self.target_gauge("keygate_upstream_up", help, &targets, up)?;
        let help = "Connections to a target that are open or being made";
        self.target_gauge("keygate_upstream_connections", help, &targets, |t| {
            t.connections.read()
        })?;
        let help = "Requests that wait for one of a target's connections";
        self.target_gauge("keygate_upstream_waiting", help, &targets, |t| t.waiting.read())?;
        let help = "How often a target was left out because it failed again and again";
        self.target_counter("keygate_upstream_ejections", help, &targets, |t| &t.ejections)?;
        let help = "Requests that failed on a target and were sent again";
        self.target_counter("keygate_upstream_retries", help, &targets, |t| &t.retries)?;
        let help = "Requests that found too many waiting for a target, or waited in vain";
        self.target_counter("keygate_upstream_overloaded", help, &targets, |t| &t.overloaded)
    }

    fn target_gauge(
        &mut self,
        name: &str,
        help: &str,
        targets: &Held,
        read: fn(&TargetMetrics) -> u64,
    ) -> fmt::Result {
        let mut family = self.family(name, help, MetricType::Gauge)?;
        for ((upstream, target), metrics) in targets {
            let labels = [("upstream", &**upstream), ("target", &**target)];
            family.encode_family(&labels)?.encode_gauge(&read(metrics))?;
        }
        Ok(())
    }

    fn target_counter(
        &mut self,
        name: &str,
        help: &str,
        targets: &Held,
        of: fn(&TargetMetrics) -> &Counter,
    ) -> fmt::Result {
        let mut family = self.family(name, help, MetricType::Counter)?;
        for ((upstream, target), metrics) in targets {
            let labels = [("upstream", &**upstream), ("target", &**target)];
            count_with(&mut family, &labels, of(metrics).read())?;
        }
        Ok(())
    }

    fn connections(&mut self, metrics: &Metrics) -> fmt::Result {
        // In this order a connection that comes between the readings makes no negative number.
        let closed = metrics.total(|worker| &worker.connections_closed);
        let opened = metrics.total(|worker| &worker.connections_opened);
        let open = opened.saturating_sub(closed);
        self.gauge("keygate_connections", "Client connections that are open", open)?;
        let help = "Client connections accepted";
        self.counter("keygate_connections_accepted", help, opened)?;
        let help = "Client connections closed at once because of server.max_connections";
        let refused = metrics.total(|worker| &worker.connections_refused);
        self.counter("keygate_connections_refused", help, refused)?;
        let help = "Client connections closed at once because their address had a quarter of all";
        let refused = metrics.total(|worker| &worker.connections_refused_by_address);
        self.counter("keygate_connections_refused_by_address", help, refused)?;
        let help = "Client connections closed because their client took too long";
        let mut family = self.family("keygate_connections_timed_out", help, MetricType::Counter)?;
        for what in WaitedFor::ALL {
            let count = metrics.total(|worker| &worker.connections_timed_out[what as usize]);
            count_with(&mut family, &[("waiting_for", what.name())], count)?;
        }
        let closed = metrics.total(|worker| &worker.tunnels_closed);
        let open = metrics.total(|worker| &worker.tunnels_opened).saturating_sub(closed);
        self.gauge("keygate_tunnels", "WebSockets that are open", open)?;
        let help =
            "Client connections whose PROXY header or TLS handshake was wrong or took too long";
        let not_begun = metrics.total(|worker| &worker.connections_not_begun);
        self.counter("keygate_connections_not_begun", help, not_begun)?;
        let help = "HTTP/2 connections cut off because their client abused the protocol";
        let mut family = self.family("keygate_http2_connections_cut", help, MetricType::Counter)?;
        for cause in Http2Cut::ALL {
            let count = metrics.total(|worker| &worker.http2_cut[cause as usize]);
            count_with(&mut family, &[("cause", cause.name())], count)?;
        }
        let help = "Bytes of request bodies";
        let bytes_in = metrics.total(|worker| &worker.bytes_in);
        self.counter("keygate_request_body_bytes", help, bytes_in)?;
        let help = "Bytes of answers' bodies";
        let bytes_out = metrics.total(|worker| &worker.bytes_out);
        self.counter("keygate_response_body_bytes", help, bytes_out)
    }

    fn process(&mut self, metrics: &Metrics) -> fmt::Result {
        let help = "Reloads of the configuration by their result";
        let mut family = self.family("keygate_config_reloads", help, MetricType::Counter)?;
        let reloads = [("ok", &metrics.reloads_ok), ("failed", &metrics.reloads_failed)];
        for (result, count) in reloads {
            count_with(&mut family, &[("result", result)], count.read())?;
        }
        let help = "Reloads of changed certificate files by their result";
        let mut family = self.family("keygate_certificate_reloads", help, MetricType::Counter)?;
        let reloads = [("ok", &metrics.certificates_ok), ("failed", &metrics.certificates_failed)];
        for (result, count) in reloads {
            count_with(&mut family, &[("result", result)], count.read())?;
        }
        let help = "Access log lines lost because the output did not keep up or failed";
        self.counter("keygate_access_log_dropped", help, metrics.access_log_dropped.read())?;
        let panics = metrics.total(|worker| &worker.panics);
        self.counter("keygate_panics", "Requests that panicked", panics)?;
        let costs = metrics.total(|worker| &worker.costs_refused);
        let help = "Answers in which an upstream said no usable cost: charged at the route's own";
        self.counter("keygate_costs_refused", help, costs)?;
        let mut info = self.family("keygate_build", "What runs", MetricType::Info)?;
        info.encode_info(&[("version", metrics.version.as_str())])
    }

    fn family<'s>(
        &'s mut self,
        name: &'s str,
        help: &str,
        kind: MetricType,
    ) -> Result<MetricEncoder<'s>, fmt::Error> {
        self.0.encode_descriptor(name, help, None, kind)
    }

    fn counter(&mut self, name: &str, help: &str, count: u64) -> fmt::Result {
        let mut metric = self.family(name, help, MetricType::Counter)?;
        metric.encode_counter::<NoLabelSet, _, u64>(&count, None)
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.family(name, help, MetricType::Gauge)?.encode_gauge(&value)
    }

    fn histogram(&mut self, name: &str, help: &str, reading: &Reading) -> fmt::Result {
        let mut metric = self.family(name, help, MetricType::Histogram)?;
        let (sum, count) = (reading.sum_s(), reading.count());
        metric.encode_histogram::<NoLabelSet>(sum, count, &reading.buckets(), None)
    }

    fn workers(
        &mut self,
        name: &str,
        help: &str,
        metrics: &Metrics,
        bounds: &'static Bounds,
        of: fn(&WorkerMetrics) -> &Histogram,
    ) -> fmt::Result {
        let histograms = metrics.workers.iter().map(|worker| of(worker));
        self.histogram(name, help, &Reading::of(bounds, histograms))
    }
}

fn count_with<L: EncodeLabelSet>(
    family: &mut MetricEncoder<'_>,
    labels: &L,
    count: u64,
) -> fmt::Result {
    family.encode_family(labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)
}
