//! The way to Redis: one shared connection, connections of their own for blocking readers, and whether Redis can be reached.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBuilder};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, FromRedisValue, Pipeline, RedisError, RedisResult,
    ScriptInvocation, TlsCertificates, aio::MultiplexedConnection,
};
use tokio::time::{Instant, timeout};

use super::health::{Health, means_away, means_replica};
use crate::{settings::RedisSettings, tls};

/// Longest time for making a connection, handshake included.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// Longest wait for an answer.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// Longest time for an operation as a whole: connecting, waiting behind others who connect, and the answer.
const OPERATION_WITHIN: Duration = Duration::from_secs(6);

/// How a certificate begins in a PEM file.
const CERTIFICATE: &[u8] = b"-----BEGIN CERTIFICATE-----";

/// An operation on Redis failed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address cannot be used. It is not repeated here, as it may hold a password.
    #[error("redis.url cannot be used ({reason}); give redis://HOST:PORT/DB, rediss://… or redis+unix:///PATH")]
    Url {
        /// What is wrong with it.
        reason: String,
    },
    /// The certificates of `redis.tls_ca_file` cannot be used.
    #[error("redis.tls_ca_file {path} cannot be used ({reason}); it holds the certificates of authorities, as PEM")]
    TlsCaFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Redis cannot be reached, does not answer in time, or cannot serve now (loading, read-only, cluster down).
    #[error("Redis at {address} is away ({reason}); see that it runs and that redis.url is right")]
    Away {
        /// Host and port, or path of the socket.
        address: Arc<str>,
        /// What was seen.
        reason: String,
    },
    /// Redis answered with an error.
    #[error("Redis at {address} refused a command ({answer}); see the memory, disk and access rules of Redis")]
    Refused {
        /// Host and port, or path of the socket.
        address: Arc<str>,
        /// The error as Redis gave it.
        answer: RedisError,
    },
}

impl Error {
    /// The code Redis answered with, such as `NOGROUP` or `OOM`.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { answer, .. } => answer.code(),
            Self::Url { .. } | Self::TlsCaFile { .. } | Self::Away { .. } => None,
        }
    }

    /// Whether Redis was away, so that nothing is known against the command itself.
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Away { .. })
    }
}

/// A handle to one Redis; clones share the connection and the [`Health`].
///
/// It is made without a connection, and connects when first used, and again after a loss. Every operation ends within 6 s.
///
/// The crate's `ConnectionManager` is not used: after an outage it answers the first operation with the stale failure of its
/// last attempt, and it keeps a failure for good that is not an I/O error (a server that is still loading).
#[derive(Clone)]
pub struct Redis(Arc<Shared>);

struct Shared {
    client: Client,
    address: Arc<str>,
    slot: Mutex<Option<Live>>,
    /// Held while connecting, so that one connection is made and not one for each waiting operation.
    connecting: tokio::sync::Mutex<()>,
    health: Mutex<Health>,
}

#[derive(Clone)]
struct Live {
    connection: MultiplexedConnection,
    opened: Instant,
}

/// One request, of whatever form.
#[derive(Clone, Copy)]
enum Request<'a> {
    Command(&'a Cmd),
    Pipeline(&'a Pipeline),
    Script(&'a ScriptInvocation<'a>),
}

impl Request<'_> {
    async fn send<T: FromRedisValue>(self, to: &mut MultiplexedConnection) -> RedisResult<T> {
        match self {
            Self::Command(command) => command.query_async(to).await,
            Self::Pipeline(pipeline) => pipeline.query_async(to).await,
            Self::Script(script) => script.invoke_async(to).await,
        }
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("address", &self.0.address)
            .field("health", &self.health())
            .finish_non_exhaustive()
    }
}

impl Redis {
    /// A handle to the Redis at `url` (`redis://`, `redis+unix://`, or with TLS `rediss://`). Nothing is connected yet.
    ///
    /// # Errors
    /// When the URL cannot be used.
    pub fn open(url: &str) -> Result<Self, Error> {
        Self::trusting(url, None)
    }

