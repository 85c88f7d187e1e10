//! The one list of metrics: rules, dashboard and tests are held against it.
//!
//! Names follow the conventions of Prometheus: base units, `_total` for what only grows. Every label has few values: kinds, states and
//! classes are of the program, targets and paths of its settings and routes.

/// A family of metrics.
#[derive(Debug, Clone, Copy)]
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it tells, in a sentence.
    pub help: &'static str,
}

/// How a metric behaves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// It counts observations, by these upper bounds.
    Histogram(&'static [f64]),
}

/// Transitions of a batch.
const BATCH: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0];

/// Seconds that work takes.
const WORK: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

/// Seconds that work waits.
const WAIT: &[f64] = &[
    0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 21_600.0,
];

/// Seconds that people take: to a month.
const STATE: &[f64] = &[
    0.1,
    1.0,
    10.0,
    60.0,
    600.0,
    3600.0,
    21_600.0,
    86_400.0,
    259_200.0,
    604_800.0,
    2_592_000.0,
];

/// Declares the families, each with a constant for its name.
macro_rules! families {
    ($($constant:ident = $name:literal, $kind:expr, [$($label:literal),*], $help:literal;)*) => {
        $(#[doc = $help] pub const $constant: &str = $name;)*

        /// Every family.
        pub const ALL: &[Family] = &[$(Family { name: $name, kind: $kind, labels: &[$($label),*], help: $help },)*];
    };
}

families! {
    BUILD_INFO = "enrolld_build_info", Kind::Gauge, ["version"],
        "Always 1; the label has the release.";
    DEPENDENCY_UP = "enrolld_dependency_up", Kind::Gauge, ["dependency"],
        "Whether the database, Redis or the mail server answered when it was last asked; the mail server is asked when there is mail.";
    TARGET_UP = "enrolld_target_up", Kind::Gauge, ["target"],
        "Whether a provisioning target answered as it should when it was last called.";
    GATHERED = "enrolld_gathered_timestamp_seconds", Kind::Gauge, ["source"],
        "When the gauges that come from the database, or from Redis, were last gathered.";
    DAEMONS_ALIVE = "enrolld_daemons_alive", Kind::Gauge, [],
        "Daemons on this database that have given a sign of life lately.";

    JOB_RUNS = "enrolld_job_runs_total", Kind::Counter, ["kind", "result"],
        "Runs of jobs that have ended: succeeded, snoozed, retried (failed by its own fault), postponed (something is away), dead.";
    JOB_FAILURES = "enrolld_job_failures_total", Kind::Counter, ["kind", "class"],
        "Runs of jobs that failed, by the class of the error.";
    JOB_RUN_DURATION = "enrolld_job_run_duration_seconds", Kind::Histogram(WORK), ["kind"],
        "How long runs of jobs took.";
    JOB_WAIT_DURATION = "enrolld_job_wait_duration_seconds", Kind::Histogram(WAIT), ["kind"],
        "How long jobs were queued before they were run.";
    JOBS_RUNNING = "enrolld_jobs_running", Kind::Gauge, ["kind"],
        "Jobs that this daemon runs now.";
    JOB_REDELIVERIES = "enrolld_job_redeliveries_total", Kind::Counter, ["kind"],
        "Entries of queues that came again after their run was over; they were dropped.";
    JOB_RESCUES = "enrolld_job_rescues_total", Kind::Counter, ["kind"],
        "Jobs taken over from daemons that were gone.";
    JOBS_ADDED_AGAIN = "enrolld_jobs_added_again_total", Kind::Counter, ["kind"],
        "Queued jobs that had been lost from their stream and were added again.";
    QUEUE_WAITING = "enrolld_queue_waiting_jobs", Kind::Gauge, ["kind"],
        "Jobs that are queued in the database, counted no further than 10000.";
    QUEUE_OLDEST_AGE = "enrolld_queue_oldest_age_seconds", Kind::Gauge, ["kind"],
        "How long the oldest queued job has been queued; 0 when none is.";
    QUEUE_UNREAD = "enrolld_queue_unread_entries", Kind::Gauge, ["kind"],
        "Entries of the stream that no worker has read yet.";
    QUEUE_PAUSED = "enrolld_queue_paused", Kind::Gauge, ["kind"],
        "Whether the queue is paused by hand.";
    JOBS_RETRYING = "enrolld_retrying_jobs", Kind::Gauge, ["kind"],
        "Jobs that failed and wait to be tried again; retrying and dead ones together are counted no further than 10000.";
    JOBS_DEAD = "enrolld_dead_jobs", Kind::Gauge, ["kind"],
        "Jobs that are dead and wait for a person; retrying and dead ones together are counted no further than 10000.";

    REGISTRATIONS = "enrolld_registrations", Kind::Gauge, ["state"],
        "Registrations, by state.";
    REGISTRATION_CHANGES = "enrolld_registration_changes_total", Kind::Counter, ["state"],
        "Decisions on registrations that were committed, by the state that they led to.";
    STATE_DURATION = "enrolld_registration_state_duration_seconds", Kind::Histogram(STATE), ["state"],
        "How long registrations had been in the state that they left.";
    DEADLINES_OVERDUE = "enrolld_deadlines_overdue", Kind::Gauge, ["deadline"],
        "What is overdue: timers (due for a minute, not queued, and their queue not paused), reviews (past review.sla), provisioning (past provisioning.within). Counted no further than 10000.";

    COMMIT_BATCH = "enrolld_commit_batch_transitions", Kind::Histogram(BATCH), [],
        "Transitions that were committed together.";
    COMMIT_DURATION = "enrolld_commit_duration_seconds", Kind::Histogram(WORK), [],
        "How long the database took to commit a batch.";

    INTAKE_EVENTS = "enrolld_intake_events_total", Kind::Counter, ["result"],
        "Upstream events that had their turn: applied, refused, repeated.";
    INTAKE_REFUSALS = "enrolld_intake_refusals_total", Kind::Counter, ["reason"],
        "Upstream events that were refused, by reason.";
    INTAKE_DURATION = "enrolld_intake_duration_seconds", Kind::Histogram(WAIT), [],
        "From the moment upstream added an event, by the clock of Redis, until it was applied.";
    INTAKE_WAITING = "enrolld_intake_waiting_events", Kind::Gauge, ["stage"],
        "Upstream events not taken in yet (stream), or taken in and not applied yet (inbox, counted no further than 10000).";
    INTAKE_LAG = "enrolld_intake_lag_seconds", Kind::Gauge, ["stage"],
        "Age of the oldest event that waits to be taken in (stream) or to be applied (inbox); 0 when none does.";

    NOTICES_WAITING = "enrolld_notices_waiting", Kind::Gauge, [],
        "Events on their way out to the stream of results, counted no further than 10000.";
    EVENTS_OUT = "enrolld_events_out_total", Kind::Counter, ["stream"],
        "Events brought out, by stream: events, rejected.";
    ALERTS = "enrolld_alerts_total", Kind::Counter, ["code"],
        "Alerts to ops, by code.";

    MAILS = "enrolld_mails_total", Kind::Counter, ["kind", "result"],
        "Mails: sent, skipped (made no sense any more), refused by the server, postponed (it was away), invalid.";
    MAIL_SEND_DURATION = "enrolld_mail_send_duration_seconds", Kind::Histogram(WORK), [],
        "How long the mail server took for a mail.";
    TARGET_CALLS = "enrolld_target_calls_total", Kind::Counter, ["target", "method", "answer"],
        "Calls of provisioning targets: accepted, done, missing, not_now (its fault), refused.";
    TARGET_CALL_DURATION = "enrolld_target_call_duration_seconds", Kind::Histogram(WORK), ["target"],
        "How long calls of a provisioning target took.";
    HTTP_REQUEST_DURATION = "enrolld_http_request_duration_seconds", Kind::Histogram(WORK), ["path", "status"],
        "How long HTTP requests took, by the template of the path and the first digit of the status.";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_say_their_unit() {
        let names: BTreeSet<_> = ALL.iter().map(|family| family.name).collect();
        assert_eq!(names.len(), ALL.len());
        for family in ALL {
            assert!(family.name.starts_with("enrolld_"), "{}", family.name);
            assert_eq!(
                family.kind == Kind::Counter,
                family.name.ends_with("_total"),
                "{}",
                family.name
            );
            assert!(family.help.ends_with('.'), "{}", family.name);
        }
    }

    #[test]
    fn bounds_ascend() {
        for family in ALL {
            if let Kind::Histogram(bounds) = family.kind {
                assert!(bounds.is_sorted(), "{}", family.name);
            }
        }
    }
}
