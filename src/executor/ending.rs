//! The end of a run: what becomes of the job's row, and what that means for its registration (D22).

use std::time::Duration;

use enrolld_jobs::{
    effect::{Alert, AlertCode},
    event::{Aside, Event},
    job::{Failure, JobKind, Outcome, RetryPolicy},
    values::RegistrationId,
};

use super::{
    Applied, Cause, Executor,
    run::{Ran, by_job, registration_of, trace_of},
    send::untouched,
    write::Origin,
};
use crate::{
    metrics,
    patience::Patience,
    store::{
        attempts::NewAttempt,
        entities::job,
        milliseconds,
        transition::{Guard, JobWrite, MailWrite, Transition, Verdict},
    },
};

/// Longest error text kept, in characters.
const MAX_ERROR_CHARS: usize = 1000;

/// How a run has ended, for those who count and trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended {
    /// What became of the job.
    pub(crate) result: &'static str,
    /// The class of its failure, if it has failed.
    pub(crate) class: Option<&'static str>,
}

impl Ended {
    /// With the decision that it led to.
    pub(super) const DECIDED: Self = Self {
        result: "succeeded",
        class: None,
    };

    /// With `outcome`; `is_dead` if the job has died of it.
    const fn of(outcome: &Outcome, is_dead: bool) -> Self {
        let (result, failure) = match outcome {
            Outcome::Done(_) => ("succeeded", None),
            Outcome::Snooze(..) => ("snoozed", None),
            Outcome::Retry(failure) | Outcome::Fail(failure) if is_dead => ("dead", Some(failure)),
            Outcome::Retry(failure) | Outcome::Fail(failure) => ("retried", Some(failure)),
            Outcome::Unavailable(failure) => ("postponed", Some(failure)),
        };
        let class = match failure {
            Some(failure) => Some(failure.class),
            None => None,
        };
        Self { result, class }
    }
}

/// Whether a run is through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finished {
    /// It is.
    Yes,
    /// What it rests on has changed meanwhile: it must be made again.
    Again,
}

impl Executor {
    /// Writes what the run came to, and tells it; `None` if what it rests on has changed meanwhile, and it must be made again.
    pub(super) async fn finish(&self, kind: JobKind, row: &job::Model, ran: Ran) -> Option<Ended> {
        let (write, ended) = match &ran.outcome {
            Outcome::Done(note) => (self.succeeded(row, note.clone()), true),
            Outcome::Snooze(span, note) => (self.snoozing(row, *span, note.clone()), false),
            Outcome::Unavailable(failure) => (self.retrying(row, failure, row.attempts), false),
            Outcome::Fail(failure) => (self.dead(row, failure, row.attempts + 1), true),
            Outcome::Retry(failure) => {
                let attempts = row.attempts + 1;
                let max_attempts = self.0.workers.of(kind).max_attempts;
                let policy = RetryPolicy { max_attempts };
                if policy.allows_another(u32::try_from(attempts).unwrap_or(u32::MAX)) {
                    (self.retrying(row, failure, attempts), false)
                } else {
                    (self.dead(row, failure, attempts), true)
                }
            }
        };
        let is_dead = write.state == "dead";
        let mut besides = ran.besides;
        if !ended {
            // A mail that is tried again still waits.
            besides.mail = None;
        }
        match self.end(kind, row, write, besides, ran.event).await {
            Finished::Yes => {
                let ended = Ended::of(&ran.outcome, is_dead);
                metrics::job_ended(kind, ended);
                Some(ended)
            }
            Finished::Again => None,
        }
    }

    /// Writes what became of the job, with what it means for the registration: what the run brought, else that a job of ours is dead
    /// or is so no more (D22).
    pub(super) async fn end(
        &self,
        kind: JobKind,
        row: &job::Model,
        write: JobWrite,
        mut besides: Transition,
        brought: Option<Event>,
    ) -> Finished {
        besides.attempt = NewAttempt::of(&write, milliseconds(self.now()));
        // A mail whose job is dead has failed, however that came.
        besides.mail = besides.mail.or_else(|| failed_with(kind, &write));
        let of_job = match write.state {
            "dead" => Some(Event::Aside(Aside::JobDied {
                job: write.id,
                kind,
                class: write.error_class.clone().unwrap_or_default(),
            })),
            // Only these are run again by themselves once they are dead.
            "succeeded" if kind == JobKind::ProvisioningSync => Some(Event::Aside(Aside::JobRevived { job: write.id })),
            _ => None,
        };
        let id = registration_of(row);
        if id.is_none() && write.state == "dead" {
            self.alert_of(kind, row, &write, &mut besides);
        }
        let cause = by_job(row, write.clone(), besides.clone());
        for event in brought.into_iter().chain(of_job) {
            let Some(id) = &id else { break };
            match self.apply_patiently(id, &event, &cause).await {
                Some(Applied::Dropped(Guard::Grant)) => return Finished::Again,
                Some(Applied::Changed(_) | Applied::Dropped(_)) => return Finished::Yes,
                Some(Applied::Ignored | Applied::Refused(_)) | None => {}
            }
        }
        match self.settle(write, besides).await {
            Some(Verdict::Stale(Guard::Grant)) => Finished::Again,
            Some(Verdict::Applied | Verdict::Stale(_)) | None => Finished::Yes,
        }
    }

