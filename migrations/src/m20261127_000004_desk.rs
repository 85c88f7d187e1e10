//! What people ask and do by command: who put a refused event back on the intake, and what `status` looks for.

use sea_orm_migration::prelude::*;

const UP: [&str; 3] = [
    "ALTER TABLE refused ADD COLUMN replayed_ms BIGINT",
    "ALTER TABLE refused ADD COLUMN replayed_by TEXT",
    "CREATE INDEX suppressions_since ON suppressions (since_ms)",
];

const DOWN: [&str; 3] = [
    "DROP INDEX suppressions_since",
    "ALTER TABLE refused DROP COLUMN replayed_by",
    "ALTER TABLE refused DROP COLUMN replayed_ms",
];

/// See the module.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        carry_out(manager, UP).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        carry_out(manager, DOWN).await
    }
}

async fn carry_out(manager: &SchemaManager<'_>, statements: [&str; 3]) -> Result<(), DbErr> {
    for statement in statements {
        manager.get_connection().execute_unprepared(statement).await?;
    }
    Ok(())
}