    /// The Redis of the settings; `None` where they name none.
    ///
    /// # Errors
    /// When what they say cannot be used.
    pub fn of(settings: &RedisSettings) -> Result<Option<Self>, Error> {
        let open = |url: &str| Self::trusting(url, settings.tls_ca_file.as_deref());
        settings.url.as_ref().map(|url| open(url.expose())).transpose()
    }

    /// As [`Redis::open`]; with TLS the server's certificate is checked by those in `ca_file`, or else by the system's.
    fn trusting(url: &str, ca_file: Option<&Path>) -> Result<Self, Error> {
        let mut client = Client::open(url).map_err(|error| Error::Url {
            reason: error.to_string(),
        })?;
        if let ConnectionAddr::TcpTls { .. } = client.get_connection_info().addr() {
            tls::choose_provider();
            if let Some(path) = ca_file {
                client = with_authorities(url, path).map_err(|reason| Error::TlsCaFile {
                    path: path.to_owned(),
                    reason,
                })?;
            }
        }
        let address = match client.get_connection_info().addr() {
            ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
                format!("{host}:{port}")
            }
            ConnectionAddr::Unix(path) => path.display().to_string(),
            _ => "redis.url".to_owned(),
        };
        Ok(Self(Arc::new(Shared {
            client,
            address: address.into(),
            slot: Mutex::new(None),
            connecting: tokio::sync::Mutex::new(()),
            health: Mutex::new(Health::unknown()),
        })))
    }

    /// Whether it is spoken to under TLS.
    pub(crate) fn is_encrypted(&self) -> bool {
        matches!(
            self.0.client.get_connection_info().addr(),
            ConnectionAddr::TcpTls { .. }
        )
    }

    /// Host and port, or path of the socket; without credentials.
    pub fn address(&self) -> &str {
        &self.0.address
    }

    /// Whether Redis can be reached, as the last operation saw it.
    pub fn health(&self) -> Health {
        *locked(&self.0.health)
    }

    /// Asks Redis for a sign of life.
    pub async fn ping(&self) -> Result<(), Error> {
        self.query(&redis::cmd("PING")).await
    }

    /// Asks for a sign of life of a Redis that takes what changes something: a replica answers a `PING`, and refuses this, which changes
    /// nothing under `prefix`.
    pub async fn takes_writes(&self, prefix: &str) -> Result<(), Error> {
        let mut nothing = redis::cmd("XACK");
        nothing.arg(format!("{prefix}:intake")).arg("nobody").arg("0-1");
        self.query::<u64>(&nothing).await?;
        locked(&self.0.health).replica(false);
        self.reached();
        Ok(())
    }

    /// Runs a command that does not block.
    pub async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Error> {
        self.run(Request::Command(command)).await
    }

    /// Runs a pipeline, or the `MULTI` of an atomic one.
    pub async fn pipeline<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Result<T, Error> {
        self.run(Request::Pipeline(pipeline)).await
    }

    /// Runs a script, which is loaded again when Redis has lost it (`NOSCRIPT`).
    pub async fn script<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Result<T, Error> {
        self.run(Request::Script(script)).await
    }

    /// One request on the shared connection. When a connection of earlier turns out to be lost (Redis was restarted), the
    /// request is sent once more on a new one: a command may take effect twice, which at-least-once delivery allows.
    async fn run<T: FromRedisValue>(&self, request: Request<'_>) -> Result<T, Error> {
        let started = Instant::now();
        let twice = async {
            loop {
                let mut live = self.live().await?;
                let error = match request.send(&mut live.connection).await {
                    Ok(answer) => {
                        self.reached();
                        return Ok(answer);
                    }
                    Err(error) => error,
                };
                if means_away(&error) || error.is_unrecoverable_error() {
                    self.forget(live.opened);
                }
                if !(live.opened < started && error.is_connection_dropped()) {
                    return Err(self.failed(error));
                }
            }
        };
        timeout(OPERATION_WITHIN, twice)
            .await
            .unwrap_or_else(|_| Err(self.away("no answer in time".to_owned())))
    }

    /// The shared connection, made when there is none.
    async fn live(&self) -> Result<Live, Error> {
        if let Some(live) = locked(&self.0.slot).clone() {
            return Ok(live);
        }
        let _connecting = self.0.connecting.lock().await;
        if let Some(live) = locked(&self.0.slot).clone() {
            return Ok(live);
        }
        let live = Live {
            connection: self.connect(ANSWER_WITHIN).await?,
            opened: Instant::now(),
        };
        *locked(&self.0.slot) = Some(live.clone());
        Ok(live)
    }

    /// A new connection, whose answers may take so long.
    pub(super) async fn connect(&self, answer_within: Duration) -> Result<MultiplexedConnection, Error> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_WITHIN))
            .set_response_timeout(Some(answer_within));
        self.0
            .client
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .map_err(|error| self.away(error.to_string()))
    }

    /// Drops the shared connection, unless it has been replaced already.
    fn forget(&self, opened: Instant) {
        let mut slot = locked(&self.0.slot);
        if slot.as_ref().is_some_and(|live| live.opened == opened) {
            *slot = None;
        }
    }

    pub(super) fn failed(&self, error: RedisError) -> Error {
        if means_away(&error) {
            if means_replica(&error) {
                locked(&self.0.health).replica(true);
            }
            return self.away(error.to_string());
        }
        self.reached();
        Error::Refused {
            address: self.0.address.clone(),
            answer: error,
        }
    }

    pub(super) fn away(&self, reason: String) -> Error {
        if locked(&self.0.health).lost() {
            tracing::warn!(address = %self.0.address, %reason, "Redis is away; work waits, and goes on by itself");
        }
        Error::Away {
            address: self.0.address.clone(),
            reason,
        }
    }

    pub(super) fn reached(&self) {
        if locked(&self.0.health).reached() {
            tracing::info!(address = %self.0.address, "Redis is reachable");
        }
    }
}

