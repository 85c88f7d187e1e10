//! The few words in which PostgreSQL and SQLite differ, and sets of rows as one parameter.
//!
//! A batch is given to a statement as one JSON array, so that its text never varies with the size of the batch and
//! stays in the statement caches.

use sea_orm::DbBackend;

/// The type of a column of [`rows`].
#[derive(Debug, Clone, Copy)]
pub(super) enum Column {
    Text(&'static str),
    Integer(&'static str),
    Boolean(&'static str),
}

impl Column {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Text(name) | Self::Integer(name) | Self::Boolean(name) => name,
        }
    }
}

/// `(…) AS r`: the parameter `$1`, a JSON array of objects, as rows of `columns`.
pub(super) fn rows(backend: DbBackend, columns: &[Column]) -> String {
    let list: Vec<_> = if backend == DbBackend::Postgres {
        let typed = |column: &Column| match column {
            Column::Text(name) => format!("{name} TEXT"),
            Column::Integer(name) => format!("{name} BIGINT"),
            Column::Boolean(name) => format!("{name} BOOLEAN"),
        };
        columns.iter().map(typed).collect()
    } else {
        columns
            .iter()
            .map(|column| format!("value ->> '{0}' AS {0}", column.name()))
            .collect()
    };
    let list = list.join(", ");
    match backend {
        DbBackend::Postgres => format!("jsonb_to_recordset(CAST($1 AS TEXT)::jsonb) AS r({list})"),
        _ => format!("(SELECT {list} FROM json_each($1)) AS r"),
    }
}

/// Texts are locked in the order of their bytes, whatever the database's language: everybody who locks these rows must take
/// the same order.
pub(super) const fn byte_order(backend: DbBackend, column: Column) -> &'static str {
    match (backend, column) {
        (DbBackend::Postgres, Column::Text(_)) => " COLLATE \"C\"",
        _ => "",
    }
}

/// Locks the rows of table `alias` that a select returns until the transaction ends. SQLite has one writer anyway.
pub(super) const fn for_update(backend: DbBackend) -> &'static str {
    match backend {
        DbBackend::Postgres => " FOR UPDATE OF t",
        _ => "",
    }
}

/// As [`for_update`], leaving out what others have locked.
pub(super) const fn for_update_skip_locked(backend: DbBackend) -> &'static str {
    match backend {
        DbBackend::Postgres => " FOR UPDATE SKIP LOCKED",
        _ => "",
    }
}

/// Makes SQLite, which keeps no statistics of its own accord, read a table by `index`. PostgreSQL finds it by itself.
pub(super) fn indexed_by(backend: DbBackend, index: &str) -> String {
    match backend {
        DbBackend::Sqlite => format!(" INDEXED BY {index}"),
        _ => String::new(),
    }
}
