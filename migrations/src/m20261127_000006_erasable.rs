//! Indexes for what an erasure looks for: it would read whole tables otherwise, for each registration.

use sea_orm_migration::prelude::*;

/// The subject of a bounce is a Message-ID, with or without `<`, that begins with the mail's id.
const INDEXES: [(&str, &str); 5] = [
    ("inbox_subject", "inbox (subject)"),
    (
        "inbox_bounces",
        "inbox (lower(substr(ltrim(subject, '<'), 1, 36))) WHERE type = 'mail.bounced'",
    ),
    ("refused_subject", "refused (subject)"),
    (
        "refused_bounces",
        "refused (lower(substr(ltrim(subject, '<'), 1, 36))) WHERE type = 'mail.bounced'",
    ),
    ("appointments_registration", "appointments (registration_id)"),
];

/// See the module.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (name, on) in INDEXES {
            let create = format!("CREATE INDEX {name} ON {on}");
            manager.get_connection().execute_unprepared(&create).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (name, _) in INDEXES {
            let drop = format!("DROP INDEX {name}");
            manager.get_connection().execute_unprepared(&drop).await?;
        }
        Ok(())
    }
}
