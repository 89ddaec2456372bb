//! The connection to Redis: the only file that names its client crate.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, FromRedisValue,
    IntoConnectionInfo as _, RedisConnectionInfo, RedisError, RedisResult, Script,
    ScriptInvocation, TlsCertificates,
};
use thiserror::Error;
use tokio::time::timeout;

use super::draw::{Answer, Draw, PATIENCE_MS, Subject};
use crate::config::{RedisLocation, RedisNode, RedisPlace};
use crate::domain::KeyId;
use crate::tls;

/// How long a connection may take to stand.
const CONNECT: Duration = Duration::from_millis(400);
/// A part of the patience with an answer: see [`in_time`].
const STEP: Duration = Duration::from_millis(10);
/// Within it our own patience has ended long ago.
const GIVEN_UP: Duration = Duration::from_secs(1);
/// How often the client crate follows a slot of a cluster that has moved.
const REDIRECTS: u32 = 3;
/// What tells one life of the data from another.
const EPOCH_KEY: &str = "keygate:{epoch}";

/// Why Redis is of no use now.
#[derive(Debug, Error)]
pub(super) enum Away {
    /// As the client crate says it; it names no password.
    #[error("{0}")]
    Redis(#[from] RedisError),
    /// It is silent.
    #[error("no answer within {PATIENCE_MS} ms")]
    Silent,
    /// It cannot be reached.
    #[error("no connection within {} ms", CONNECT.as_millis())]
    NotReached,
    /// It says what the script does not.
    #[error("an answer that is not the script's")]
    Strange,
    /// It has forgotten what was counted.
    #[error("its data was lost")]
    DataLost,
}

/// Why `cluster.redis` cannot be used.
#[derive(Debug, Error)]
pub enum RedisSetupError {
    /// As the client crate says it; it names no password.
    #[error("cluster.redis cannot be used: {0}")]
    Redis(#[from] RedisError),
    /// The file of authorities.
    #[error("cluster.redis_ca cannot be read: {0}")]
    Ca(#[from] std::io::Error),
}

/// Where connections are made to, by whom and with which scripts.
pub(super) struct Connector {
    target: Target,
    speech: Arc<Speech>,
}

enum Target {
    One(Box<Client>),
    Cluster(Box<ClusterClient>),
}

struct Speech {
    draw: Script,
    epoch: Script,
    /// This process, among all that ever draw.
    instance: String,
}

/// One connection, shared by all who have a clone.
#[derive(Clone)]
pub(super) struct Connection {
    line: Line,
    speech: Arc<Speech>,
}

#[derive(Clone)]
enum Line {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Connector {
    /// Connects nowhere yet.
    pub(super) fn new(location: &RedisLocation) -> Result<Self, RedisSetupError> {
        let ca = location.ca.as_ref().map(std::fs::read).transpose()?;
        let certificates = ca.map(|ca| TlsCertificates { client_tls: None, root_cert: Some(ca) });
        if certificates.is_some() || location.place.is_tls() {
            // The client crate takes the process's.
            tls::install_provider();
        }
        let target = match &location.place {
            RedisPlace::Cluster { tls, nodes } => {
                let nodes = nodes.iter().map(|node| information(location, address(node, *tls)));
                let nodes = nodes.collect::<RedisResult<Vec<_>>>()?;
                let mut builder = ClusterClient::builder(nodes)
                    .connection_timeout(CONNECT)
                    .response_timeout(GIVEN_UP)
                    .retries(REDIRECTS)
                    .tcp_settings(tcp());
                if let Some(certificates) = certificates {
                    builder = builder.certs(certificates);
                }
                Target::Cluster(Box::new(builder.build()?))
            }
            RedisPlace::Server { tls, node } => {
                let information = information(location, address(node, *tls))?;
                Target::One(Box::new(match certificates {
                    Some(certificates) => Client::build_with_tls(information, certificates)?,
                    None => Client::open(information)?,
                }))
            }
            RedisPlace::Socket(path) => {
                let socket = ConnectionAddr::Unix(path.clone());
                Target::One(Box::new(Client::open(information(location, socket)?)?))
            }
        };
        let speech = Speech {
            draw: Script::new(include_str!("draw.lua")),
            epoch: Script::new(include_str!("epoch.lua")),
            instance: format!("{:012x}", rand::random::<u64>() >> 16),
        };
        Ok(Self { target, speech: Arc::new(speech) })
    }

    /// Makes a connection.
    pub(super) async fn connect(&self) -> Result<Connection, Away> {
        let line = timeout(CONNECT, self.line()).await.map_err(|_| Away::NotReached)??;
        let mut connection = Connection { line, speech: Arc::clone(&self.speech) };
        // So that the first draw need not bring it.
        in_time(connection.load()).await?;
        Ok(connection)
    }

    async fn line(&self) -> RedisResult<Line> {
        match &self.target {
            Target::One(client) => {
                let config = AsyncConnectionConfig::new()
                    .set_connection_timeout(Some(CONNECT))
                    .set_response_timeout(Some(GIVEN_UP));
                client.get_multiplexed_async_connection_with_config(&config).await.map(Line::One)
            }
            Target::Cluster(client) => client.get_async_connection().await.map(Line::Cluster),
        }
    }
}

impl Connection {
    /// Asks one question; `live` instances share the limits.
    pub(super) async fn draw(
        &mut self,
        key: &KeyId,
        draw: &Draw,
        live: u32,
    ) -> Result<Answer, Away> {
        let speech = Arc::clone(&self.speech);
        let mut call = speech.draw.prepare_invoke();
        for drawn in &draw.windows {
            call.key(name(key, draw.subject, drawn.limit.window.seconds()));
        }
        call.arg(&speech.instance).arg(draw.numbers(live));
        let numbers: Vec<u64> = in_time(self.invoke(&call)).await?;
        Answer::read(&numbers).ok_or(Away::Strange)
    }

    /// Which life of the data this is, and for how many milliseconds it has lasted.
    pub(super) async fn epoch(&mut self) -> Result<(String, u64), Away> {
        let speech = Arc::clone(&self.speech);
        let mut call = speech.epoch.prepare_invoke();
        call.key(EPOCH_KEY).arg(&speech.instance);
        let (epoch, now_ms): (String, u64) = in_time(self.invoke(&call)).await?;
        let begun_ms = epoch.split_once('-').and_then(|(begun_ms, _)| begun_ms.parse().ok());
        Ok((epoch, now_ms.saturating_sub(begun_ms.unwrap_or(now_ms))))
    }

    /// Which life of the data this is; `None`: none that an instance has begun.
    pub(super) async fn epoch_now(&mut self) -> Result<Option<String>, Away> {
        let mut call = redis::cmd("GET");
        call.arg(EPOCH_KEY);
        match &mut self.line {
            Line::One(line) => in_time(call.query_async(line)).await,
            Line::Cluster(line) => in_time(call.query_async(line)).await,
        }
    }

    async fn load(&mut self) -> RedisResult<()> {
        let speech = Arc::clone(&self.speech);
        match &mut self.line {
            Line::One(line) => speech.draw.load_async(line).await.map(drop),
            Line::Cluster(line) => speech.draw.load_async(line).await.map(drop),
        }
    }

    async fn invoke<T: FromRedisValue>(&mut self, call: &ScriptInvocation<'_>) -> RedisResult<T> {
        match &mut self.line {
            Line::One(line) => call.invoke_async(line).await,
            Line::Cluster(line) => call.invoke_async(line).await,
        }
    }
}

/// Waits for an answer as long as an answer may take. In small steps: where this process itself did
/// not get to run for a while, its patience is not at its end, and what has come meanwhile is seen.
async fn in_time<T>(call: impl Future<Output = RedisResult<T>>) -> Result<T, Away> {
    let mut call = pin!(call);
    for _ in 0..PATIENCE_MS / STEP.as_millis() as u64 {
        if let Ok(done) = timeout(STEP, &mut call).await {
            return Ok(done?);
        }
    }
    Err(Away::Silent)
}

/// The name of one window. What is of one key lies together in a cluster.
fn name(key: &KeyId, subject: Subject, seconds: u32) -> String {
    match subject {
        Subject::Own => format!("keygate:{{{key}}}:all:{seconds}"),
        Subject::Route(route) => format!("keygate:{{{key}}}:{route}:{seconds}"),
    }
}

fn address(node: &RedisNode, tls: bool) -> ConnectionAddr {
    let (host, port) = (node.host.clone(), node.port);
    if tls {
        ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
    } else {
        ConnectionAddr::Tcp(host, port)
    }
}

fn information(location: &RedisLocation, address: ConnectionAddr) -> RedisResult<ConnectionInfo> {
    let mut settings = RedisConnectionInfo::default()
        .set_db(location.database.into())
        .set_lib_name("keygate", env!("CARGO_PKG_VERSION"));
    if let Some(user) = &location.user {
        settings = settings.set_username(user);
    }
    if let Some(password) = &location.password {
        settings = settings.set_password(password);
    }
    let information = address.into_connection_info()?;
    Ok(information.set_redis_settings(settings).set_tcp_settings(tcp()))
}

/// A question is one small packet, and its answer is waited for.
fn tcp() -> TcpSettings {
    TcpSettings::default().set_nodelay(true)
}
