//! Takes over the run of a job whose daemon is gone.

use enrolld_jobs::job::JobKind;
use tracing::Instrument as _;

use super::{Executor, run::trace_of};
use crate::{
    logging::traced,
    metrics,
    queue::JobRef,
    store::{
        entities::job,
        milliseconds,
        transition::{JobWrite, Transition},
    },
};

/// Runs that end their daemon before a job is given up (ARCHITECTURE, "Recovery").
const MAX_CRASHES: i64 = 3;

/// A daemon that is gone, and had an entry of a job.
#[derive(Debug, Clone, Copy)]
pub struct Gone<'a> {
    /// Its id.
    pub daemon: &'a str,
    /// Whether it had the entry of another daemon that was gone.
    pub is_rescuer: bool,
}

impl Gone<'_> {
    /// The run of the job that it had, going by the entry that it held; `None` when that is over, or somebody else's. A rescuer holds the
    /// entry of the first run, and the job is as many runs further as daemons have ended.
    fn had(self, entry: JobRef, row: &job::Model) -> Option<JobRef> {
        let is_its = row.state == "queued" || row.state == "running" && row.daemon_id.as_deref() == Some(self.daemon);
        let first = i64::from(entry.run_no);
        let last = if self.is_rescuer { first + row.crashes } else { first };
        let run_no = u32::try_from(row.run_no).ok()?;
        (is_its && (first..=last).contains(&row.run_no)).then_some(JobRef { run_no, ..entry })
    }
}

impl Executor {
    /// Runs the job of an entry that a daemon had which is gone. That may have been this job's doing, so it is noted first; a
    /// job that ends daemon after daemon is given up. It is another run: should the daemon only have been silent, what it still
    /// writes of the earlier run is stale.
    pub async fn rescue_job(&self, kind: JobKind, reference: JobRef, gone: Gone<'_>) {
        let Some(run) = self.load(reference).await.and_then(|row| gone.had(reference, &row)) else {
            tracing::debug!(job = %reference.id, run = reference.run_no, "an entry of a run that is over is dropped");
            metrics::job_redelivered(kind);
            return;
        };
        let noted = self
            .patiently(|| Box::pin(self.0.store.note_crash(run, gone.daemon, self.now())))
            .await;
        let Some((crashes, reference)) = noted else {
            return;
        };
        if crashes < MAX_CRASHES {
            metrics::job_rescued(kind);
            tracing::info!(job = %reference.id, kind = kind.as_str(), crashes, "taking over a job of a daemon that is gone");
            self.run(kind, reference, true).await;
            return;
        }
        if let Some(row) = self.load(reference).await {
            self.end_as_poison(kind, &row, crashes)
                .instrument(traced(trace_of(&row)))
                .await;
        }
    }

    /// The job has ended a daemon too often.
    async fn end_as_poison(&self, kind: JobKind, row: &job::Model, crashes: i64) {
        let write = JobWrite {
            state: "dead",
            finished_ms: Some(milliseconds(self.now())),
            error_class: Some("poison".to_owned()),
            error: Some(format!("its run ended the daemon {crashes} times")),
            ..self.job_write(row)
        };
        tracing::error!(
            job = row.id,
            kind = kind.as_str(),
            crashes,
            "a job that ends daemons is given up"
        );
        metrics::job_given_up(kind);
        self.end(kind, row, write, Transition::default(), None).await;
    }
}
