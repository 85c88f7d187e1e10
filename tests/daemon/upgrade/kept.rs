//! The files of what a release left: how they are written, and how they are put into a database and Redis.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use enrolld::store::Store;
use enrolld_migrations::{Migrator, MigratorTrait as _};
use sea_orm::{ConnectionTrait as _, Database as Orm, DatabaseConnection, DbBackend};
use serde_json::{Map, Value};

use crate::support::daemon::TestDaemon;

/// Columns that SQLite keeps as numbers.
const FLAGS: [&str; 1] = ["step_bound"];

/// Numbers that the database gives by itself.
const GIVEN: [&str; 1] = ["seq"];

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// Where this release has its file.
pub(super) fn own(name: &str) -> PathBuf {
    let release = env!("CARGO_PKG_VERSION").rsplit_once('.').expect("a version").0;
    fixtures().join(release).join(name)
}

/// What each release left in a file of this name.
pub(super) fn all(name: &str) -> Vec<Value> {
    let releases = fs::read_dir(fixtures()).expect("there are fixtures");
    let read = |release: std::io::Result<fs::DirEntry>| {
        let text = fs::read_to_string(release.expect("the folder is readable").path().join(name));
        serde_json::from_str(&text.expect("each release has one")).expect("JSON")
    };
    releases.map(read).collect()
}

/// All rows of these tables.
pub(super) async fn dump(daemon: &TestDaemon, tables: &[&str]) -> Map<String, Value> {
    let mut dumped = Map::new();
    for table in tables {
        let mut rows = daemon.rows(&format!("SELECT * FROM {table}")).await;
        for row in &mut rows {
            row.as_object_mut()
                .expect("a row")
                .retain(|column, _| !GIVEN.contains(&column.as_str()));
        }
        dumped.insert((*table).to_owned(), rows.into());
    }
    dumped
}

pub(super) fn write(file: &Path, left: &Value) {
    fs::create_dir_all(file.parent().expect("it has a folder")).expect("the folder is writable");
    let text = serde_json::to_string_pretty(left).expect("JSON");
    fs::write(file, text + "\n").expect("the folder is writable");
}

async fn connect(daemon: &TestDaemon) -> DatabaseConnection {
    let connected = Orm::connect(daemon.database.url()).await;
    connected.expect("the database takes connections")
}

/// The tables of the first release, and none of what came later.
pub(super) async fn first_schema(daemon: &TestDaemon) {
    // It makes the file of a SQLite.
    let store = Store::open(&daemon.database.url(), 1).await;
    let store = store.expect("the database takes connections");
    let first = Migrator::up(store.writer().unbounded(), Some(1)).await;
    first.expect("the first migration is sound");
    store.close().await;
}

/// Puts rows into the tables; columns that are not there yet are left out.
pub(super) async fn load(daemon: &TestDaemon, tables: &Value) {
    let connection = connect(daemon).await;
    let backend = connection.get_database_backend();
    // Preparing the database has made a key, and epochs; links were made under the key of then.
    for made in ["secrets", "organization_roots"] {
        let emptied = connection.execute_unprepared(&format!("DELETE FROM {made}")).await;
        emptied.expect("the statement is sound");
    }
    let mut tables: Vec<_> = tables.as_object().expect("tables").iter().collect();
    // Others refer to jobs.
    tables.sort_by_key(|(table, _)| *table != "jobs");
    for (table, rows) in tables {
        let there = columns(daemon, backend, table).await;
        for row in rows.as_array().expect("rows") {
            let row = row
                .as_object()
                .expect("a row")
                .iter()
                .filter(|(column, _)| there.contains(*column));
            let (columns, values): (Vec<_>, Vec<_>) = row
                .map(|(column, value)| (column.as_str(), literal(backend, column, value)))
                .unzip();
            let sql = format!(
                "INSERT INTO {table} ({}) VALUES ({})",
                columns.join(", "),
                values.join(", ")
            );
            let done = connection.execute_unprepared(&sql).await;
            done.unwrap_or_else(|error| panic!("{sql}: {error}"));
        }
    }
    connection.close().await.expect("a connection can be closed");
}

async fn columns(daemon: &TestDaemon, backend: DbBackend, table: &str) -> BTreeSet<String> {
    let sql = match backend {
        DbBackend::Postgres => {
            format!("SELECT column_name::text AS name FROM information_schema.columns WHERE table_name = '{table}'")
        }
        _ => format!("SELECT name FROM pragma_table_info('{table}')"),
    };
    let rows = daemon.rows(&sql).await;
    assert!(!rows.is_empty(), "there is no table {table}");
    rows.iter()
        .map(|row| row["name"].as_str().expect("a name").to_owned())
        .collect()
}

/// A value in SQL.
fn literal(backend: DbBackend, column: &str, value: &Value) -> String {
    match value {
        Value::String(text) => format!("'{}'", text.replace('\'', "''")),
        Value::Number(number) if FLAGS.contains(&column) => (number.as_i64() == Some(1)).to_string(),
        Value::Array(bytes) => {
            let mut hex = String::new();
            for byte in bytes {
                write!(hex, "{:02x}", byte.as_u64().expect("a byte")).expect("a string takes all text");
            }
            match backend {
                DbBackend::Postgres => format!("decode('{hex}', 'hex')"),
                _ => format!("x'{hex}'"),
            }
        }
        other => other.to_string(),
    }
}

/// As if a day had passed, or however long the upgrade took.
pub(super) async fn make_due(daemon: &TestDaemon) {
    daemon
        .rows("UPDATE jobs SET run_at_ms = 1 WHERE state = 'scheduled'")
        .await;
}

/// Adds entries to the streams, by their name without the prefix.
pub(super) async fn add_entries(daemon: &TestDaemon, streams: &Value) {
    let mut connection = daemon.redis_connection().await;
    for (stream, entries) in streams.as_object().expect("streams") {
        for entry in entries.as_array().expect("entries") {
            let mut add = redis::cmd("XADD");
            add.arg(daemon.key(stream)).arg("*");
            for (field, value) in entry.as_object().expect("fields") {
                add.arg(field).arg(value.as_str().expect("a text"));
            }
            let added: redis::RedisResult<String> = add.query_async(&mut connection).await;
            added.expect("Redis takes it");
        }
    }
}
