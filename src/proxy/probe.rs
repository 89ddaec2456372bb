//! Active health checks: one prober for each target, on the control plane, for all workers.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, USER_AGENT};
use http::{Request, StatusCode, Uri};
use http_body_util::Empty;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::task::AbortHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::health::TargetState;
use super::plan::Plan;
use super::upstream::{Dialer, Protocol, Stream, resolve};
use crate::config::Health;

/// A target that takes longer to say that it is well is not.
const PATIENCE: Duration = Duration::from_secs(2);

/// The checks that run. Dropped, they end.
#[derive(Default)]
pub struct Probers {
    running: Vec<AbortHandle>,
}

impl Probers {
    /// Checks what that plan wants checked.
    pub fn following(plan: &Plan) -> Self {
        let mut probers = Self::default();
        probers.follow(plan);
        probers
    }

    /// Checks what that plan wants checked, and nothing else. Runs on the control plane's runtime.
    pub fn follow(&mut self, plan: &Plan) {
        self.stop();
        for upstream in &plan.upstreams {
            for target in upstream.all_targets() {
                let Some(health) = &upstream.upstream.health else {
                    target.state.unchecked();
                    continue;
                };
                let dialer = upstream.dialer(&target.target);
                let state = Arc::clone(&target.state);
                let prober = tokio::spawn(probe(dialer, health.clone(), state));
                self.running.push(prober.abort_handle());
            }
        }
    }

    fn stop(&mut self) {
        self.running.drain(..).for_each(|prober| prober.abort());
    }
}

impl Drop for Probers {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn probe(dialer: Dialer, health: Health, state: Arc<TargetState>) {
    let mut tick = interval(health.interval);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let found = match timeout(PATIENCE, ask(&dialer, &health)).await {
            Ok(Ok(status)) if status.is_success() || status.is_redirection() => Ok(()),
            Ok(Ok(status)) => Err(format!("it answers {status}")),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no answer within {PATIENCE:?}")),
        };
        state.checked(found);
    }
}

type AskError = Box<dyn std::error::Error + Send + Sync>;

/// On a connection of its own each time: whether one can be made is a part of the question.
async fn ask(dialer: &Dialer, health: &Health) -> Result<StatusCode, AskError> {
    let addresses = resolve(&dialer.target.host, dialer.target.port).await?;
    let made = dialer.dial(&addresses, false).await?;
    let request = question(dialer, health, made.protocol)?;
    answer(made.stream, made.protocol, request).await
}

fn question(
    dialer: &Dialer,
    health: &Health,
    protocol: Protocol,
) -> Result<Request<Empty<Bytes>>, http::Error> {
    let authority = dialer.target.authority.as_str();
    let request = Request::get(health.path.clone()).header(USER_AGENT, "keygate-health");
    if protocol == Protocol::Http1 {
        return request.header(HOST, authority).body(Empty::new());
    }
    let scheme = if dialer.target.tls { "https" } else { "http" };
    let uri = Uri::builder().scheme(scheme).authority(authority);
    request.uri(uri.path_and_query(health.path.clone()).build()?).body(Empty::new())
}

async fn answer(
    stream: Stream,
    protocol: Protocol,
    request: Request<Empty<Bytes>>,
) -> Result<StatusCode, AskError> {
    let io = TokioIo::new(stream);
    match protocol {
        Protocol::Http1 => {
            let (mut sender, connection) = http1::handshake(io).await?;
            tokio::select! {
                answer = sender.send_request(request) => Ok(answer?.status()),
                ended = connection => Err(ended.map_or_else(Into::into, |()| "it hung up".into())),
            }
        }
        Protocol::Http2 => {
            let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
            tokio::select! {
                answer = sender.send_request(request) => Ok(answer?.status()),
                ended = connection => Err(ended.map_or_else(Into::into, |()| "it hung up".into())),
            }
        }
    }
}
