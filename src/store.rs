//! The database: the truth about registrations, jobs, mails and everything taken in.
//!
//! - Changes that belong together are a [`Transition`](transition::Transition): [`Store::commit`] hands it to a
//!   committer, which writes those of many callers in one transaction ([`committer`]).
//! - What is not part of a transition (intake, leases, signs of life, dispatch) is a function of its module here.
//! - Reading goes through the entities.
//!
//! PostgreSQL and SQLite run the same statements; `sql` has the few words in which they differ.

pub mod appointments;
pub mod attempts;
mod batch;
pub mod committer;
pub mod connection;
pub mod counts;
pub mod daemons;
pub mod entities;
pub mod erasure;
pub mod error;
pub mod inbox;
pub mod interventions;
pub mod jobs;
pub mod leases;
pub mod links;
pub mod mails;
pub mod notices;
pub mod pruning;
pub mod queues;
pub mod refused;
pub mod registrations;
pub mod schedules;
pub mod schema;
pub mod selection;
pub(crate) mod server;
mod sql;
pub mod standing;
mod statements;
pub mod suppressions;
pub mod syncs;
pub mod transition;

use std::{
    fs::OpenOptions,
    io::{self, ErrorKind},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use chrono::{DateTime, Utc};
use percent_encoding::percent_decode_str;
use sea_orm::{
    ConnectOptions, ConnectionTrait as _, Database, DatabaseConnection, DbBackend, DbErr, RuntimeErr, Statement,
    sqlx::{
        self, Connection as _, PgConnection,
        sqlite::{SqliteJournalMode, SqliteSynchronous},
    },
};

use self::{committer::Committers, connection::Connection, error::StoreError};
use crate::tls;

/// How long a statement may wait for a connection, and SQLite for its lock.
const WAIT: Duration = Duration::from_secs(5);

/// A connection that lay idle for so long is asked for a sign of life before it is used.
const IDLE: Duration = Duration::from_secs(5);

/// How long such a sign of life may take.
const SIGN_WITHIN: Duration = Duration::from_secs(2);

/// How long connections may take to end: what still runs on them is given up then.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// The database. Cloning is cheap; all clones share connections and committers.
#[derive(Debug, Clone)]
pub struct Store {
    /// Takes writes. One connection on SQLite, which has one writer.
    writer: Connection,
    /// Takes reads.
    reader: Connection,
    committers: Committers,
}

impl Store {
    /// Opens the database at `url` (`sqlite://PATH`, made when missing in a folder that is there, or `postgres://…`), with at
    /// most `connections` to it, and starts the committers.
    ///
    /// # Errors
    /// When the URL cannot be used or the database cannot be reached.
    pub async fn open(url: &str, connections: u32) -> Result<Self, StoreError> {
        Ok(Self::over(pools(url, connections).await?))
    }

    /// The same, with each statement shown to `watch` once it was answered.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub async fn open_watched(
        url: &str,
        connections: u32,
        watch: impl Fn(&Statement) + Clone + Send + Sync + 'static,
    ) -> Result<Self, StoreError> {
        let mut pools = pools(url, connections).await?;
        for pool in pools.each_mut() {
            let watch = watch.clone();
            pool.set_metric_callback(move |answered| watch(answered.statement));
        }
        Ok(Self::over(pools))
    }

    fn over(pools: [DatabaseConnection; 2]) -> Self {
        let [writer, reader] = pools.map(Connection::new);
        Self {
            committers: Committers::start(&writer),
            writer,
            reader,
        }
    }

    /// Ends all connections, those of clones, too; nothing more can be asked. SQLite then brings what its log holds into the
    /// database's file, which is whole by itself. A process that just ends leaves that to the next.
    pub async fn close(&self) {
        let closing = async {
            let (writer, reader) = (
                self.writer.unbounded().close_by_ref().await,
                self.reader.unbounded().close_by_ref().await,
            );
            writer.and(reader)
        };
        match tokio::time::timeout(CLOSE_WITHIN, closing).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the connections to the database did not end well"),
            Err(_) => tracing::debug!("the connections to the database do not end; they are left"),
        }
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.reader.ping().await
    }

    /// The connection that takes writes, for the directory's tables, which have a module of their own.
    pub fn writer(&self) -> &Connection {
        &self.writer
    }

    /// The connection that takes reads, likewise.
    pub fn reader(&self) -> &Connection {
        &self.reader
    }

    fn backend(&self) -> DbBackend {
        self.writer.get_database_backend()
    }

    /// The earlier of two clocks, this machine's `now` and the one of [`Store::shared_now_ms`]: for what is not to happen too early, such as
    /// deleting what is old, because one of them was set wrong.
    pub(crate) async fn earlier_now(&self, now: DateTime<Utc>) -> Result<DateTime<Utc>, StoreError> {
        Ok(now.min(moment(self.shared_now_ms(now).await?)))
    }

    /// The time by the one clock that all daemons of this database share, in milliseconds since 1970: on PostgreSQL the
    /// database's. SQLite is for one host, whose clock `now` was read from. It is older when the answer arrives, so whoever judges
    /// by it is late rather than early.
    pub(crate) async fn shared_now_ms(&self, now: DateTime<Utc>) -> Result<i64, StoreError> {
        if self.backend() != DbBackend::Postgres {
            return Ok(milliseconds(now));
        }
        let sql = "SELECT (EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::BIGINT AS now_ms";
        let row = self.reader.row(sql, []).await?;
        let row = row.ok_or_else(|| StoreError::refused("the database does not tell the time"))?;
        Ok(row.try_get("", "now_ms")?)
    }
}

