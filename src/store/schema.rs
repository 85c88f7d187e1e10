//! The database's schema, compared with the one of this release.
//!
//! A newer release expands the schema before it contracts it, so this one works beside it: what it does not know it leaves alone.

use std::collections::HashSet;

use enrolld_migrations::{Migrator, MigratorTrait, applied};
use sea_orm::{ConnectionTrait, DbBackend, Statement, TransactionTrait};

use super::{Store, error::StoreError};

/// Names the advisory lock under which PostgreSQL is migrated; an arbitrary constant, never to be changed.
const MIGRATION_LOCK: i64 = 0x656e_726f_6c6c_6401;

/// How far apart the database and this release are, in migrations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schema {
    /// Of this release, and still to be carried out.
    pub missing: usize,
    /// Carried out, and of a release that this one does not know.
    pub foreign: usize,
}

impl Schema {
    /// That migrations are missing, and the remedy; `None` where none is.
    pub fn lack(self) -> Option<String> {
        match self.missing {
            0 => None,
            1 => Some("1 migration is missing; run `enrolld migrate`".to_owned()),
            missing => Some(format!("{missing} migrations are missing; run `enrolld migrate`")),
        }
    }
}

impl Store {
    /// How the schema is.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn schema(&self) -> Result<Schema, StoreError> {
        let applied: HashSet<String> = applied(self.writer.unbounded()).await?.into_iter().collect();
        let migrations = Migrator::migrations();
        let known: HashSet<&str> = migrations.iter().map(|migration| migration.name()).collect();
        Ok(Schema {
            missing: known.iter().filter(|name| !applied.contains(**name)).count(),
            foreign: applied.iter().filter(|name| !known.contains(name.as_str())).count(),
        })
    }

    /// Carries out the migrations that are missing. Where a newer release has been there is nothing to do.
    ///
    /// Several at once wait for each other on PostgreSQL; SQLite has one writer.
    ///
    /// # Errors
    /// When one fails (it is rolled back on PostgreSQL), or the database has migrations of another release and lacks some of this one.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        if self.backend() != DbBackend::Postgres {
            return self.carry_out_migrations().await;
        }
        // The lock lasts as long as its transaction, whatever becomes of this process.
        let lock = self.writer.unbounded().begin().await?;
        let take = Statement::from_string(
            DbBackend::Postgres,
            format!("SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"),
        );
        // What others carry out may take its time.
        let patiently = "SET LOCAL idle_in_transaction_session_timeout = 0";
        lock.execute_unprepared(patiently).await?;
        lock.query_one_raw(take).await?;
        self.carry_out_migrations().await?;
        Ok(lock.commit().await?)
    }

    async fn carry_out_migrations(&self) -> Result<(), StoreError> {
        match self.schema().await? {
            Schema { foreign: 0, .. } => Ok(Migrator::up(self.writer.unbounded(), None).await?),
            Schema { missing: 0, .. } => Ok(()),
            Schema { missing, foreign } => Err(StoreError::Fault(format!(
                "{foreign} migrations of another release are in it, and {missing} of this one are not"
            ))),
        }
    }
}
