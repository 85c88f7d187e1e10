//! Runs one job: what it does. What becomes of it is in [`ending`](super::ending).

use std::{panic::AssertUnwindSafe, time::Duration};

use chrono::{DateTime, Utc};
use enrolld_jobs::{
    event::Event,
    job::{Failure, JobKind, Outcome},
    trace::Trace,
    values::RegistrationId,
};
use futures::FutureExt as _;
use tracing::Instrument as _;

use super::{Applied, Cause, Ended, Executor, Trouble};
use crate::{
    logging::traced,
    metrics,
    patience::Patience,
    queue::JobRef,
    spans::{Kind, Span},
    store::{
        entities::job,
        milliseconds,
        transition::{JobWrite, Transition, Verdict},
    },
};

/// By how much the clocks of two hosts may differ. A timer that is earlier than this is one of before the settings were changed.
const MAX_CLOCK_SKEW: Duration = Duration::from_mins(1);

/// How long the database may take to show that it is there.
const PING_WITHIN: Duration = Duration::from_secs(2);

/// Times that a run is made again because what it rests on has changed meanwhile, before it is put off.
const MAX_REPEATS: u32 = 5;

/// What a run came to, besides what it did to the registration.
pub(super) struct Ran {
    /// What becomes of the job.
    pub(super) outcome: Outcome,
    /// What else the run has changed, written with the job's row.
    pub(super) besides: Transition,
    /// What it means for the registration, if anything.
    pub(super) event: Option<Event>,
}

impl From<Outcome> for Ran {
    fn from(outcome: Outcome) -> Self {
        Self {
            outcome,
            besides: Transition::default(),
            event: None,
        }
    }
}

impl Executor {
    /// Runs the job of an entry that was read from a stream. When this returns, the entry has served.
    pub async fn run_job(&self, kind: JobKind, reference: JobRef) {
        self.run(kind, reference, false).await;
    }

    pub(super) async fn run(&self, kind: JobKind, reference: JobRef, rescued: bool) {
        let Some(mut row) = self.load(reference).await else {
            return;
        };
        // What follows from the run is the doing of this part of the work.
        let parent = trace_of(&row);
        let own = parent.part(&format!("job/{}/{}", row.id, reference.run_no));
        row.trace = Some(own.to_string());
        let (begun, mut attributes) = (self.now(), about(&row));
        // What it awaits is large.
        let run = Box::pin(self.run_loaded(kind, reference, row, rescued));
        let Some(ended) = run.instrument(traced(own)).await else {
            return;
        };
        attributes.push(("enrolld.job.result", ended.result.to_owned()));
        self.0.spans.record(|| Span {
            parent,
            own,
            name: format!("job {}", kind.as_str()).into(),
            kind: Kind::Consumer,
            begun,
            ended: self.now(),
            attributes,
            error: ended.class.map(str::to_owned),
        });
    }

    /// `None` where the entry is one of an earlier run, or somebody else's by now.
    async fn run_loaded(&self, kind: JobKind, reference: JobRef, mut row: job::Model, rescued: bool) -> Option<Ended> {
        let expected = i64::from(reference.run_no) == row.run_no;
        if !expected || !(row.state == "queued" || rescued && row.state == "running") {
            tracing::debug!(job = %reference.id, run = reference.run_no, "an entry of an earlier run is dropped");
            metrics::job_redelivered(kind);
            return None;
        }
        let _running = metrics::Running::begin(kind, self.waited(&row));
        if !kind.has_outside_effect() {
            // Nobody needs to know before the end.
            row.started_ms = Some(milliseconds(self.now()));
        } else if !self.start(&mut row).await {
            return None;
        }
        if row.requeues > 0 {
            self.revived(&row).await;
        }
        for _ in 0..MAX_REPEATS {
            // Otherwise the decision that it led to has settled the job.
            let Some(ran) = self.guarded(kind, &row).await else {
                return Some(Ended::DECIDED);
            };
            let ended = Box::pin(self.finish(kind, &row, ran)).await;
            if ended.is_some() {
                return ended;
            }
        }
        let failure = Failure::new("contention", "what the job rests on changed at every try");
        Box::pin(self.finish(kind, &row, Outcome::Unavailable(failure).into())).await
    }

    /// How long the job has been queued.
    fn waited(&self, row: &job::Model) -> Duration {
        let since = row.queued_ms.unwrap_or(row.run_at_ms);
        let waited = milliseconds(self.now()).saturating_sub(since);
        Duration::from_millis(waited.try_into().unwrap_or_default())
    }

