//! `enrolld jobs`.

mod give_up;
mod list;
mod many;
mod next;
mod requeue;
mod show;
mod which;

use std::num::NonZeroU32;

use clap::{ArgGroup, Subcommand, builder::PossibleValuesParser};
use serde_json::{Value, json};
use uuid::Uuid;

use self::{
    give_up::GiveUp,
    requeue::Requeue,
    which::{NARROWING, Narrow},
};
use super::{
    database,
    listing::{Listing, Shown},
    moments::rfc3339,
    order::Reason,
};
use crate::{executor::giving_up::GivingUp, settings::Settings, store::entities::job};

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
    /// List jobs, newest first; above dead ones, what they died of
    #[command(
        after_help = "A moment is \"2h ago\", \"2026-11-22 09:00\" (in UTC) or 2026-11-22T09:00:00Z.

Examples:
  enrolld jobs list --state dead
  enrolld jobs list --state dead --error target_refused --since \"1d ago\"
  enrolld jobs list --kind notification --registration reg-1 --output json"
    )]
    List {
        /// Only those in this state
        #[arg(long, value_parser = PossibleValuesParser::new(STATES))]
        state: Option<String>,
        /// Which else.
        #[command(flatten)]
        narrow: Narrow,
        /// How many, and in which form.
        #[command(flatten)]
        listing: Listing,
    },
    /// Cancel jobs that have not begun, or are to be tried again
    #[command(
        group = ArgGroup::new("which").required(true).multiple(true)
            .args(["ids", "state", "all"]).args(NARROWING),
        after_help = "What runs is left alone; so is what a registration waits for, such as its timer,
since nothing else would move it on: withdraw or reject that instead. Access is
brought to every target: pause the queue provisioning_sync instead. A mail that
is cancelled is not sent, and counts as skipped.

Examples:
  enrolld jobs cancel 6f6e3a1c-5d0b-5c55-9d4e-3c1f8a2b7e90 --reason \"sent by hand\"
  enrolld jobs cancel --kind notification --state retrying --registration reg-1"
    )]
    Cancel {
        /// The jobs' ids
        #[arg(value_name = "ID", conflicts_with_all = NARROWING, conflicts_with_all = ["state", "all"])]
        ids: Vec<Uuid>,
        /// Those in this state [default: all three]
        #[arg(long, value_parser = PossibleValuesParser::new(GivingUp::Cancel.states()))]
        state: Option<String>,
        /// Which of them.
        #[command(flatten)]
        narrow: Narrow,
        /// All that have not begun, or are in the state given
        #[arg(long)]
        all: bool,
        /// Only tell how many there are
        #[arg(long)]
        dry_run: bool,
        /// Why.
        #[command(flatten)]
        reason: Reason,
        /// In which form.
        #[command(flatten)]
        shown: Shown,
    },
    /// Give up dead jobs: they wait for nobody any more, and their registrations are no cases for them
    #[command(
        group = ArgGroup::new("which").required(true).multiple(true).args(["ids", "all"]).args(NARROWING),
        after_help = "For what needs not be done any more, or was done by hand. A discarded job cannot be
queued again. One that a registration waits for is left alone, since nothing else
would move that on: requeue it, or have the registration withdrawn or rejected.

Examples:
  enrolld jobs discard 6f6e3a1c-5d0b-5c55-9d4e-3c1f8a2b7e90 --reason \"told by phone\"
  enrolld jobs discard --kind notification --error smtp_refused --until \"30d ago\""
    )]
    Discard {
        /// The jobs' ids
        #[arg(value_name = "ID", conflicts_with_all = NARROWING, conflicts_with = "all")]
        ids: Vec<Uuid>,
        /// Which of them.
        #[command(flatten)]
        narrow: Narrow,
        /// All that are dead
        #[arg(long)]
        all: bool,
        /// Only tell how many there are
        #[arg(long)]
        dry_run: bool,
        /// Why.
        #[command(flatten)]
        reason: Reason,
        /// In which form.
        #[command(flatten)]
        shown: Shown,
    },
    /// Have dead jobs run again, once what they died of is mended
    #[command(
        group = ArgGroup::new("which").required(true).multiple(true)
            .args(["ids", "state", "all"]).args(NARROWING),
        after_help = "Dead jobs are queued again with all their attempts. With --state retrying, jobs
that would be tried again later are tried now. No other job is touched, and none
is started twice. A mail keeps its Message-ID, and a provisioning call its
idempotency key. Ctrl-C stops it; the same command goes on with the rest.

A moment is \"2h ago\", \"2026-11-22 09:00\" (in UTC) or 2026-11-22T09:00:00Z.

Examples:
  enrolld jobs requeue 6f6e3a1c-5d0b-5c55-9d4e-3c1f8a2b7e90 --reason \"template mended\"
  enrolld jobs requeue --kind provisioning_sync --error target_refused --dry-run
  enrolld jobs requeue --kind provisioning_sync --error target_refused --rate 10 --reason \"the CRM was mended\""
    )]
    Requeue {
        /// The jobs' ids
        #[arg(value_name = "ID", conflicts_with_all = NARROWING, conflicts_with_all = ["state", "all"])]
        ids: Vec<Uuid>,
        /// Those in this state [default: dead]
        #[arg(long, value_parser = PossibleValuesParser::new(["dead", "retrying"]))]
        state: Option<String>,
        /// Which of them.
        #[command(flatten)]
        narrow: Narrow,
        /// All that are dead, or in the state given
        #[arg(long)]
        all: bool,
        /// Only tell how many there are
        #[arg(long)]
        dry_run: bool,
        /// At most so many a second
        #[arg(long, value_name = "N")]
        rate: Option<NonZeroU32>,
        /// Why.
        #[command(flatten)]
        reason: Reason,
        /// In which form.
        #[command(flatten)]
        shown: Shown,
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
    /// Count all jobs by kind and state, and dead ones by what they died of
    #[command(after_help = "Example:
  enrolld jobs stats")]
    Stats {
        /// In which form.
        #[command(flatten)]
        shown: Shown,
    },
}

/// Carries the verb out.
pub(super) async fn run(command: Command, settings: &Settings) -> anyhow::Result<()> {
    let store = database::open(settings).await?;
    match command {
        Command::List { state, narrow, listing } => list::list(&store, &narrow, state.as_deref(), listing).await,
        Command::Requeue {
            ids,
            state,
            narrow,
            all: _,
            dry_run,
            rate,
            reason,
            shown,
        } => {
            let requeue = Requeue {
                ids,
                narrow,
                state: state.unwrap_or_else(|| "dead".to_owned()),
                is_dry: dry_run,
                rate,
                form: shown.output,
            };
            requeue.run(&store, &reason.order()).await
        }
        Command::Cancel {
            ids,
            state,
            narrow,
            all: _,
            dry_run,
            reason,
            shown,
        } => {
            let cancel = GiveUp {
                how: GivingUp::Cancel,
                ids,
                narrow,
                state,
                is_dry: dry_run,
                form: shown.output,
            };
            cancel.run(&store, settings, &reason.order()).await
        }
        Command::Discard {
            ids,
            narrow,
            all: _,
            dry_run,
            reason,
            shown,
        } => {
            let discard = GiveUp {
                how: GivingUp::Discard,
                ids,
                narrow,
                state: None,
                is_dry: dry_run,
                form: shown.output,
            };
            discard.run(&store, settings, &reason.order()).await
        }
        Command::Show { id, shown } => show::show(&store, &id, shown.output, settings).await,
        Command::Stats { shown } => list::stats(&store, shown.output).await,
    }
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
