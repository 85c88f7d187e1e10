//! Indexes for what is counted all day: jobs that fail, and what was refused lately.

use sea_orm_migration::prelude::*;

const UP: [&str; 2] = [
    "CREATE INDEX jobs_failing ON jobs (state, kind) WHERE state IN ('retrying', 'dead')",
    "CREATE INDEX refused_at ON refused (refused_ms)",
];

/// See the module.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for statement in UP {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for index in ["jobs_failing", "refused_at"] {
            let drop = format!("DROP INDEX IF EXISTS {index}");
            manager.get_connection().execute_unprepared(&drop).await?;
        }
        Ok(())
    }
}
