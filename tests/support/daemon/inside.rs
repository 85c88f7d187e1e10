//! What the daemon keeps: for what no door shows, such as that something is *not* kept.

use std::fmt::Write as _;
use std::time::Instant;

use sea_orm::{
    ConnectOptions, ConnectionTrait as _, Database as Orm, DatabaseConnection, FromQueryResult as _, JsonValue,
    Statement,
};
use serde_json::Value;

use super::{POLL, TestDaemon};
use crate::support::child::PATIENCE;
use crate::support::database::DatabaseServer;

/// The database.
impl TestDaemon {
    /// The rows of a query of columns, each as an object.
    pub(crate) async fn rows(&self, sql: &str) -> Vec<Value> {
        let connection = self.database_connection().await;
        let statement = Statement::from_string(connection.get_database_backend(), sql);
        let rows = JsonValue::find_by_statement(statement).all(&connection).await;
        let rows = rows.unwrap_or_else(|error| panic!("{sql}: {error}"));
        connection.close().await.expect("a connection can be closed");
        rows
    }

    /// The one number that a query gives; `None` for `NULL`, such as the largest of none.
    pub(crate) async fn number(&self, sql: &str) -> Option<i64> {
        let connection = self.database_connection().await;
        let statement = Statement::from_string(connection.get_database_backend(), sql);
        let row = connection.query_one_raw(statement).await;
        let row = row.unwrap_or_else(|error| panic!("{sql}: {error}"));
        let number = row.expect("one row").try_get_by_index(0);
        connection.close().await.expect("a connection can be closed");
        number.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// How many rows of a table hold a condition (`jobs WHERE state = 'dead'`).
    pub(crate) async fn count(&self, rows: &str) -> usize {
        let count = self.number(&format!("SELECT count(*) FROM {rows}")).await;
        count
            .and_then(|count| usize::try_from(count).ok())
            .expect("a count is a number")
    }

    async fn database_connection(&self) -> DatabaseConnection {
        let mut options = ConnectOptions::new(self.database.url());
        options.max_connections(1);
        Orm::connect(options).await.expect("the database takes connections")
    }

    /// Everything in the database, as it is stored or as text.
    pub(crate) async fn database_dump(&self) -> Vec<u8> {
        match &self.database {
            DatabaseServer::Sqlite { file, .. } => {
                let mut dump = std::fs::read(file).expect("the database is there");
                let log = file.with_extension("db-wal");
                dump.extend(std::fs::read(log).unwrap_or_default());
                dump
            }
            DatabaseServer::Postgres(_) => {
                let tables = "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = 'public'";
                let mut dump = Vec::new();
                for table in self.rows(tables).await {
                    let name = table["name"].as_str().expect("tables have names");
                    let rows = self
                        .rows(&format!("SELECT row_to_json(t)::text AS line FROM \"{name}\" t"))
                        .await;
                    for row in rows {
                        dump.extend(row["line"].as_str().unwrap_or_default().bytes());
                        dump.push(b'\n');
                    }
                }
                dump
            }
        }
    }
}

/// Redis.
impl TestDaemon {
    /// Everything in Redis, key by key, as text.
    pub(crate) async fn redis_dump(&self) -> String {
        let mut connection = self.redis_connection().await;
        let keys: Vec<String> = redis::cmd("KEYS")
            .arg("*")
            .query_async(&mut connection)
            .await
            .expect("Redis answers");
        let mut dump = String::new();
        for key in keys {
            let content: redis::Value = redis::cmd("XRANGE")
                .arg(&key)
                .arg("-")
                .arg("+")
                .query_async(&mut connection)
                .await
                .expect("every key is a stream");
            writeln!(dump, "{key}: {content:?}").expect("a string takes all text");
        }
        dump
    }

    /// Entries in a stream.
    pub(crate) async fn stream_length(&self, name: &str) -> u64 {
        let mut connection = self.redis_connection().await;
        redis::cmd("XLEN")
            .arg(self.key(name))
            .query_async(&mut connection)
            .await
            .expect("Redis answers")
    }

    /// Waits until everything in the intake is taken in and acknowledged; what it says may be applied before that.
    pub(crate) async fn wait_intake_empty(&self) {
        let start = Instant::now();
        while self.intake_backlog().await != (0, 0) {
            assert!(start.elapsed() < PATIENCE, "entries stay in the intake");
            tokio::time::sleep(POLL).await;
        }
    }

    /// Entries in the intake, and entries read and not acknowledged.
    pub(crate) async fn intake_backlog(&self) -> (u64, u64) {
        let length = self.stream_length("intake").await;
        let mut connection = self.redis_connection().await;
        let pending: (u64, Option<String>, Option<String>, redis::Value) = redis::cmd("XPENDING")
            .arg(self.key("intake"))
            .arg("enrolld")
            .query_async(&mut connection)
            .await
            .expect("the group is there");
        (length, pending.0)
    }
}
