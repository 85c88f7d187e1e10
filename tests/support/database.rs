//! The two databases the daemon runs on.

use std::path::PathBuf;

use tempfile::TempDir;

use super::postgres::PostgresServer;

/// Which database a test runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Database {
    Sqlite,
    Postgres,
}

/// An empty database of the test's own; it ends with this value.
#[derive(Debug)]
pub(crate) enum DatabaseServer {
    Sqlite { file: PathBuf, _folder: TempDir },
    Postgres(PostgresServer),
}

impl Database {
    pub(crate) fn start(self) -> DatabaseServer {
        match self {
            Self::Sqlite => {
                let folder = TempDir::with_prefix("enrolld-sqlite-").expect("the temporary folder is writable");
                DatabaseServer::Sqlite {
                    file: folder.path().join("enrolld.db"),
                    _folder: folder,
                }
            }
            Self::Postgres => DatabaseServer::Postgres(PostgresServer::start()),
        }
    }
}

impl DatabaseServer {
    /// The value of `database.url`. The file of SQLite is the daemon's to make.
    pub(crate) fn url(&self) -> String {
        match self {
            Self::Sqlite { file, .. } => format!("sqlite://{}", file.display()),
            Self::Postgres(server) => server.url(),
        }
    }
}