    /// Does what the job is for, and what it leads to, within `workers.<job>.timeout`; a panic ends only this run.
    async fn guarded(&self, kind: JobKind, row: &job::Model) -> Option<Ran> {
        let time = self.0.workers.of(kind).timeout;
        let work = AssertUnwindSafe(self.work(kind, row)).catch_unwind();
        match tokio::time::timeout(time, work).await {
            Ok(Ok(ran)) => ran,
            Ok(Err(_)) => {
                let failure = Failure::new("panic", "the job panicked; the log has the place");
                Some(Outcome::Retry(failure).into())
            }
            Err(_) => Some(self.late(kind, time).await.into()),
        }
    }

    /// A run that took too long has spent an attempt, unless it was waiting for the database.
    async fn late(&self, kind: JobKind, time: Duration) -> Outcome {
        if !matches!(tokio::time::timeout(PING_WITHIN, self.0.store.ping()).await, Ok(Ok(()))) {
            return Outcome::Unavailable(Failure::new("database", "the database did not answer"));
        }
        let message = format!("the job took longer than {time:?} (workers.{}.timeout)", kind.as_str());
        Outcome::Retry(Failure::new("timeout", message))
    }

    /// Does what the job is for; `None` when the decision that it led to has settled it.
    async fn work(&self, kind: JobKind, row: &job::Model) -> Option<Ran> {
        let step = u32::try_from(row.step).unwrap_or_default();
        match kind {
            JobKind::Verification => self.happened(kind, row, Event::Verify { step }).await,
            JobKind::DaRouting => match &row.account_id {
                Some(da) => Some(self.recheck_waiting_for(da, trace_of(row)).await.into()),
                None => self.happened(kind, row, Event::Route { step }).await,
            },
            JobKind::ProvisioningSync => Some(self.sync(row).await),
            JobKind::Terms => Some(self.remind_of_terms(row).await),
            JobKind::DaResponseTimeout | JobKind::ManualReview | JobKind::ApplicantIdle => {
                self.happened(kind, row, Event::TimeIsUp { step }).await
            }
            JobKind::EmailVerification | JobKind::Notification => Some(self.send_mail(row, step).await),
        }
    }

    /// Decides on what the job brings.
    async fn happened(&self, kind: JobKind, row: &job::Model, event: Event) -> Option<Ran> {
        let Some(id) = registration_of(row) else {
            let failure = Failure::new("unreadable", "the job's registration has no valid id");
            return Some(Outcome::Fail(failure).into());
        };
        let outcome = match self
            .apply(
                &id,
                &event,
                &by_job(row, self.succeeded(row, None), Transition::default()),
            )
            .await
        {
            Ok(Applied::Changed(_)) => {
                metrics::job_ended(kind, Ended::DECIDED);
                return None;
            }
            Ok(Applied::Dropped(_)) => return None,
            Ok(Applied::Ignored) => self.ignored(&id, &event).await,
            Ok(Applied::Refused(refusal)) => {
                let message = format!("refused: {} ({})", refusal.reason.as_str(), refusal.code());
                Outcome::Fail(Failure::new("refused", message))
            }
            Err(trouble) => troubled(&trouble),
        };
        Some(outcome.into())
    }

    /// What was ignored is done with, unless a timer came too early: whoever queued it has a clock that is ahead of ours, and
    /// nothing else would wake the registration.
    async fn ignored(&self, id: &RegistrationId, event: &Event) -> Outcome {
        let done = || Outcome::Done(Some("the registration has moved on".to_owned()));
        let Event::TimeIsUp { step } = event else {
            return done();
        };
        let now = self.now();
        let is_due_soon = |at: DateTime<Utc>| now < at && at < now + MAX_CLOCK_SKEW;
        match self.0.store.registration(id).await {
            Ok(Some(found)) if found.step == *step && found.deadline.is_some_and(is_due_soon) => {
                let message = "the timer came before its time; compare the clocks of the hosts";
                Outcome::Unavailable(Failure::new("clock", message))
            }
            Ok(_) => done(),
            Err(error) => troubled(&error.into()),
        }
    }

    /// Marks the job as running, before it does something that cannot be undone. `false` if it is not ours to run.
    async fn start(&self, row: &mut job::Model) -> bool {
        let started = milliseconds(self.now());
        let write = JobWrite {
            state: "running",
            started_ms: Some(started),
            daemon_id: Some(self.0.daemon_id.clone()),
            ..self.job_write(row)
        };
        match self.settle(write, Transition::default()).await {
            Some(Verdict::Applied) => {}
            // Unless it was this very write, whose answer was lost.
            Some(Verdict::Stale(_)) if self.has_started(row, started).await => {}
            _ => return false,
        }
        "running".clone_into(&mut row.state);
        row.started_ms = Some(started);
        true
    }

