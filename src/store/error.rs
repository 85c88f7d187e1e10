//! What can go wrong with the database, sorted by what is to be done about it.

use sea_orm::{DbErr, RuntimeErr, sqlx};

/// An error of the database.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached, or is busy for long. Wait and try again; nothing was lost.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// Another transaction was in the way (deadlock, serialization). Try again at once.
    #[error("another transaction was in the way: {0}")]
    Conflict(String),
    /// The database refuses what it was given; trying again does not help.
    #[error("the database refused: {0}")]
    Refused(String),
}

impl StoreError {
    /// An error that trying again does not mend.
    pub fn refused(message: impl Into<String>) -> Self {
        Self::Refused(message.into())
    }

    /// Whether the same may succeed later.
    pub const fn is_temporary(&self) -> bool {
        match self {
            Self::Unavailable(_) | Self::Conflict(_) => true,
            Self::Refused(_) => false,
        }
    }
}

impl From<DbErr> for StoreError {
    fn from(error: DbErr) -> Self {
        let message = error.to_string();
        match &error {
            DbErr::ConnectionAcquire(_) | DbErr::Conn(RuntimeErr::Internal(_)) => Self::Unavailable(message),
            DbErr::Conn(RuntimeErr::SqlxError(cause))
            | DbErr::Exec(RuntimeErr::SqlxError(cause))
            | DbErr::Query(RuntimeErr::SqlxError(cause)) => sort(cause, message),
            _ => Self::Refused(message),
        }
    }
}

fn sort(error: &sqlx::Error, message: String) -> StoreError {
    match error {
        sqlx::Error::Database(database) => match database.code().as_deref() {
            // PostgreSQL: serialization failure, deadlock.
            Some("40001" | "40P01") => StoreError::Conflict(message),
            // SQLite: SQLITE_BUSY and SQLITE_LOCKED with their extended codes.
            Some("5" | "6" | "261" | "262" | "517" | "773") => StoreError::Unavailable(message),
            // PostgreSQL: connection exceptions, insufficient resources, operator intervention (shutdown), system error.
            Some(code)
                if ["08", "53", "57", "58"]
                    .iter()
                    .any(|class| code.len() == 5 && code.starts_with(class)) =>
            {
                StoreError::Unavailable(message)
            }
            _ => StoreError::Refused(message),
        },
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => StoreError::Unavailable(message),
        _ => StoreError::Refused(message),
    }
}
