//! `enrolld jobs`.

mod next;
mod show;

use anyhow::bail;
use clap::{Subcommand, builder::PossibleValuesParser};
use enrolld_jobs::job::JobKind;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    database,
    listing::{Listing, Shown},
    moments::{relative_ms, rfc3339},
    order::Reason,
    output::{self, Screen},
    queues::kinds,
    table::{Column, table},
};
use crate::{
    environment::{Environment as _, System},
    settings::Settings,
    store::{Store, entities::job, interventions::Order, jobs::Filter},
};

/// The states of jobs, in the order of their lives.
const STATES: [&str; 8] = [
    "scheduled",
    "queued",
    "running",
    "succeeded",
    "retrying",
    "dead",
    "cancelled",
    "discarded",
];

/// The verbs.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List jobs, newest first
    #[command(after_help = "Examples:
  enrolld jobs list --state dead
  enrolld jobs list --kind notification --registration reg-1 --output json")]
    List {
        /// Only those of this kind
        #[arg(long, value_parser = kinds())]
        kind: Option<JobKind>,
        /// Only those in this state
        #[arg(long, value_parser = PossibleValuesParser::new(STATES))]
        state: Option<String>,
        /// Only those of this registration
        #[arg(long, value_name = "ID")]
        registration: Option<String>,
        /// How many, and in which form.
        #[command(flatten)]
        listing: Listing,
    },
    /// Have dead jobs run again, once what they died of is mended
    #[command(
        after_help = "Only dead jobs are queued again, with all their attempts; no job is started twice.
A mail keeps its Message-ID, and a provisioning call its idempotency key.

Example:
  enrolld jobs requeue 6f6e3a1c-5d0b-5c55-9d4e-3c1f8a2b7e90 --reason \"template mended\""
    )]
    Requeue {
        /// The jobs' ids
        #[arg(required = true, value_name = "ID")]
        ids: Vec<Uuid>,
        /// Why.
        #[command(flatten)]
        reason: Reason,
    },
    /// Show the whole story of a job: its runs and errors, who intervened, and what it does next
    #[command(after_help = "Runs that simply succeeded are not among those listed.

Example:
  enrolld jobs show 6f6e3a1c-5d0b-5c55-9d4e-3c1f8a2b7e90")]
    Show {
        /// The job's id
        id: String,
        /// In which form.
        #[command(flatten)]
        shown: Shown,
    },
}

/// Carries the verb out.
pub(super) async fn run(command: Command, settings: &Settings) -> anyhow::Result<()> {
    let store = database::open(settings).await?;
    match command {
        Command::List {
            kind,
            state,
            registration,
            listing,
        } => {
            let filter = Filter {
                kind,
                state,
                registration_id: registration,
                limit: listing.asked(),
            };
            let jobs = store.jobs(&filter).await?;
            listing.write("jobs", &jobs, as_json, |jobs| list(Screen::stdout(), jobs))
        }
        Command::Requeue { ids, reason } => requeue(&store, &ids, &reason.order()).await,
        Command::Show { id, shown } => show::show(&store, &id, shown.output, settings).await,
    }
}

async fn requeue(store: &Store, ids: &[Uuid], order: &Order) -> anyhow::Result<()> {
    let mut missing = Vec::new();
    for id in ids {
        if store.requeue(*id, order).await? {
            output::text(&id.to_string())?;
        } else {
            missing.push(id.to_string());
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    bail!(
        "not queued again, since there is no dead job of this id: {}; `enrolld jobs list --state dead` shows those there are",
        missing.join(", ")
    )
}

fn list(screen: Screen, jobs: &[job::Model]) -> String {
    let now = System.now();
    let columns = [
        Column::new("ID", 0),
        Column::new("KIND", 1),
        Column::new("STATE", 0).state(),
        Column::new("ABOUT", 2),
        Column::new("CREATED", 4),
        Column::new("DUE", 5),
        Column::new("ATTEMPTS", 6).number(),
        Column::new("ERROR", 3).wrapped(),
    ];
    let rows = jobs.iter().map(|job| {
        let waits = matches!(job.state.as_str(), "scheduled" | "retrying");
        [
            job.id.clone(),
            job.kind.clone(),
            job.state.clone(),
            about(job).unwrap_or_default(),
            relative_ms(now, job.created_ms),
            if waits {
                relative_ms(now, job.run_at_ms)
            } else {
                String::new()
            },
            job.attempts.to_string(),
            job.error_class.clone().unwrap_or_default(),
        ]
    });
    table(screen, columns, rows)
}

/// What the job is for, where it is for a registration or an account.
fn about(job: &job::Model) -> Option<String> {
    job.registration_id.clone().or_else(|| job.account_id.clone())
}

fn as_json(job: &job::Model) -> Value {
    json!({
        "id": job.id,
        "kind": job.kind,
        "state": job.state,
        "registration_id": job.registration_id,
        "account_id": job.account_id,
        "run_no": job.run_no,
        "attempts": job.attempts,
        "failures": job.failures,
        "crashes": job.crashes,
        "requeues": job.requeues,
        "requeue_note": job.requeue_note,
        "created_at": rfc3339(job.created_ms),
        "run_at": rfc3339(job.run_at_ms),
        "queued_at": job.queued_ms.map(rfc3339),
        "started_at": job.started_ms.map(rfc3339),
        "finished_at": job.finished_ms.map(rfc3339),
        "daemon_id": job.daemon_id,
        "error_class": job.error_class,
        "error": job.error,
        "note": job.note,
    })
}
