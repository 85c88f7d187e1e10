//! What the database tells about itself, for `enrolld doctor`.

use sea_orm::DbBackend;

use super::{Store, error::StoreError};

/// The database server, or SQLite as it is built in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Server {
    /// `PostgreSQL` or `SQLite`.
    pub(crate) product: &'static str,
    /// Such as `15.9`.
    pub(crate) version: String,
    /// Whether the connection to it is under TLS.
    pub(crate) is_encrypted: bool,
    /// Whether it takes no writes.
    pub(crate) is_read_only: bool,
    /// Settings under which a power cut loses what was committed, as `fsync = off`.
    pub(crate) unsafe_settings: Vec<String>,
}

/// Settings of PostgreSQL that must not be off.
const SAFETY: [&str; 3] = ["fsync", "full_page_writes", "synchronous_commit"];

impl Store {
    /// Whether this is SQLite.
    pub(crate) fn is_sqlite(&self) -> bool {
        self.backend() == DbBackend::Sqlite
    }

    /// Asks for version and state.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(crate) async fn server(&self) -> Result<Server, StoreError> {
        let sql = if self.is_sqlite() {
            "SELECT sqlite_version() AS version"
        } else {
            "SELECT current_setting('server_version') AS version, \
             pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on' AS read_only, \
             COALESCE((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), FALSE) AS encrypted, \
             current_setting('fsync') AS fsync, current_setting('full_page_writes') AS full_page_writes, \
             current_setting('synchronous_commit') AS synchronous_commit"
        };
        let row = self.reader.row(sql, []).await?;
        let row = row.ok_or_else(|| StoreError::Fault("it does not tell its version".to_owned()))?;
        let version: String = row.try_get("", "version")?;
        if self.is_sqlite() {
            return Ok(Server {
                product: "SQLite",
                version,
                is_encrypted: false,
                is_read_only: false,
                unsafe_settings: Vec::new(),
            });
        }
        let mut unsafe_settings = Vec::new();
        for name in SAFETY {
            let value: String = row.try_get("", name)?;
            if value == "off" {
                unsafe_settings.push(format!("{name} = {value}"));
            }
        }
        Ok(Server {
            product: "PostgreSQL",
            // Debian adds its own number in brackets.
            version: version.split_whitespace().next().unwrap_or_default().to_owned(),
            is_encrypted: row.try_get("", "encrypted")?,
            is_read_only: row.try_get("", "read_only")?,
            unsafe_settings,
        })
    }
}
