//! What the instance did in the last hour.

use serde_json::Value;

use super::Scene;
use crate::support::{Origin, until};

#[test]
fn what_passed_and_what_was_refused_is_in_the_samples() {
    let origin = Origin::start();
    let scene = Scene::of(&origin, "");
    let key = scene.gateway.key("--name a");
    for _ in 0..3 {
        assert_eq!(scene.gateway.curl("/any").bearer(&key).send().status, 200);
    }
    for path in ["/nowhere", "/any"] {
        scene.gateway.curl(path).send();
    }
    let samples = || scene.seen("traffic")["data"].as_array().unwrap().clone();
    let sum = |of: &dyn Fn(&Value) -> &Value| -> u64 {
        samples().iter().filter_map(|sample| of(sample).as_u64()).sum()
    };
    until("the next sample is taken", || sum(&|it| &it["refused"]) == 2);
    assert_eq!(sum(&|it| &it["passed"]), 3);
    assert_eq!(sum(&|it| &it["client_errors"]) + sum(&|it| &it["upstream_errors"]), 0);
    assert_eq!(sum(&|it| &it["refusals"]["route_not_found"]), 1);
    assert_eq!(sum(&|it| &it["refusals"]["missing_key"]), 1);
    assert!(sum(&|it| &it["overhead_p99_us"]) > 0);
    let seconds: Vec<f64> = samples().iter().filter_map(|it| it["seconds"].as_f64()).collect();
    assert!(seconds.iter().all(|seconds| *seconds >= 4.9), "{seconds:?}");
}
