//! The embedded directory: files in and out, and what it answers to the workflow.

mod answers;
mod import;

use std::{fs, path::PathBuf};

use chrono::{DateTime, TimeDelta, Utc};
use enrolld::directory::{ImportError, ImportSummary, export, import};
use enrolld_migrations::Migrator;
use enrolld_migrations::MigratorTrait as _;
use sea_orm::{ConnectOptions, ConnectionTrait, Database as Orm, DatabaseConnection, Statement};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::database::{Database, DatabaseServer};

const DEMO: &str = include_str!("../../config/demo/directory.json");

/// A migrated database, and a folder for the files to be imported.
struct Fixture {
    db: DatabaseConnection,
    folder: TempDir,
    _server: DatabaseServer,
}

impl Fixture {
    async fn start(database: Database) -> Self {
        let server = database.start();
        let url = match &server {
            DatabaseServer::Sqlite { .. } => format!("{}?mode=rwc", server.url()),
            DatabaseServer::Postgres(_) => server.url(),
        };
        let mut options = ConnectOptions::new(url);
        options.sqlx_logging(false);
        let db = Orm::connect(options).await.expect("the database takes connections");
        Migrator::up(&db, None)
            .await
            .expect("an empty database takes the tables");
        let folder = TempDir::with_prefix("enrolld-directory-").expect("the temporary folder is writable");
        Self {
            db,
            folder,
            _server: server,
        }
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().expect("inside the folder")).expect("the folder is writable");
        fs::write(&path, content).expect("the folder is writable");
        path
    }

    /// Imports `file` as of `minute` minutes after some moment.
    async fn try_import(&self, file: impl AsRef<[u8]>, minute: i64) -> Result<ImportSummary, ImportError> {
        let path = self.write("directory.json", file);
        import(&self.db, &path, moment(minute)).await
    }

    async fn import(&self, file: impl AsRef<[u8]>, minute: i64) -> ImportSummary {
        self.try_import(file, minute).await.expect("the file is sound")
    }

    /// What is wrong with `file`, without the folder's name.
    async fn problems(&self, file: impl AsRef<[u8]>) -> String {
        let error = self.try_import(file, 0).await.expect_err("the file is wrong");
        self.without_folder(&error)
    }

    fn without_folder(&self, error: &ImportError) -> String {
        error
            .to_string()
            .replace(&self.folder.path().display().to_string(), "FOLDER")
    }

    async fn export(&self) -> String {
        let mut bytes = Vec::new();
        export(&self.db, &mut bytes).await.expect("the directory is readable");
        String::from_utf8(bytes).expect("JSON is UTF-8")
    }

    async fn export_json(&self) -> Value {
        serde_json::from_str(&self.export().await).expect("the export is JSON")
    }

    /// Roots and epochs, by id.
    async fn epochs(&self) -> Vec<(String, i64)> {
        let query = "SELECT id, epoch FROM organization_roots ORDER BY id";
        let rows = self
            .db
            .query_all_raw(Statement::from_string(self.db.get_database_backend(), query))
            .await;
        let rows = rows.expect("the query is sound");
        let epoch = |row: &sea_orm::QueryResult| Some((row.try_get("", "id").ok()?, row.try_get("", "epoch").ok()?));
        rows.iter().map(|row| epoch(row).expect("id and epoch")).collect()
    }
}

fn moment(minute: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(1_795_000_000_000).expect("in range") + TimeDelta::minutes(minute)
}

fn organization(id: &str, parent: Option<&str>) -> Value {
    json!({"id": id, "name": id.to_uppercase(), "country": "US", "parent_id": parent})
}

fn account(id: &str) -> Value {
    json!({"id": id, "name": id, "email": format!("{id}@acme.example"), "status": "active"})
}