/// Connections for a [`Store`]: for what is written, and for what is read.
async fn pools(url: &str, connections: u32) -> Result<[DatabaseConnection; 2], StoreError> {
    if url.starts_with("sqlite:") {
        make_file(&file_of(url))?;
        return Ok([connect(url, 1).await?, connect(url, connections.max(2)).await?]);
    }
    // One more than one: migrating holds a lock beside its work.
    let pool = match connect(url, connections.max(2)).await {
        Err(error) => return Err(unreachable_because(url).await.unwrap_or(error)),
        pool => pool?,
    };
    Ok([pool.clone(), pool])
}

async fn connect(url: &str, connections: u32) -> Result<DatabaseConnection, StoreError> {
    tls::choose_provider();
    let mut options = ConnectOptions::new(url);
    options
        .max_connections(connections)
        .acquire_timeout(WAIT)
        .connect_timeout(WAIT)
        .test_before_acquire(false)
        .sqlx_logging(false)
        .map_sqlx_sqlite_opts(|sqlite| {
            sqlite
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .busy_timeout(WAIT)
                .pragma("wal_autocheckpoint", "4000")
        })
        .map_sqlx_postgres_pool_opts(|pool| {
            // A connection whose server has vanished must neither be handed out nor keep its place in the pool.
            pool.before_acquire(|connection, lain| {
                Box::pin(async move {
                    if lain.idle_for < IDLE {
                        return Ok(true);
                    }
                    alive(connection).await
                })
            })
            .after_release(|connection, _| Box::pin(alive(connection)))
        })
        // One plan a statement, made without looking at its rows, and never the one that reads a whole table: a plan that
        // was made while the tables were empty, or never analyzed, would stay in the cache while they grow.
        // Where there is no other plan, its cost counts as immense; compiling it would take longer than running it.
        .map_sqlx_postgres_opts(|postgres| {
            postgres.application_name("enrolld").options([
                ("plan_cache_mode", "force_generic_plan"),
                ("enable_seqscan", "off"),
                ("enable_hashjoin", "off"),
                ("enable_mergejoin", "off"),
                ("jit", "off"),
                // A daemon that stalls in the middle of a transaction holds up nobody for longer; it does it again.
                ("idle_in_transaction_session_timeout", "10s"),
                // The server finds out as soon that a daemon has vanished, and gives up its locks.
                ("tcp_keepalives_idle", "10"),
                ("tcp_keepalives_interval", "5"),
                ("tcp_keepalives_count", "3"),
            ])
        });
    Ok(Database::connect(options).await?)
}

/// Why PostgreSQL cannot be reached: a pool tells only that its time was up.
async fn unreachable_because(url: &str) -> Option<StoreError> {
    match tokio::time::timeout(SIGN_WITHIN, PgConnection::connect(url)).await {
        Ok(Err(error)) => Some(StoreError::from(DbErr::Conn(RuntimeErr::SqlxError(error.into())))),
        _ => None,
    }
}

/// Whether the server answers on this connection; an error has the pool drop it without a farewell.
async fn alive(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    match tokio::time::timeout(SIGN_WITHIN, connection.ping()).await {
        Ok(answer) => answer.map(|()| true),
        Err(_) => Err(sqlx::Error::PoolTimedOut),
    }
}

/// The path in the URL of a SQLite database.
fn file_of(url: &str) -> PathBuf {
    let path = url.trim_start_matches("sqlite:").trim_start_matches("//");
    let path = percent_decode_str(path.split('?').next().unwrap_or(path)).decode_utf8_lossy();
    PathBuf::from(&*path)
}

/// Makes the file of a SQLite database for its owner alone, since it has names, addresses and the key of links; SQLite gives the
/// files beside it the same rights. One that is there keeps its own.
fn make_file(file: &Path) -> Result<(), StoreError> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    let error = match made {
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(()),
        Err(error) => error,
    };
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    Err(match folder {
        Some(folder) if error.kind() == ErrorKind::NotFound => StoreError::refused(format!(
            "there is no folder {} for the database; make it, or name another in database.url",
            folder.display()
        )),
        _ => cannot_make(file, &error),
    })
}

fn cannot_make(file: &Path, error: &io::Error) -> StoreError {
    StoreError::refused(format!("cannot make the database {}: {error}", file.display()))
}

/// A span as the database counts.
pub(crate) fn span_ms(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

/// A moment as the database keeps it.
pub(crate) fn milliseconds(at: DateTime<Utc>) -> i64 {
    at.timestamp_millis()
}

/// A moment as the database kept it.
pub(crate) fn moment(ms: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(ms).unwrap_or_default()
}
