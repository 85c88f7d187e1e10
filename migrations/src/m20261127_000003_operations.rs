//! Paused queues, the runs of jobs that failed, and what people have had done with jobs.

use sea_orm_migration::prelude::*;

/// Statements separated by `;` at the end of a line.
const UP: &str = include_str!("m20261127_000003_operations.sql");

/// See the module.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let statements = UP.split(";\n").map(str::trim);
        for statement in statements.filter(|statement| !statement.is_empty()) {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let index = Index::drop()
            .name("jobs_due_of_kind")
            .table(Alias::new("jobs"))
            .to_owned();
        manager.drop_index(index).await?;
        for table in ["interventions", "attempts", "queues"] {
            manager
                .drop_table(Table::drop().table(Alias::new(table)).if_exists().to_owned())
                .await?;
        }
        Ok(())
    }
}
