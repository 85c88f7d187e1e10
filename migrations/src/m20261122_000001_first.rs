//! The tables of the first release.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

/// Statements separated by `;` at the end of a line, with `{identity}` and `{bytes}` for what the databases spell differently.
const UP: &str = include_str!("m20261122_000001_first.sql");

/// The tables, in the order in which `UP` makes them.
const TABLES: [&str; 27] = [
    "registrations",
    "erased",
    "timeline",
    "jobs",
    "mails",
    "links",
    "appointments",
    "removed_administrators",
    "delegations",
    "grants",
    "syncs",
    "schedule_ticks",
    "suppressions",
    "failed_attempts",
    "organization_roots",
    "inbox",
    "refused",
    "notices",
    "leases",
    "daemons",
    "secrets",
    "directory_organizations",
    "directory_accounts",
    "directory_account_contracts",
    "directory_contracts",
    "directory_devices",
    "directory_administrators",
];

/// See the module.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let (identity, bytes) = match manager.get_database_backend() {
            DbBackend::Postgres => ("BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY", "BYTEA"),
            // AUTOINCREMENT: a sequence number is never given twice, not even after the newest row was deleted.
            _ => ("INTEGER PRIMARY KEY AUTOINCREMENT", "BLOB"),
        };
        let sql = UP.replace("{identity}", identity).replace("{bytes}", bytes);
        for statement in sql
            .split(";\n")
            .map(str::trim)
            .filter(|statement| !statement.is_empty())
        {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in TABLES {
            manager
                .drop_table(Table::drop().table(Alias::new(table)).if_exists().to_owned())
                .await?;
        }
        Ok(())
    }
}
