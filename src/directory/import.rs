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

/// The statuses of accounts that mean something (contract, section 4).
const ACCOUNT_STATUSES: [&str; 3] = ["active", "inactive", "incomplete"];

/// Those of contracts that are known; only `active` ones entitle.
const CONTRACT_STATUSES: [&str; 2] = ["active", "inactive"];

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
    warn_of_statuses(file);

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

/// A status is taken as it is given, and verification then refuses whoever has an unknown one: more likely that was not meant.
fn warn_of_statuses(file: &DirectoryFile) {
    let accounts = file.accounts.iter().map(|placed| &placed.record);
    let unknown: Vec<_> = accounts
        .filter(|account| !ACCOUNT_STATUSES.contains(&account.status.as_str()))
        .collect();
    if let Some(first) = unknown.first() {
        tracing::warn!(
            accounts = unknown.len(),
            first = first.id.as_str(),
            status = first.status,
            "accounts have a status that is none of {}, and count as inactive",
            ACCOUNT_STATUSES.join(", ")
        );
    }
    let contracts = file.contracts.iter().map(|placed| &placed.record);
    let unknown: Vec<_> = contracts
        .filter(|contract| !CONTRACT_STATUSES.contains(&contract.status.as_str()))
        .collect();
    if let Some(first) = unknown.first() {
        tracing::warn!(
            contracts = unknown.len(),
            first = first.number,
            status = first.status,
            "contracts have a status that is none of {}, and do not entitle",
            CONTRACT_STATUSES.join(", ")
        );
    }
}
