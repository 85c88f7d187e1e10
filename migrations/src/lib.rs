//! The schema of the database of enrolld, for PostgreSQL and SQLite from the same text.
//!
//! Moments are milliseconds since 1970 in UTC, in columns that end in `_ms`. JSON is kept as text: it is read whole.
//! Migrations expand first and contract a release later, so that two releases can run side by side.

mod m20261122_000001_first;
mod m20261127_000002_schedules;

pub use sea_orm_migration::MigratorTrait;
use sea_orm_migration::prelude::*;

/// The migrations, in order.
#[derive(Debug, Clone, Copy)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261122_000001_first::Migration),
            Box::new(m20261127_000002_schedules::Migration),
        ]
    }
}