    /// A job that somebody queued again is no case for the agents any more (D22), unless it dies again.
    pub(super) async fn revived(&self, row: &job::Model) {
        if let (Some(id), Ok(job)) = (registration_of(row), uuid::Uuid::parse_str(&row.id)) {
            let event = Event::Aside(Aside::JobRevived { job });
            self.apply_patiently(&id, &event, &Cause::Link { trace: trace_of(row) })
                .await;
        }
    }

    /// Applies what a job's end means; while that cannot be done it waits. `None` if it never can: the job's row is what counts then.
    async fn apply_patiently(&self, id: &RegistrationId, event: &Event, cause: &Cause) -> Option<Applied> {
        let mut patience = Patience::default();
        loop {
            match self.apply(id, event, cause).await {
                Ok(applied) => return Some(applied),
                Err(trouble) if trouble.is_temporary() => {
                    tracing::warn!(registration = %id, %trouble, "what became of a job waits");
                    patience.rest().await;
                }
                Err(trouble) => {
                    tracing::error!(registration = %id, %trouble, "what became of a job could not be told to its registration");
                    return None;
                }
            }
        }
    }

    /// Ops are told of a dead job that belongs to no registration.
    fn alert_of(&self, kind: JobKind, row: &job::Model, write: &JobWrite, besides: &mut Transition) {
        let class = write.error_class.clone().unwrap_or_default();
        let alert = Alert {
            code: AlertCode::JobDead,
            group: format!("{}/{class}", kind.as_str()),
            message: format!("job {} is dead: {class}", kind.as_str()),
            job: Some(write.id),
            account_id: None,
            organization_id: None,
        };
        let id = self.0.environment.random_id();
        let origin = Origin::alone(trace_of(row));
        self.0.write_alert(besides, id, &alert, &origin, self.now());
    }

    /// Comes back later, as if it had not run.
    fn snoozing(&self, row: &job::Model, span: Duration, note: String) -> JobWrite {
        JobWrite {
            state: "scheduled",
            failures: 0,
            crashes: 0,
            run_at_ms: milliseconds(self.now() + span),
            note: Some(note),
            error_class: None,
            error: None,
            ..self.job_write(row)
        }
    }

    fn retrying(&self, row: &job::Model, failure: &Failure, attempts: i64) -> JobWrite {
        let failures = row.failures + 1;
        let backoff = RetryPolicy::backoff(u32::try_from(failures).unwrap_or(u32::MAX), self.0.environment.jitter());
        let wait = failure.retry_after.unwrap_or(backoff);
        tracing::warn!(
            job = row.id,
            kind = row.kind,
            class = failure.class,
            error = failure.message,
            ?wait,
            "a job is tried again"
        );
        JobWrite {
            state: "retrying",
            attempts,
            failures,
            crashes: 0,
            run_at_ms: milliseconds(self.now() + wait),
            error_class: Some(failure.class.to_owned()),
            error: Some(shorten(&failure.message)),
            ..self.job_write(row)
        }
    }

    fn dead(&self, row: &job::Model, failure: &Failure, attempts: i64) -> JobWrite {
        tracing::error!(
            job = row.id,
            kind = row.kind,
            class = failure.class,
            error = failure.message,
            "a job is dead"
        );
        JobWrite {
            state: "dead",
            attempts,
            failures: row.failures + 1,
            crashes: 0,
            finished_ms: Some(milliseconds(self.now())),
            error_class: Some(failure.class.to_owned()),
            error: Some(shorten(&failure.message)),
            ..self.job_write(row)
        }
    }
}

/// The record of a mail whose job is dead, if it is the job of one.
fn failed_with(kind: JobKind, write: &JobWrite) -> Option<MailWrite> {
    let is_mail = match kind {
        JobKind::EmailVerification | JobKind::Notification => true,
        JobKind::Verification
        | JobKind::DaRouting
        | JobKind::DaResponseTimeout
        | JobKind::ManualReview
        | JobKind::ApplicantIdle
        | JobKind::ProvisioningSync
        | JobKind::Terms => false,
    };
    (is_mail && write.state == "dead").then(|| MailWrite {
        state: "failed",
        note: write.error.clone(),
        ..untouched(write.id)
    })
}

fn shorten(text: &str) -> String {
    text.chars().take(MAX_ERROR_CHARS).collect()
}
