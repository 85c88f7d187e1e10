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
    /// The database refuses what it was given, for what is in it; trying again does not help.
    #[error("the database refused: {0}")]
    Refused(String),
    /// Not what was given is at fault, but what is there: a table or a privilege is missing, data is damaged, or a row was
    /// written by a release that this one does not know. Wait; once somebody has mended it, the same succeeds.
    #[error("the database cannot do its work: {0}")]
    Fault(String),
}

impl StoreError {
    /// An error that trying again does not mend.
    pub fn refused(message: impl Into<String>) -> Self {
        Self::Refused(message.into())
    }

    /// What was stored cannot be read.
    pub fn unreadable(what: impl std::fmt::Display, error: impl std::fmt::Display) -> Self {
        Self::Fault(format!(
            "{what} cannot be read: {error}; was it written by a newer release?"
        ))
    }

    /// Whether the same may succeed later.
    pub const fn is_temporary(&self) -> bool {
        match self {
            Self::Unavailable(_) | Self::Conflict(_) | Self::Fault(_) => true,
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
            _ => Self::Fault(message),
        }
    }
}

/// Unique indexes whose rows the guards of a transition look for: to break one is to have been overtaken between the look
/// and the write, and the next look tells by whom.
const GUARDED: [&str; 3] = ["registrations_pkey", "timeline_pkey", "inbox_applied"];

/// SQLite's codes for a lock held by others, and for trouble with the disk.
const SQLITE_OUTAGE: [u32; 6] = [
    5,  // BUSY
    6,  // LOCKED
    8,  // READONLY
    10, // IOERR
    13, // FULL
    14, // CANTOPEN
];

/// SQLite's codes for what cannot be stored.
const SQLITE_CONTENT: [u32; 3] = [
    18, // TOOBIG
    19, // CONSTRAINT
    20, // MISMATCH
];

/// Classes of PostgreSQL: connection exceptions, insufficient resources, operator intervention (shutdown), system error.
const POSTGRES_OUTAGE: [&str; 4] = ["08", "53", "57", "58"];

/// Classes of PostgreSQL for what cannot be stored: data exceptions, broken constraints, and program limits, among them the
/// largest row of an index.
const POSTGRES_CONTENT: [&str; 3] = ["22", "23", "54"];

/// Whether this is one of SQLite's `codes`; extended ones have more in their higher bytes. The codes of PostgreSQL have five
/// characters, and some of them are digits only.
fn is_sqlite(code: &str, codes: &[u32]) -> bool {
    code.len() < 5 && code.parse::<u32>().is_ok_and(|code| codes.contains(&(code & 0xff)))
}

fn is_postgres(code: &str, classes: &[&str]) -> bool {
    code.len() == 5 && classes.iter().any(|class| code.starts_with(class))
}

fn sort(error: &sqlx::Error, message: String) -> StoreError {
    match error {
        sqlx::Error::Database(database) => match database.code().as_deref() {
            // PostgreSQL: serialization failure, deadlock, a lock that was not had in a time that somebody has set.
            Some("40001" | "40P01" | "55P03") => StoreError::Conflict(message),
            // PostgreSQL: somebody has written the same version, or applied the same event, since the guards were checked.
            Some("23505") if database.constraint().is_some_and(|name| GUARDED.contains(&name)) => {
                StoreError::Conflict(message)
            }
            // PostgreSQL: read-only, as a server is that another one has taken over from; and the session was ended, since this daemon
            // had stalled in the middle of a transaction.
            Some("25006" | "25P03") => StoreError::Unavailable(message),
            Some(code) if is_sqlite(code, &SQLITE_OUTAGE) || is_postgres(code, &POSTGRES_OUTAGE) => {
                StoreError::Unavailable(message)
            }
            // Only what is known to lie in what was given may be laid at its door.
            Some(code) if is_sqlite(code, &SQLITE_CONTENT) || is_postgres(code, &POSTGRES_CONTENT) => {
                StoreError::Refused(message)
            }
            _ => StoreError::Fault(message),
        },
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => StoreError::Unavailable(message),
        sqlx::Error::Configuration(_) | sqlx::Error::Encode(_) => StoreError::Refused(message),
        _ => StoreError::Fault(message),
    }
}
