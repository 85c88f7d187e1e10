//! `enrolld schedules`: what is done by the clock.

use std::time::Duration;

use anyhow::bail;
use chrono::{DateTime, Utc};
use clap::{Args, Subcommand, builder::PossibleValuesParser, builder::TypedValueParser as _};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    database,
    listing::Shown,
    moments::{relative, relative_ms, rfc3339},
    order::somebody,
    output::{self, Format, Screen},
    table::{Column, table},
};
use crate::{
    environment::{Environment as _, System},
    schedule::{Name, When},
    settings::Settings,
    store::{Store, entities::schedule_tick},
};

/// How often it is looked whether a tick that was asked for is through.
const POLL: Duration = Duration::from_millis(100);

/// The verbs.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the schedules: what they do, when next, and how the last went
    #[command(after_help = "Example:
  enrolld schedules list")]
    List(Shown),
    /// Have a schedule done now, besides its own times
    #[command(
        after_help = "A running daemon does it; this command waits for it. Doing it once more does no harm.

Example:
  enrolld schedules run provisioning.reconcile"
    )]
    Run(Run),
}

/// What to run.
#[derive(Debug, Args)]
pub(super) struct Run {
    /// Which schedule
    #[arg(value_name = "NAME", value_parser = names())]
    name: Name,
    /// Longest wait for its end; "0s" only asks
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = humantime::parse_duration)]
    wait: Duration,
}

/// The names, which clap lists and completes.
fn names() -> impl clap::builder::TypedValueParser<Value = Name> {
    PossibleValuesParser::new(Name::ALL.map(Name::as_str))
        .try_map(|name| Name::from_name(&name).ok_or("no schedule of this name"))
}

/// A schedule, and its latest tick.
struct Row {
    name: Name,
    when: When,
    last: Option<schedule_tick::Model>,
}

impl Row {
    fn state(&self) -> &'static str {
        match &self.last {
            None => "never",
            Some(tick) if tick.error.is_some() => "failed",
            // The first release did not write down who did it, and when.
            Some(tick) if tick.ended_ms.is_some() || tick.daemon_id.is_none() && tick.asked_by.is_none() => "done",
            Some(tick) if tick.started_ms.is_some() => "running",
            Some(_) => "waiting",
        }
    }

    fn next(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.when.next(now)
    }
}

/// Carries the verb out.
pub(super) async fn run(command: Command, settings: &Settings) -> anyhow::Result<()> {
    let store = database::open(settings).await?;
    match command {
        Command::List(shown) => {
            let mut rows = Vec::new();
            for name in Name::ALL {
                rows.push(Row {
                    name,
                    when: name.when(settings),
                    last: store.latest_tick(name.as_str()).await?,
                });
            }
            let now = System.now();
            match shown.output {
                Format::Json => output::json(&rows.iter().map(|row| as_json(now, row)).collect::<Vec<_>>()),
                Format::Table => output::text(&list(Screen::stdout(), now, &rows)),
            }
        }
        Command::Run(asked) => ask(&store, settings, &asked).await,
    }
}

fn as_json(now: DateTime<Utc>, row: &Row) -> Value {
    let last = row.last.as_ref().map(|tick| {
        json!({
            "tick": rfc3339(tick.tick_ms), "started": tick.started_ms.map(rfc3339), "ended": tick.ended_ms.map(rfc3339),
            "daemon": tick.daemon_id, "asked_by": tick.asked_by, "error": tick.error,
        })
    });
    json!({
        "name": row.name.as_str(), "purpose": row.name.purpose(), "when": row.when.to_string(),
        "next": row.next(now).map(|at| rfc3339(at.timestamp_millis())), "state": row.state(), "last": last,
    })
}

fn list(screen: Screen, now: DateTime<Utc>, rows: &[Row]) -> String {
    let columns = [
        Column::new("SCHEDULE", 0),
        Column::new("WHEN", 4),
        Column::new("NEXT", 3),
        Column::new("LAST", 2),
        Column::new("STATE", 0).state(),
        Column::new("DOES", 5).wrapped(),
        Column::new("ERROR", 1).wrapped(),
    ];
    let rows = rows.iter().map(|row| {
        let last = row.last.as_ref();
        [
            row.name.as_str().to_owned(),
            row.when.to_string(),
            row.next(now).map(|at| relative(now, at)).unwrap_or_default(),
            last.map(|tick| relative_ms(now, tick.tick_ms)).unwrap_or_default(),
            row.state().to_owned(),
            row.name.purpose().to_owned(),
            last.and_then(|tick| tick.error.clone()).unwrap_or_default(),
        ]
    });
    table(screen, columns, rows)
}

/// Asks for a tick, and waits for its end.
async fn ask(store: &Store, settings: &Settings, asked: &Run) -> anyhow::Result<()> {
    let name = asked.name.as_str();
    let tick = store.ask_tick(name, System.now(), &somebody()).await?;
    if asked.wait.is_zero() {
        return output::text(&format!("{name}: asked for"));
    }
    let dead_after = settings.heartbeat.dead_after;
    if store.live_daemons(System.now(), dead_after).await?.is_empty() {
        bail!("{name}: asked for, but no daemon is running; the next to start does it, if it starts within a day");
    }
    let start = Instant::now();
    while start.elapsed() < asked.wait {
        if let Some(tick) = store.tick(name, tick).await?
            && tick.ended_ms.is_some()
        {
            match tick.error {
                Some(error) => bail!("{name}: failed: {error}"),
                None => return output::text(&format!("{name}: done")),
            }
        }
        tokio::time::sleep(POLL).await;
    }
    bail!(
        "{name}: not through after {}; it goes on, and `enrolld schedules list` tells how it went",
        humantime::format_duration(asked.wait)
    )
}
