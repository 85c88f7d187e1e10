//! `enrolld registrations erase` (D24).

use enrolld_jobs::values::RegistrationId;

use crate::{
    cli::{
        database, intake,
        output::{self, Format},
    },
    environment::System,
    erasure,
    settings::Settings,
};
use serde_json::json;

pub(super) async fn run(id: &RegistrationId, form: Format, settings: &Settings) -> anyhow::Result<()> {
    let store = database::open(settings).await?;
    let (redis, _) = intake::redis(settings)?;
    let folder = settings.mail.transport.folder();
    let done = erasure::erase(&store, &redis, &settings.redis.prefix, folder, &System, id).await?;
    let rows = done.rows;
    match form {
        Format::Json => output::json(&json!({
            "id": id,
            "timeline": rows.timeline,
            "jobs": rows.jobs,
            "mails": rows.mails,
            "mail_files": done.files,
            "events": rows.events,
            "refused_events": rows.refused,
            "stream_entries": done.entries,
        })),
        Format::Table => output::text(&format!(
            "erased {id}: {} lines of the timeline, {} jobs, {} mails and {} of their files, {} events, {} refused events, {} \
             entries of streams",
            rows.timeline, rows.jobs, rows.mails, done.files, rows.events, rows.refused, done.entries
        )),
    }
}