    async fn has_started(&self, row: &job::Model, started: i64) -> bool {
        let Ok(id) = uuid::Uuid::parse_str(&row.id) else {
            return false;
        };
        let stored = self.patiently(|| self.0.store.job(id)).await;
        stored.is_some_and(|stored| {
            stored.run_no == row.run_no
                && stored.state == "running"
                && stored.started_ms == Some(started)
                && stored.daemon_id.as_deref() == Some(self.0.daemon_id.as_str())
        })
    }

    /// Writes what became of a job; `None` when the database refuses that for good.
    pub(super) async fn settle(&self, write: JobWrite, besides: Transition) -> Option<Verdict> {
        let id = write.id;
        let mut transition = Transition {
            job: Some(write),
            ..besides
        };
        let queued = self.0.dispatch.admit(&mut transition);
        let mut patience = Patience::default();
        loop {
            match self.0.store.commit(transition.clone()).await {
                Ok(verdict) => {
                    if verdict == Verdict::Applied {
                        self.0.dispatch.send(queued);
                        if !transition.notices.is_empty() {
                            self.0.committed.notify_one();
                        }
                    }
                    return Some(verdict);
                }
                Err(error) if error.is_temporary() => {
                    tracing::error!(job = %id, %error, "what became of a job waits until the database is mended");
                    patience.rest().await;
                }
                Err(error) => {
                    tracing::error!(job = %id, %error, "what became of a job could not be written");
                    return None;
                }
            }
        }
    }

    pub(super) async fn load(&self, reference: JobRef) -> Option<job::Model> {
        let row = self.patiently(|| self.0.store.job(reference.id)).await;
        if row.is_none() {
            tracing::warn!(job = %reference.id, "an entry of a job that is not in the database is dropped");
        }
        row
    }

    /// Asks the database until it answers: while it is away, work waits.
    pub(super) async fn patiently<T, F, E>(&self, ask: impl Fn() -> F) -> T
    where
        F: Future<Output = Result<T, E>>,
        E: std::fmt::Display,
    {
        let mut patience = Patience::default();
        loop {
            match ask().await {
                Ok(answer) => return answer,
                Err(error) => {
                    tracing::warn!(%error, "a job waits for the database");
                    patience.rest().await;
                }
            }
        }
    }

    /// The row as it is, for this daemon to change.
    pub(super) fn job_write(&self, row: &job::Model) -> JobWrite {
        JobWrite {
            id: uuid::Uuid::parse_str(&row.id).unwrap_or_default(),
            run_no: row.run_no,
            from: row.state.clone(),
            state: "running",
            attempts: row.attempts,
            failures: row.failures,
            crashes: row.crashes,
            run_at_ms: row.run_at_ms,
            started_ms: row.started_ms,
            finished_ms: None,
            daemon_id: Some(self.0.daemon_id.clone()),
            error_class: row.error_class.clone(),
            error: row.error.clone(),
            note: row.note.clone(),
        }
    }

    pub(super) fn succeeded(&self, row: &job::Model, note: Option<String>) -> JobWrite {
        JobWrite {
            state: "succeeded",
            attempts: row.attempts + 1,
            crashes: 0,
            finished_ms: Some(milliseconds(self.now())),
            note,
            ..self.job_write(row)
        }
    }
}

/// The registration that the job is for, if it is for one.
pub(super) fn registration_of(row: &job::Model) -> Option<RegistrationId> {
    RegistrationId::new(row.registration_id.as_deref()?).ok()
}

pub(super) fn by_job(row: &job::Model, job: JobWrite, besides: Transition) -> Cause {
    Cause::Job {
        job,
        besides: Box::new(besides),
        trace: trace_of(row),
    }
}

/// The trace that the job belongs to; its own where it was made without one.
pub(super) fn trace_of(row: &job::Model) -> Trace {
    let kept = row.trace.as_deref().and_then(Trace::of_kept);
    kept.unwrap_or_else(|| Trace::of_id(uuid::Uuid::parse_str(&row.id).unwrap_or(uuid::Uuid::max())))
}

/// What is away is nobody's fault; what the database refuses is ours.
pub(super) fn troubled(trouble: &Trouble) -> Outcome {
    let failure = Failure::new(trouble.class(), trouble.to_string());
    if trouble.is_temporary() {
        Outcome::Unavailable(failure)
    } else {
        Outcome::Retry(failure)
    }
}

/// What is told of a job with its span.
fn about(row: &job::Model) -> Vec<(&'static str, String)> {
    let registration = row.registration_id.clone();
    let mut about = vec![
        ("enrolld.job.id", row.id.clone()),
        ("enrolld.job.kind", row.kind.clone()),
        ("enrolld.job.run", row.run_no.to_string()),
    ];
    about.extend(registration.map(|id| ("enrolld.registration.id", id)));
    about
}
