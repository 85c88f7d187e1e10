//! What a job would do next, in plain words.

use chrono::{DateTime, Utc};
use enrolld_jobs::{job::JobKind, registration::Registration};

use crate::{
    cli::moments::relative_ms,
    store::entities::{job, queue},
};

/// What is next for a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Next {
    /// When, if the job acts by itself.
    pub(super) at_ms: Option<i64>,
    /// What.
    pub(super) words: String,
}

/// What `job` would do next, given its registration and who has `paused` its queue.
pub(super) fn next(
    now: DateTime<Utc>,
    job: &job::Model,
    registration: Option<&Registration>,
    paused: Option<&queue::Model>,
) -> Next {
    let kind = JobKind::from_name(&job.kind);
    let words = match job.state.as_str() {
        "dead" => {
            return Next {
                at_ms: None,
                words: format!(
                    "waits for a person: mend what it died of, then `enrolld jobs requeue {0}`; or give it up with \
                     `enrolld jobs discard {0}`",
                    job.id
                ),
            };
        }
        "running" => "its daemon is at it; should that daemon go, another takes it over".to_owned(),
        "succeeded" => "nothing: it is done".to_owned(),
        "cancelled" => "nothing: it is cancelled".to_owned(),
        "discarded" => "nothing: it was given up".to_owned(),
        "scheduled" | "retrying" | "queued" => return waiting(now, job, kind, registration, paused),
        other => format!("a later release knows what {other} means"),
    };
    Next { at_ms: None, words }
}

fn waiting(
    now: DateTime<Utc>,
    job: &job::Model,
    kind: Option<JobKind>,
    registration: Option<&Registration>,
    paused: Option<&queue::Model>,
) -> Next {
    let moved_on = job.step_bound && registration.is_some_and(|found| i64::from(found.step) != job.step);
    let what = match kind {
        _ if moved_on => "does nothing: its registration has moved on",
        Some(kind) => purpose(kind, job),
        None => "what a later release knows",
    };
    if let Some(paused) = paused {
        let words = format!(
            "waits, since its queue is paused (by {}; `enrolld queues resume {}`); then {what}",
            paused.paused_by, job.kind
        );
        return Next { at_ms: None, words };
    }
    let is_due = job.state == "queued" || job.run_at_ms <= now.timestamp_millis();
    let words = if is_due {
        format!("as soon as a worker is free: {what}")
    } else if job.state == "retrying" {
        format!("tries again {}: {what}", relative_ms(now, job.run_at_ms))
    } else {
        format!("{}: {what}", relative_ms(now, job.run_at_ms))
    };
    Next {
        at_ms: Some(job.run_at_ms),
        words,
    }
}

/// What the job is there for.
const fn purpose(kind: JobKind, job: &job::Model) -> &'static str {
    match kind {
        JobKind::Verification => "judges account, contract, serial number and address",
        JobKind::DaRouting if job.account_id.is_some() => "looks at the requests that wait for this DA",
        JobKind::DaRouting => "finds out who decides",
        JobKind::DaResponseTimeout => "reminds the DA, or asks the next one, or an agent",
        JobKind::ManualReview => "tells applicant or supervisor that the agents' case is still open",
        JobKind::ApplicantIdle => "reminds the applicant, or lets the registration expire",
        JobKind::ProvisioningSync => "brings the access to what is wanted at its target",
        JobKind::Terms => "reminds the DA of the terms, or tells ops",
        JobKind::EmailVerification | JobKind::Notification => "sends the mail, if it still makes sense",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::moment;

    fn job(kind: &str, state: &str, run_at_ms: i64) -> job::Model {
        job::Model {
            id: "a-job".to_owned(),
            kind: kind.to_owned(),
            registration_id: None,
            account_id: None,
            step: 1,
            step_bound: false,
            state: state.to_owned(),
            run_no: 1,
            attempts: 1,
            failures: 1,
            crashes: 0,
            requeues: 0,
            requeue_note: None,
            run_at_ms,
            queued_ms: None,
            started_ms: None,
            finished_ms: None,
            daemon_id: None,
            error_class: None,
            error: None,
            note: None,
            trace: None,
            created_ms: 0,
        }
    }

    #[test]
    fn every_state_says_what_comes_next() {
        let now = moment(1_795_000_000_000);
        let told = |kind: &str, state: &str, seconds: i64| {
            let at_ms = now.timestamp_millis() + seconds * 1_000;
            next(now, &job(kind, state, at_ms), None, None)
        };
        let retrying = told("notification", "retrying", 12);
        assert_eq!(
            retrying.words,
            "tries again in 12s: sends the mail, if it still makes sense"
        );
        assert_eq!(retrying.at_ms, Some(1_795_000_012_000));
        for (kind, state, seconds, words) in [
            (
                "terms",
                "scheduled",
                7_200,
                "in 2h: reminds the DA of the terms, or tells ops",
            ),
            (
                "da_routing",
                "queued",
                0,
                "as soon as a worker is free: finds out who decides",
            ),
            (
                "provisioning_sync",
                "retrying",
                -5,
                "as soon as a worker is free: brings the access to what is wanted at its target",
            ),
            ("verification", "succeeded", 0, "nothing: it is done"),
            ("verification", "discarded", 0, "nothing: it was given up"),
            ("of_tomorrow", "scheduled", 60, "in 1m: what a later release knows"),
            (
                "verification",
                "of_tomorrow",
                0,
                "a later release knows what of_tomorrow means",
            ),
        ] {
            assert_eq!(told(kind, state, seconds).words, words);
        }
        let dead = told("verification", "dead", 0);
        assert!(dead.words.contains("`enrolld jobs requeue a-job`"), "{}", dead.words);
        assert_eq!(dead.at_ms, None, "it does nothing by itself");

        let paused = queue::Model {
            kind: "terms".to_owned(),
            paused_ms: 0,
            paused_by: "operator".to_owned(),
            reason: String::new(),
        };
        let held = next(now, &job("terms", "queued", 0), None, Some(&paused));
        assert!(
            held.words.contains("by operator; `enrolld queues resume terms`"),
            "{}",
            held.words
        );
        assert_eq!(held.at_ms, None);
    }
}
