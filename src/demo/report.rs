//! What the demo prints at its end: each registration's history, the mails, what was refused, and where to look next.

use std::{io::Write, path::Path};

use enrolld_jobs::{registration::Registration, view::TimelineLine};
use serde_json::{Map, Value};

use super::{people::letters, roads};
use crate::store::{Store, entities::refused, registrations::Filter};

pub(super) async fn write(out: &mut impl Write, store: &Store, mail_dir: &Path, folder: &Path) -> anyhow::Result<()> {
    let mut registrations = store
        .registrations(&Filter {
            limit: 100,
            ..Filter::default()
        })
        .await?;
    registrations.reverse();
    writeln!(out, "\nThe roads walked")?;
    for road in roads::all() {
        writeln!(out, "  - {} ({})", road.title, road.registrations().join(", "))?;
    }
    match registrations.first() {
        Some(first) => writeln!(out, "\nRegistrations ({}, in UTC)", first.created_at.format("%Y-%m-%d"))?,
        None => writeln!(out, "\nRegistrations")?,
    }
    for registration in &registrations {
        history(out, store, registration).await?;
    }
    writeln!(out, "\nMails ({})", mail_dir.display())?;
    for letter in letters(mail_dir)? {
        let about = letter.registration.unwrap_or_default();
        writeln!(out, "  {about:<12} {:<26} {}", letter.to, letter.subject)?;
    }
    writeln!(out, "\nRefused events")?;
    for event in store.refused_events(100).await?.iter().rev() {
        writeln!(out, "  {}", refusal(event))?;
    }
    look_further(out, folder)
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
        let TimelineLine {
            at,
            event,
            actor,
            mut detail,
        } = line;
        let to = detail.remove("to").as_ref().map(plain).unwrap_or_default();
        let at = at.format("%H:%M:%S%.3f");
        writeln!(out, "    {at}  {event:<38} {actor:<10} → {to}")?;
        if !detail.is_empty() {
            writeln!(out, "                  {}", told(&detail))?;
        }
    }
    Ok(())
}

/// Type and subject of the event, where they could be read; the reason as the contract names it, and what there is to say about it.
fn refusal(event: &refused::Model) -> String {
    let mut detail: Map<String, Value> = serde_json::from_str(&event.detail).unwrap_or_default();
    let what = event.r#type.as_deref().unwrap_or("an unreadable entry");
    let about = event.subject.as_deref().map(|subject| format!(" of {subject}"));
    let code = detail.remove("code").as_ref().map(plain).unwrap_or_default();
    format!(
        "{what}{}: {} ({code}); {}",
        about.unwrap_or_default(),
        event.reason,
        told(&detail)
    )
}

fn told(detail: &Map<String, Value>) -> String {
    let told = detail.iter().map(|(key, value)| format!("{key}: {}", plain(value)));
    told.collect::<Vec<_>>().join("; ")
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(plain).collect::<Vec<_>>().join(", "),
        value => value.to_string(),
    }
}

fn look_further(out: &mut impl Write, folder: &Path) -> anyhow::Result<()> {
    let program = std::env::args().next().unwrap_or_else(|| "enrolld".to_owned());
    let (folder, config) = (folder.display(), folder.join("enrolld.toml"));
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
    writeln!(
        out,
        "\nNothing runs any more. The folder stays; the next demo empties it. To remove it:"
    )?;
    writeln!(out, "  rm -r {folder}")?;
    Ok(())
}
