//! What can go wrong with the database, sorted by what is to be done about it.

use sea_orm::{DbErr, RuntimeErr, sqlx};

/// An error of the database.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
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

/// Unique indexes whose rows the guards of a transition look for: to break one is to have been overtaken between the look
/// and the write, and the next look tells by whom.
const GUARDED: [&str; 3] = ["registrations_pkey", "timeline_pkey", "inbox_applied"];

/// Whether this is SQLite's code for a lock held by others, or for trouble with the disk. Extended codes have more in
/// their higher bytes.
fn is_sqlite_outage(code: &str) -> bool {
    const BUSY: u32 = 5;
    const LOCKED: u32 = 6;
    const READ_ONLY: u32 = 8;
    const IO: u32 = 10;
    const FULL: u32 = 13;
    const CANNOT_OPEN: u32 = 14;
    // The codes of PostgreSQL have five characters, and some of them are digits only.
    code.len() < 5
        && code
            .parse::<u32>()
            .is_ok_and(|code| [BUSY, LOCKED, READ_ONLY, IO, FULL, CANNOT_OPEN].contains(&(code & 0xff)))
}

fn sort(error: &sqlx::Error, message: String) -> StoreError {
    match error {
        sqlx::Error::Database(database) => match database.code().as_deref() {
            // PostgreSQL: serialization failure, deadlock.
            Some("40001" | "40P01") => StoreError::Conflict(message),
            // PostgreSQL: somebody has written the same version, or applied the same event, since the guards were checked.
            Some("23505") if database.constraint().is_some_and(|name| GUARDED.contains(&name)) => {
                StoreError::Conflict(message)
            }
            // PostgreSQL: read-only, as a server is that another one has taken over from.
            Some("25006") => StoreError::Unavailable(message),
            Some(code) if is_sqlite_outage(code) => StoreError::Unavailable(message),
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
