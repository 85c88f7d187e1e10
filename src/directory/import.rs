//! Takes a directory file in, all or nothing.

use std::path::Path;

use chrono::{DateTime, Utc};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, SqliteTransactionMode, TransactionOptions,
    TransactionTrait,
};

use super::{
    file::{self, DirectoryFile},
    problem::{ImportError, Problems},
    references, roots,
    summary::ImportSummary,
    write,
};

/// For PostgreSQL. Two imports at once could each add half of a cycle; readers are not held up. And a plan made while a
/// table was empty would scan it whole for every chunk, ever more of it.
const BEFORE: &str = "LOCK TABLE directory_organizations IN SHARE ROW EXCLUSIVE MODE; \
    SET LOCAL plan_cache_mode = force_custom_plan; SET LOCAL enable_seqscan = off";

/// For PostgreSQL: the running daemons' plans may be those for empty tables, too. This makes them plan again.
const AFTER: &str = "ANALYZE directory_organizations, directory_accounts, directory_account_contracts, \
    directory_contracts, directory_devices, directory_administrators";

/// Imports a JSON file, or a folder of CSV files, in one transaction (contract, section 4).
///
/// A record replaces the stored one whole. Appointments are only added, as of `now`, in the order of the file, behind
/// those that are there. When anything changed, every decision being made that rests on who is DA is made again.
///
/// # Errors
/// When the file cannot be read or any record is wrong, with all that is wrong; or when the database fails. Nothing was
/// changed then.
pub async fn import(db: &DatabaseConnection, path: &Path, now: DateTime<Utc>) -> Result<ImportSummary, ImportError> {
    let (file, problems) = read(path).await?;
    let options = TransactionOptions {
        // One that reads first and writes later could not get SQLite's lock any more.
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    };
    let transaction = db.begin_with_options(options).await?;
    match carry_out(&transaction, &file, problems, now).await {
        Ok(summary) => {
            transaction.commit().await?;
            Ok(summary)
        }
        Err(error) => {
            // What is wrong with the file says more than that the database failed afterwards.
            transaction.rollback().await.ok();
            Err(error)
        }
    }
}

async fn read(path: &Path) -> Result<(DirectoryFile, Problems), ImportError> {
    let owned = path.to_owned();
    match tokio::task::spawn_blocking(move || file::read(&owned)).await {
        Ok(result) => result,
        Err(error) => Err(ImportError::Read {
            path: path.to_owned(),
            source: error.into(),
        }),
    }
}

async fn carry_out(
    db: &DatabaseTransaction,
    file: &DirectoryFile,
    mut problems: Problems,
    now: DateTime<Utc>,
) -> Result<ImportSummary, ImportError> {
    if db.get_database_backend() == DbBackend::Postgres {
        db.execute_unprepared(BEFORE).await?;
    }
    let mut parents = references::stored_parents(db).await?;
    references::check(db, file, &mut parents, &mut problems).await?;
    problems.into_result()?;

    let summary = ImportSummary {
        organizations: write::organizations(db, &file.organizations).await?,
        contracts: write::contracts(db, &file.contracts).await?,
        accounts: write::accounts(db, &file.accounts).await?,
        devices: write::devices(db, &file.devices).await?,
        administrators: write::administrators(db, &file.administrators, now.timestamp_millis()).await?,
    };
    if summary.changed_anything() {
        if db.get_database_backend() == DbBackend::Postgres {
            db.execute_unprepared(AFTER).await?;
        }
        // Last, so that the daemon waits for these rows as short as can be.
        roots::raise_all(db, &parents).await?;
    }
    Ok(summary)
}