fn with_authorities(url: &str, path: &Path) -> Result<Client, String> {
    let pem = std::fs::read(path).map_err(|error| error.to_string())?;
    // A file without any would be taken, and then no server is trusted.
    if !pem.windows(CERTIFICATE.len()).any(|some| some == CERTIFICATE) {
        return Err("there is no certificate in it".to_owned());
    }
    let certificates = TlsCertificates {
        client_tls: None,
        root_cert: Some(pem),
    };
    Client::build_with_tls(url, certificates).map_err(|error| error.to_string())
}

/// Waits between attempts while Redis is away: from 100 ms doubling to at most 5 s, jitter included.
pub(super) fn retry_delays() -> impl Iterator<Item = Duration> + Send {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(100))
        // The jitter adds up to as much again.
        .with_max_delay(Duration::from_millis(2_500))
        .without_max_times()
        .with_jitter()
        .build()
}

/// The values behind these locks are whole at every moment, so that a panic elsewhere does not spoil them.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_address_is_told_without_repeating_it() {
        let error = Redis::open("redis://:secret@/0").expect_err("no host");
        assert!(!error.to_string().contains("secret"), "{error}");
        let redis = Redis::open("redis://user:secret@example.com:6380/1").expect("opens");
        assert_eq!(redis.address(), "example.com:6380");
        assert!(!format!("{redis:?}").contains("secret"));
        let redis = Redis::open("redis+unix:///run/enrolld/redis.sock").expect("opens");
        assert_eq!(redis.address(), "/run/enrolld/redis.sock");
    }

    #[test]
    fn delays_stay_within_five_seconds() {
        assert!(
            retry_delays()
                .take(50)
                .all(|delay| delay >= Duration::from_millis(100) && delay <= Duration::from_secs(5))
        );
    }
}
