//! Ticks of schedules know who carries them out and what came of it, and can be asked for by hand.

use sea_orm_migration::prelude::*;

const UP: [&str; 6] = [
    // Unset in what the first release wrote, and in what was asked for and nobody has taken yet.
    "ALTER TABLE schedule_ticks ADD COLUMN daemon_id TEXT",
    // Who asked, where it did not come by itself.
    "ALTER TABLE schedule_ticks ADD COLUMN asked_by TEXT",
    "ALTER TABLE schedule_ticks ADD COLUMN started_ms BIGINT",
    "ALTER TABLE schedule_ticks ADD COLUMN ended_ms BIGINT",
    "ALTER TABLE schedule_ticks ADD COLUMN error TEXT",
    "CREATE INDEX schedule_ticks_open ON schedule_ticks (schedule, tick_ms) WHERE ended_ms IS NULL",
];

const DOWN: [&str; 6] = [
    "DROP INDEX schedule_ticks_open",
    "ALTER TABLE schedule_ticks DROP COLUMN error",
    "ALTER TABLE schedule_ticks DROP COLUMN ended_ms",
    "ALTER TABLE schedule_ticks DROP COLUMN started_ms",
    "ALTER TABLE schedule_ticks DROP COLUMN asked_by",
    "ALTER TABLE schedule_ticks DROP COLUMN daemon_id",
];

/// See the module.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, UP).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, DOWN).await
    }
}

async fn run(manager: &SchemaManager<'_>, statements: [&str; 6]) -> Result<(), DbErr> {
    for statement in statements {
        manager.get_connection().execute_unprepared(statement).await?;
    }
    Ok(())
}
