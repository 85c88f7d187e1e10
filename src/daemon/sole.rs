//! One daemon to a SQLite database: its file is for one host and has one writer, so several daemons would only wait for each other,
//! and two hosts damage it.

use std::{
    fs::{File, OpenOptions, TryLockError},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};

use crate::settings::DatabaseUrl;

/// Held as long as the daemon runs; the kernel gives it up with the process, however that ends.
#[derive(Debug)]
pub(super) struct Sole {
    _lock: Option<File>,
}

impl Sole {
    /// Takes the place of the database's only daemon. PostgreSQL serves any number.
    pub(super) fn take(database: &DatabaseUrl) -> anyhow::Result<Self> {
        let path = match database {
            DatabaseUrl::Postgres(_) => return Ok(Self { _lock: None }),
            DatabaseUrl::Sqlite(path) => lock_of(path),
        };
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .with_context(|| format!("cannot make {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _lock: Some(file) }),
            Err(TryLockError::WouldBlock) => bail!(
                "another daemon runs on the database {database}; SQLite serves one. Stop it first, or use PostgreSQL for several"
            ),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot lock {}; is it on a network drive?", path.display()))
            }
        }
    }
}

fn lock_of(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".daemon");
    PathBuf::from(name)
}
