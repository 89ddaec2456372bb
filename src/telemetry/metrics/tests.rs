use std::thread;
use std::time::Duration;

use super::*;
use crate::domain::Reason;

fn line<'t>(text: &'t str, name: &str) -> &'t str {
    text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name}\n{text}"))
}

#[test]
fn the_exposition_has_every_metric_of_the_contract_by_its_exact_name() {
    let metrics = Metrics::new(2, "1.2.3");
    metrics.route("/v1/agents/{id}").answered(0, 200);
    metrics.route(NO_ROUTE).answered(1, 404);
    metrics.worker(0).answered(Duration::from_millis(3), Duration::from_micros(12));
    metrics.worker(1).refused(Reason::RouteNotFound, 404);
    metrics.worker(1).key_table(KeyTableResult::Hit);
    metrics.worker(0).connection_opened();
    metrics.worker(0).transferred(10, 200);
    metrics.argon2_runs.increment();
    metrics.change_lag.observe_shared(Duration::from_millis(8));
    metrics.config_reloaded(true);
    let _target = metrics.target("api", "127.0.0.1:9000");
    insta::assert_snapshot!(metrics.encode());
}

#[test]
fn workers_count_at_the_same_time_and_no_count_is_lost() {
    const EACH: u64 = 20_000;
    let metrics = Metrics::new(4, "0");
    let route = metrics.route("/a");
    thread::scope(|scope| {
        for index in 0..4 {
            let (worker, route) = (metrics.worker(index), Arc::clone(&route));
            scope.spawn(move || {
                for _ in 0..EACH {
                    worker.refused(Reason::RateLimited, 429);
                    worker.answered(Duration::from_nanos(100), Duration::from_nanos(50));
                    route.answered(index, 429);
                }
            });
        }
        // Reading at the same time stops nobody.
        metrics.encode();
    });
    let text = metrics.encode();
    let all = 4 * EACH;
    assert!(text.contains(&format!("keygate_refusals_total{{reason=\"rate_limited\"}} {all}\n")));
    let requests = format!("keygate_requests_total{{route=\"/a\",status=\"429\"}} {all}\n");
    assert!(text.contains(&requests));
    assert!(text.contains(&format!("keygate_overhead_seconds_count {all}\n")));
    assert_eq!(line(&text, "keygate_overhead_seconds_sum"), "keygate_overhead_seconds_sum 0.004");
}

#[test]
fn the_same_route_keeps_its_counters_over_a_reload() {
    let metrics = Metrics::new(1, "0");
    metrics.route("/a").answered(0, 200);
    let resolved_again = metrics.route("/a");
    resolved_again.answered(0, 200);
    assert!(Arc::ptr_eq(&resolved_again, &metrics.route("/a")));
    assert!(metrics.encode().contains("keygate_requests_total{route=\"/a\",status=\"200\"} 2\n"));
}

#[test]
fn a_target_is_shown_for_as_long_as_it_is_held() {
    let metrics = Metrics::new(1, "0");
    let target = metrics.target("api", "a:80");
    assert!(Arc::ptr_eq(&target, &metrics.target("api", "a:80")));
    target.set_up(false);
    let shown = "keygate_upstream_up{upstream=\"api\",target=\"a:80\"} 0\n";
    assert!(metrics.encode().contains(shown));
    drop(target);
    assert!(!metrics.encode().contains("a:80"));
}

#[test]
fn what_others_count_is_taken_over_when_it_is_asked_for() {
    let metrics = Metrics::new(1, "0");
    metrics.read_with(|metrics| metrics.store_queries.take_over(17));
    assert!(metrics.encode().contains("keygate_store_queries_total 17\n"));
}

#[test]
fn a_label_cannot_break_out_of_its_quotes() {
    let metrics = Metrics::new(1, "0");
    metrics.route("/a\"} evil{x=\"\n").answered(0, 200);
    let text = metrics.encode();
    assert!(text.contains(r#"route="/a\"} evil{x=\"\n",status"#), "{text}");
}
