//! The schema of the database of enrolld, for PostgreSQL and SQLite from the same text.
//!
//! Moments are milliseconds since 1970 in UTC, in columns that end in `_ms`. JSON is kept as text: it is read whole.
//! Migrations expand first and contract a release later, so that two releases can run side by side.

mod m20261122_000001_first;
mod m20261127_000002_schedules;
mod m20261127_000003_operations;
mod m20261127_000004_desk;
mod m20261127_000005_counted;
mod m20261127_000005_traced;
mod m20261127_000006_erasable;

pub use sea_orm_migration::MigratorTrait;
use sea_orm_migration::{prelude::*, sea_orm::DatabaseConnection};

/// The names of the migrations that were carried out, by whichever release; none where nothing was ever. Changes nothing.
///
/// # Errors
/// When the database cannot be asked.
pub async fn applied(connection: &DatabaseConnection) -> Result<Vec<String>, DbErr> {
    let table = Migrator::migration_table_name();
    if !SchemaManager::new(connection).has_table(table.to_string()).await? {
        return Ok(Vec::new());
    }
    let query = Query::select().column(Alias::new("version")).from(table).to_owned();
    let rows = connection.query_all(&query).await?;
    rows.iter().map(|row| row.try_get("", "version")).collect()
}

/// The migrations, in order.
#[derive(Debug, Clone, Copy)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261122_000001_first::Migration),
            Box::new(m20261127_000002_schedules::Migration),
            Box::new(m20261127_000003_operations::Migration),
            Box::new(m20261127_000004_desk::Migration),
            Box::new(m20261127_000005_counted::Migration),
            Box::new(m20261127_000005_traced::Migration),
            Box::new(m20261127_000006_erasable::Migration),
        ]
    }
}
