//! `enrolld jobs show`: the whole story of a job.

use anyhow::Context as _;
use chrono::{DateTime, TimeDelta, Utc};
use enrolld_jobs::{
    job::JobKind,
    registration::{Registration, ReviewReason},
    trace::Trace,
    values::RegistrationId,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::next::{Next, next};
use crate::{
    cli::{
        moments::{exact_ms, relative_ms, rfc3339},
        output::{self, Format, Screen},
        table::{self, Column, table},
    },
    environment::{Environment as _, System},
    settings::Settings,
    store::{
        Store,
        entities::{attempt, intervention, job, queue},
        moment,
    },
};

/// Failed runs that the card has, the last ones; JSON has all that are kept.
const RUNS_SHOWN: usize = 12;

/// Everything there is to tell of a job.
struct Story {
    job: job::Model,
    /// Runs that did not simply succeed.
    runs: Vec<attempt::Model>,
    interventions: Vec<intervention::Model>,
    registration: Option<Registration>,
    paused: Option<queue::Model>,
    max_attempts: Option<u32>,
}

/// Writes the story of the job `id`.
pub(super) async fn show(store: &Store, id: &str, form: Format, settings: &Settings) -> anyhow::Result<()> {
    let unknown = || anyhow::anyhow!("no job has the id {id:?}; `enrolld jobs list` shows those there are");
    let uuid = Uuid::parse_str(id).map_err(|_| unknown())?;
    let job = store.job(uuid).await?.with_context(unknown)?;
    let registration = match job.registration_id.as_deref().map(RegistrationId::new) {
        Some(Ok(id)) => store.registration(&id).await?,
        Some(Err(_)) | None => None,
    };
    let kind = JobKind::from_name(&job.kind);
    let mut paused = store.paused_queues().await?;
    paused.retain(|queue| queue.kind == job.kind);
    let whole = Story {
        runs: store.attempts(uuid).await?,
        interventions: store.interventions(uuid).await?,
        registration,
        paused: paused.pop(),
        max_attempts: kind.map(|kind| settings.workers.of(kind).max_attempts),
        job,
    };
    let now = System.now();
    match form {
        Format::Json => output::json(&whole.as_json(now)),
        Format::Table => output::text(&whole.as_text(Screen::stdout(), now)),
    }
}

impl Story {
    fn next(&self, now: DateTime<Utc>) -> Next {
        next(now, &self.job, self.registration.as_ref(), self.paused.as_ref())
    }

    fn as_text(&self, screen: Screen, now: DateTime<Utc>) -> String {
        let mut parts = vec![self.card(screen, now)];
        if !self.runs.is_empty() {
            parts.push(self.runs_table(screen));
        }
        if !self.interventions.is_empty() {
            parts.push(self.interventions_table(screen, now));
        }
        parts.join("\n\n")
    }

    fn card(&self, screen: Screen, now: DateTime<Utc>) -> String {
        let job = &self.job;
        let mut lines = vec![
            ("Job", job.id.clone()),
            ("Kind", job.kind.clone()),
            ("State", job.state.clone()),
            ("Next", self.next(now).words),
        ];
        let mut line = |name, value: Option<String>| lines.extend(value.map(|value| (name, value)));
        line("Registration", self.registration_line());
        line("Account", job.account_id.clone());
        line("Created", Some(exact_ms(now, job.created_ms)));
        line("Due", Some(exact_ms(now, job.run_at_ms)));
        line("Queued", job.queued_ms.map(|ms| exact_ms(now, ms)));
        line("Started", job.started_ms.map(|ms| exact_ms(now, ms)));
        line("Finished", job.finished_ms.map(|ms| exact_ms(now, ms)));
        line("Daemon", job.daemon_id.clone());
        line("Run", Some(job.run_no.to_string()));
        line("Trace", self.trace_id());
        line("Attempts", Some(self.attempts_line()));
        line(
            "Failures",
            (job.failures > 0).then(|| format!("{} in a row", job.failures)),
        );
        line("Crashes", (job.crashes > 0).then(|| job.crashes.to_string()));
        line("Requeued", self.requeued_line());
        line("Error", job.error_class.clone());
        line("", job.error.clone());
        line("Note", job.note.clone());
        table::card(screen, lines)
    }

    /// Under which lines of the log are found.
    fn trace_id(&self) -> Option<String> {
        self.job.trace.as_deref().and_then(Trace::of_kept).map(Trace::id)
    }

    fn attempts_line(&self) -> String {
        match self.max_attempts {
            Some(most) => format!("{} of {most}", self.job.attempts),
            None => self.job.attempts.to_string(),
        }
    }

    /// `reg-1 (awaiting_da, processing_failed)`
    fn registration_line(&self) -> Option<String> {
        let id = self.job.registration_id.as_deref()?;
        Some(match &self.registration {
            Some(found) => {
                let case = found.review_reason().map(ReviewReason::as_str);
                let words: Vec<_> = std::iter::once(found.state.name().as_str()).chain(case).collect();
                format!("{id} ({})", words.join(", "))
            }
            None => id.to_owned(),
        })
    }

    /// What earlier releases noted; those of this one have a table.
    fn requeued_line(&self) -> Option<String> {
        let note = self.job.requeue_note.as_ref()?;
        Some(match self.job.requeues {
            1 => format!("once, {note}"),
            number => format!("{number} times, last {note}"),
        })
    }

    fn runs_table(&self, screen: Screen) -> String {
        let columns = [
            Column::new("RUN", 0).number(),
            Column::new("BEGAN", 1),
            Column::new("TOOK", 3).number(),
            Column::new("CAME TO", 0).state(),
            Column::new("CLASS", 0),
            Column::new("DAEMON", 4),
            Column::new("ERROR", 2).wrapped(),
        ];
        let left_out = self.runs.len().saturating_sub(RUNS_SHOWN);
        let rows = self.runs[left_out..].iter().map(|run| {
            [
                run.run_no.to_string(),
                format_moment(run.started_ms.unwrap_or(run.ended_ms)),
                run.started_ms
                    .map(|began| span(run.ended_ms - began))
                    .unwrap_or_default(),
                run.result.clone(),
                run.error_class.clone(),
                run.daemon_id.as_deref().map(short).unwrap_or_default(),
                run.error.clone().unwrap_or_default(),
            ]
        });
        let shown = table(screen, columns, rows);
        if left_out == 0 {
            format!("Runs that failed\n{shown}")
        } else {
            format!("Runs that failed; {left_out} earlier ones are in --output json\n{shown}")
        }
    }

    fn interventions_table(&self, screen: Screen, now: DateTime<Utc>) -> String {
        let columns = [
            Column::new("WHEN", 0),
            Column::new("WHAT", 0),
            Column::new("BY", 1),
            Column::new("WHY", 2).wrapped(),
        ];
        let rows = self.interventions.iter().map(|done| {
            [
                relative_ms(now, done.at_ms),
                done.action.clone(),
                done.done_by.clone(),
                done.reason.clone(),
            ]
        });
        format!("What people did\n{}", table(screen, columns, rows))
    }

    fn as_json(&self, now: DateTime<Utc>) -> Value {
        let mut value = super::as_json(&self.job);
        let next = self.next(now);
        let runs = self.runs.iter().map(|run| {
            json!({
                "run_no": run.run_no,
                "result": run.result,
                "started_at": run.started_ms.map(rfc3339),
                "ended_at": rfc3339(run.ended_ms),
                "daemon_id": run.daemon_id,
                "error_class": run.error_class,
                "error": run.error,
            })
        });
        let interventions = self.interventions.iter().map(
            |done| json!({"at": rfc3339(done.at_ms), "action": done.action, "by": done.done_by, "reason": done.reason}),
        );
        let registration = self.registration.as_ref().map(|found| {
            json!({
                "id": found.id,
                "state": found.state.name().as_str(),
                "review_reason": found.review_reason().map(ReviewReason::as_str),
            })
        });
        value["max_attempts"] = json!(self.max_attempts);
        value["runs"] = runs.collect();
        value["interventions"] = interventions.collect();
        value["registration"] = json!(registration);
        value["trace_id"] = json!(self.trace_id());
        value["queue_paused"] = json!(self.paused.is_some());
        value["next"] = json!({"at": next.at_ms.map(rfc3339), "does": next.words});
        value
    }
}

fn format_moment(ms: i64) -> String {
    moment(ms).format("%Y-%m-%d %H:%M:%S").to_string()
}

/// The first part of a daemon's id tells it apart.
fn short(daemon: &str) -> String {
    daemon.split('-').next().unwrap_or(daemon).to_owned()
}

/// `1.250 s`
fn span(ms: i64) -> String {
    let span = TimeDelta::milliseconds(ms.max(0));
    format!("{}.{:03} s", span.num_seconds(), span.subsec_nanos() / 1_000_000)
}
