//! What the demo prints at its end: each registration's history, the mails, what was refused, and where to look next.

use std::{io::Write, path::Path};

use enrolld_jobs::registration::Registration;

use super::{people::letters, roads};
use crate::store::{Store, registrations::Filter};

pub(super) async fn write(out: &mut impl Write, store: &Store, mail_dir: &Path, config: &Path) -> anyhow::Result<()> {
    let mut registrations = store
        .registrations(&Filter {
            limit: 100,
            ..Filter::default()
        })
        .await?;
    registrations.reverse();
    writeln!(out, "\nThe roads walked")?;
    for road in roads::all() {
        writeln!(out, "  - {}", road.title)?;
    }
    writeln!(out, "\nRegistrations")?;
    for registration in &registrations {
        history(out, store, registration).await?;
    }
    writeln!(out, "\nMails ({})", mail_dir.display())?;
    for letter in letters(mail_dir)? {
        writeln!(out, "  {:<26} {}", letter.to, letter.subject)?;
    }
    writeln!(out, "\nRefused events")?;
    for event in store.refused_events(100).await?.iter().rev() {
        writeln!(out, "  {:<14} {}", event.reason, event.detail)?;
    }
    let program = std::env::args().next().unwrap_or_else(|| "enrolld".to_owned());
    let config = config.display();
    writeln!(out, "\nLook further")?;
    for command in [
        "registrations list",
        "registrations show newbie-1",
        "mails list",
        "jobs list",
        "intake rejected",
    ] {
        writeln!(out, "  {program} {command} --config {config}")?;
    }
    writeln!(
        out,
        "  {program} run --config {config}      (the daemon, with the same data; Ctrl-C ends it)"
    )?;
    Ok(())
}

async fn history(out: &mut impl Write, store: &Store, registration: &Registration) -> anyhow::Result<()> {
    let state = registration.state.name().as_str();
    writeln!(
        out,
        "\n  {} ({}): {state}",
        registration.id,
        registration.applicant_name()
    )?;
    for (_, line) in store.timelines(&[&registration.id]).await? {
        let to = line
            .detail
            .get("to")
            .and_then(serde_json::Value::as_str)
            .unwrap_or_default();
        let at = line.at.format("%H:%M:%S%.3f");
        writeln!(out, "    {at}  {:<38} {:<10} → {to}", line.event, line.actor)?;
    }
    Ok(())
}
