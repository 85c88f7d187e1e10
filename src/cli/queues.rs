//! `enrolld queues`: how much waits in each, and pausing them.

use clap::{
    Subcommand,
    builder::{PossibleValuesParser, TypedValueParser},
};
use enrolld_jobs::job::JobKind;
use serde_json::{Value, json};

use super::{
    database,
    listing::Shown,
    moments::{exact_ms, relative_ms, rfc3339},
    order::Reason,
    output::{self, Format, Screen},
    table::{Column, table},
};
use crate::{
    environment::{Environment as _, System},
    settings::Settings,
    store::{
        Store,
        entities::queue,
        interventions::{Order, because},
        queues::Load,
    },
};

/// The verbs.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the queues: what waits in each, and which are paused
    #[command(
        after_help = "There is a queue for each kind of job. A job waits when it is due and has not
begun; those that are due later, dead or done are not waiting.

Examples:
  enrolld queues list
  enrolld queues list --output json | jq '.[] | select(.paused)'"
    )]
    List {
        /// In which form.
        #[command(flatten)]
        shown: Shown,
    },
    /// Let queues rest: on every daemon, within a second, nothing more of them is begun
    #[command(
        after_help = "What runs, ends. What comes meanwhile waits; nothing is lost, no attempt is spent,
and a restart changes nothing. Pausing a paused queue leaves it as it is.
The mails are in email_verification and notification.

Example:
  enrolld queues pause email_verification notification --reason \"the mail server moves\""
    )]
    Pause {
        /// Which
        #[arg(required = true, value_name = "KIND", value_parser = kinds())]
        kinds: Vec<JobKind>,
        /// Why.
        #[command(flatten)]
        reason: Reason,
    },
    /// Let paused queues go on
    #[command(after_help = "Example:
  enrolld queues resume email_verification notification")]
    Resume {
        /// Which
        #[arg(required = true, value_name = "KIND", value_parser = kinds())]
        kinds: Vec<JobKind>,
    },
}

/// The kinds as names that clap lists and completes.
pub(super) fn kinds() -> impl TypedValueParser<Value = JobKind> {
    let names = JobKind::ALL.iter().map(|kind| kind.as_str());
    PossibleValuesParser::new(names).try_map(|name| JobKind::from_name(&name).ok_or("no kind of this name"))
}

/// Carries the verb out.
pub(super) async fn run(command: Command, settings: &Settings) -> anyhow::Result<()> {
    let store = database::open(settings).await?;
    match command {
        Command::List { shown } => list(&store, shown.output).await,
        Command::Pause { kinds, reason } => pause(&store, &kinds, &reason.order()).await,
        Command::Resume { kinds } => {
            for kind in kinds {
                let name = kind.as_str();
                if store.resume_queue(kind).await? {
                    tracing::info!(kind = name, "a queue goes on");
                    output::remark(&format!("{name} goes on"));
                } else {
                    output::remark(&format!("{name} was not paused"));
                }
            }
            Ok(())
        }
    }
}

async fn pause(store: &Store, kinds: &[JobKind], order: &Order) -> anyhow::Result<()> {
    for kind in kinds {
        let name = kind.as_str();
        if store.pause_queue(*kind, order).await? {
            output::remark(&format!(
                "{name} is paused: within a second no daemon begins any more of it, and what runs, ends"
            ));
            continue;
        }
        let paused = store.paused_queues().await?;
        let before = paused.iter().find(|row| row.kind == name);
        let since = before.map(|row| {
            let at = exact_ms(order.at, row.paused_ms);
            format!(" by {}, since {at}{}", row.paused_by, because(&row.reason))
        });
        output::remark(&format!("{name} is paused already{}", since.unwrap_or_default()));
    }
    Ok(())
}

async fn list(store: &Store, form: Format) -> anyhow::Result<()> {
    let loads = store.queue_loads(System.now()).await?;
    let paused = store.paused_queues().await?;
    let of = |kind: JobKind| paused.iter().find(|row| row.kind == kind.as_str());
    match form {
        Format::Json => {
            let queues = loads.iter().map(|(kind, load)| as_json(*kind, load, of(*kind)));
            output::json(&queues.collect::<Vec<_>>())
        }
        Format::Table => output::text(&as_table(
            Screen::stdout(),
            loads.iter().map(|(kind, load)| (*kind, *load, of(*kind))),
        )),
    }
}

fn as_table<'q>(screen: Screen, queues: impl Iterator<Item = (JobKind, Load, Option<&'q queue::Model>)>) -> String {
    let now = System.now();
    let columns = [
        Column::new("QUEUE", 0),
        Column::new("STATE", 0).state(),
        Column::new("WAITING", 0).number(),
        Column::new("OLDEST", 1),
        Column::new("RUNNING", 5).number(),
        Column::new("SCHEDULED", 6).number(),
        Column::new("DEAD", 0).number(),
        Column::new("SINCE", 2),
        Column::new("BY", 3),
        Column::new("WHY", 4).wrapped(),
    ];
    let rows = queues.map(|(kind, load, paused)| {
        [
            kind.as_str().to_owned(),
            if paused.is_some() { "paused" } else { "open" }.to_owned(),
            load.waiting.to_string(),
            load.waiting_since_ms.map(|ms| relative_ms(now, ms)).unwrap_or_default(),
            load.running.to_string(),
            load.scheduled.to_string(),
            load.dead.to_string(),
            paused.map(|row| relative_ms(now, row.paused_ms)).unwrap_or_default(),
            paused.map(|row| row.paused_by.clone()).unwrap_or_default(),
            paused.map(|row| row.reason.clone()).unwrap_or_default(),
        ]
    });
    table(screen, columns, rows)
}

fn as_json(kind: JobKind, load: &Load, paused: Option<&queue::Model>) -> Value {
    json!({
        "kind": kind.as_str(),
        "paused": paused.map(|row| json!({
            "by": row.paused_by, "since": rfc3339(row.paused_ms), "reason": row.reason,
        })),
        "waiting": load.waiting,
        "waiting_since": load.waiting_since_ms.map(rfc3339),
        "running": load.running,
        "scheduled": load.scheduled,
        "dead": load.dead,
    })
}
