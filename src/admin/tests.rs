use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;
use crate::config::{Environment, LoadedConfig, parse};
use crate::domain::{Clock, InstanceId, KeyId, LimitStanding, RefusedRequest, TrafficSample};
use crate::limit::Standing;
use crate::proxy::plan::Plan;
use crate::proxy::route::Route;
use crate::store::SqliteStore;
use crate::telemetry::metrics::Metrics;

struct Stand(Mutex<ReadyReport>);

/// Of a gateway that is not asked for anything else.
#[async_trait]
impl Live for Stand {
    fn ready(&self) -> ReadyReport {
        *self.0.lock().unwrap()
    }

    fn config(&self) -> Arc<LoadedConfig> {
        let loaded = parse("", Path::new("k.toml"), &Environment::default());
        Arc::new(loaded.expect("an empty file is a configuration"))
    }

    fn plan(&self) -> Arc<Plan> {
        let config = Arc::new(self.config().config.clone());
        Arc::new(Plan::new(config, 1).expect("it can be put in force"))
    }

    fn instance(&self) -> InstanceId {
        InstanceId::from_text("inst_1")
    }

    fn limits(&self, _: &KeyId) -> Option<Vec<LimitStanding>> {
        None
    }

    fn standings(&self, _: &KeyId, _: &Route) -> Option<Vec<(Standing, bool)>> {
        None
    }

    fn refusals(&self, _: &RefusalFilter, _: usize) -> Vec<RefusedRequest> {
        Vec::new()
    }

    fn traffic(&self) -> Vec<TrafficSample> {
        Vec::new()
    }

    async fn reload(&self) -> Result<(), NotReloaded> {
        Ok(())
    }
}

struct TestAdmin {
    address: SocketAddr,
    stand: Arc<Stand>,
    metrics: Arc<Metrics>,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl TestAdmin {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let report =
            ReadyReport { store_up: true, cache_usable: true, redis_up: None, draining: false };
        let stand = Arc::new(Stand(Mutex::new(report)));
        let metrics = Metrics::new(1, "1.2.3");
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("k.db")).await.unwrap();
        let state = AdminState {
            metrics: Arc::clone(&metrics),
            live: Arc::<Stand>::clone(&stand),
            store: Arc::new(store),
            clock: Clock::system(),
            door: Arc::new(Door::new(Arc::clone(&metrics)).unwrap()),
        };
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(serve(listener, state, AdminTls::default(), stopped));
        Self { address, stand, metrics, stop, served, _folder: folder }
    }

    fn stands(&self, store_up: bool, cache_usable: bool, draining: bool) {
        let redis_up = None;
        *self.stand.0.lock().unwrap() = ReadyReport { store_up, cache_usable, redis_up, draining };
    }

    /// Status, the answer's head in lower case, body.
    async fn ask(&self, method: &str, path: &str) -> (u16, String, String) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!("{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), head.to_lowercase(), body.to_owned())
    }

    async fn ready(&self) -> (u16, Value) {
        let (status, head, body) = self.ask("GET", "/readyz").await;
        assert!(head.contains("content-type: application/json"), "{head}");
        (status, serde_json::from_str(&body).unwrap())
    }
}

#[tokio::test]
async fn a_living_process_says_so() {
    let admin = TestAdmin::start().await;
    let (status, head, body) = admin.ask("GET", "/healthz").await;
    assert_eq!((status, body.as_str()), (200, r#"{"status":"ok"}"#));
    assert!(head.contains("content-type: application/json"), "{head}");
    assert_eq!(admin.ask("HEAD", "/healthz").await.0, 200);
}

#[tokio::test]
async fn it_is_ready_with_a_store_or_a_cache_and_never_while_it_drains() {
    let admin = TestAdmin::start().await;
    let ready = json!({
        "status": "ready", "store": "up", "cache": "usable", "redis": "off", "draining": false, "reason": null
    });
    assert_eq!(admin.ready().await, (200, ready));
    for (store_up, cache_usable, draining, expected) in [
        (true, false, false, 200),
        (false, true, false, 200),
        (false, false, false, 503),
        (true, true, true, 503),
    ] {
        admin.stands(store_up, cache_usable, draining);
        let (status, body) = admin.ready().await;
        assert_eq!(status, expected, "{body}");
        assert_eq!(body["status"], if status == 200 { "ready" } else { "not ready" });
        assert_eq!(body["reason"].is_null(), status == 200, "{body}");
    }
}

#[tokio::test]
async fn redis_is_said_to_be_up_or_down_and_either_is_ready() {
    let admin = TestAdmin::start().await;
    for (redis_up, said) in [(None, "off"), (Some(true), "up"), (Some(false), "down")] {
        admin.stand.0.lock().unwrap().redis_up = redis_up;
        let (status, body) = admin.ready().await;
        assert_eq!((status, &body["redis"]), (200, &json!(said)));
    }
}

#[tokio::test]
async fn metrics_come_in_the_text_form_of_openmetrics() {
    let admin = TestAdmin::start().await;
    admin.metrics.argon2_runs.increment();
    let (status, head, body) = admin.ask("GET", "/metrics").await;
    assert_eq!(status, 200);
    let kind = "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert!(head.contains(kind), "{head}");
    assert!(body.contains("keygate_argon2_runs_total 1\n"), "{body}");
    assert!(body.ends_with("# EOF\n"));
}

#[tokio::test]
async fn what_is_not_there_answers_in_the_documented_shape() {
    let admin = TestAdmin::start().await;
    let (status, head, body) = admin.ask("GET", "/nowhere").await;
    assert_eq!(status, 404);
    assert!(head.contains("content-type: application/json"), "{head}");
    assert_eq!(body, r#"{"error":{"code":"not_found","message":"No such route"}}"#);
    let (status, head, body) = admin.ask("POST", "/metrics").await;
    assert_eq!(status, 405);
    assert!(head.contains("allow: get,head"), "{head}");
    assert_eq!(body, r#"{"error":{"code":"method_not_allowed","message":"Method not allowed"}}"#);
}

#[tokio::test]
async fn it_stops_when_it_is_told_to_though_a_connection_stands_idle() {
    let admin = TestAdmin::start().await;
    let mut idle = TcpStream::connect(admin.address).await.unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert_ne!(idle.read_u8().await.unwrap(), 0);
    admin.stop.send(()).unwrap();
    admin.served.await.unwrap();
    assert!(TcpStream::connect(admin.address).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_come_ends_its_connection() {
    let admin = TestAdmin::start().await;
    let mut slow = TcpStream::connect(admin.address).await.unwrap();
    slow.write_all(b"GET /healthz HT").await.unwrap();
    let mut answer = Vec::new();
    // The end of the stream, or a reset: either way the connection is gone.
    let _ = slow.read_to_end(&mut answer).await;
}
