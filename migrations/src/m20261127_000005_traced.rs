//! The trace that each job belongs to.

use sea_orm_migration::prelude::*;

/// See the module.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // Empty where a job was made by the release before, or by no request.
        let add = "ALTER TABLE jobs ADD COLUMN trace TEXT";
        manager.get_connection().execute_unprepared(add).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let drop = "ALTER TABLE jobs DROP COLUMN trace";
        manager.get_connection().execute_unprepared(drop).await?;
        Ok(())
    }
}
