//! What the daemon tells Prometheus of itself (contract, section 6: `/metrics`).
//!
//! [`names`] has the one list. Whoever does something notes it here, by a function that knows the labels; what has to be asked of the
//! database or Redis is gathered by [`watch`](crate::watch), never by the scrape. Noting is a few atomic operations, and nothing at all
//! in a process that does not serve `/metrics`.

pub mod names;

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use ::metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use enrolld_jobs::{
    effect::{AlertCode, MailKind},
    job::JobKind,
    provisioning_sync::{Answer, Call},
    refusal::Reason,
    registration::StateName,
};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_util::MetricKindMask;

use self::names::Kind;
use crate::{executor::Ended, settings::ProvisioningTarget};

/// A gauge that has not been set for so long is shown no more: better nothing than what was true once. More than the minute that may
/// lie between two calls of a target which is down.
pub const STALE_AFTER: Duration = Duration::from_mins(3);

/// Jobs that this process runs now, by kind.
static RUNNING: [AtomicU64; JobKind::ALL.len()] = [const { AtomicU64::new(0) }; JobKind::ALL.len()];

/// What a process can show.
#[derive(Clone)]
pub struct Exposition(PrometheusHandle);

impl std::fmt::Debug for Exposition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exposition").finish_non_exhaustive()
    }
}

impl Exposition {
    /// From here on what is noted is counted; once for a process, whose daemons share it.
    pub fn start(targets: &[ProvisioningTarget]) -> Self {
        static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
        let handle = HANDLE.get_or_init(|| {
            let recorder = builder().build_recorder();
            let handle = recorder.handle();
            if ::metrics::set_global_recorder(recorder).is_err() {
                tracing::warn!("somebody else counts in this process; /metrics shows nothing");
            }
            describe();
            begin_at_zero();
            handle
        });
        for target in targets {
            // So that the first failure is a rise, and not the first that is ever seen of it.
            counter!(names::TARGET_CALLS, "target" => target.name.clone(), "method" => "PUT", "answer" => "done")
                .absolute(0);
        }
        Self(handle.clone())
    }

    /// Everything, in the text format of Prometheus.
    pub fn render(&self) -> String {
        gauge!(names::BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        for (kind, running) in JobKind::ALL.iter().zip(&RUNNING) {
            set(
                names::JOBS_RUNNING,
                "kind",
                kind.as_str(),
                running.load(Ordering::Relaxed),
            );
        }
        self.0.render()
    }

    /// Folds observations into their histograms. Between two scrapes, or without any, they would pile up otherwise.
    pub fn tidy_up(&self) {
        self.0.run_upkeep();
    }
}

fn builder() -> PrometheusBuilder {
    let mut builder = PrometheusBuilder::new().idle_timeout(MetricKindMask::GAUGE, Some(STALE_AFTER));
    for family in names::ALL {
        if let Kind::Histogram(bounds) = family.kind {
            builder = builder
                .set_buckets_for_metric(Matcher::Full(family.name.to_owned()), bounds)
                .expect("every histogram has bounds");
        }
    }
    builder
}

fn describe() {
    for family in names::ALL {
        match family.kind {
            Kind::Counter => describe_counter!(family.name, family.help),
            Kind::Gauge => describe_gauge!(family.name, family.help),
            Kind::Histogram(_) => describe_histogram!(family.name, family.help),
        }
    }
}

/// Counters whose labels are known are there from the start: a first failure would not be seen as a rise otherwise.
fn begin_at_zero() {
    for kind in JobKind::ALL {
        for result in ["succeeded", "snoozed", "retried", "postponed", "dead"] {
            counter!(names::JOB_RUNS, "kind" => kind.as_str(), "result" => result).absolute(0);
        }
        for name in [names::JOB_REDELIVERIES, names::JOB_RESCUES, names::JOBS_ADDED_AGAIN] {
            counter!(name, "kind" => kind.as_str()).absolute(0);
        }
    }
    for state in StateName::ALL {
        counter!(names::REGISTRATION_CHANGES, "state" => state.as_str()).absolute(0);
    }
    for result in ["applied", "refused", "repeated"] {
        counter!(names::INTAKE_EVENTS, "result" => result).absolute(0);
    }
    for reason in Reason::ALL {
        counter!(names::INTAKE_REFUSALS, "reason" => reason.as_str()).absolute(0);
    }
    for stream in ["events", "rejected"] {
        counter!(names::EVENTS_OUT, "stream" => stream).absolute(0);
    }
    for code in AlertCode::ALL {
        counter!(names::ALERTS, "code" => code.as_str()).absolute(0);
    }
    for kind in MailKind::ALL {
        counter!(names::MAILS, "kind" => kind.as_str(), "result" => "sent").absolute(0);
    }
}

/// Sets a gauge without labels.
pub(crate) fn set_one(name: &'static str, value: u64) {
    gauge!(name).set(float(value));
}

/// Sets the gauge of one value of its label.
pub(crate) fn set(name: &'static str, label: &'static str, value: &'static str, number: u64) {
    gauge!(name, label => value).set(float(number));
}

/// Sets the gauge of one value of its label to a span, in seconds.
pub(crate) fn set_span(name: &'static str, label: &'static str, value: &'static str, span: Duration) {
    gauge!(name, label => value).set(span.as_secs_f64());
}

/// The gauges' numbers are floating-point: exact up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "a gauge of more than 2^53 need not be exact")]
fn float(number: u64) -> f64 {
    number as f64
}

/// A job's run, from its begin to the drop.
pub(crate) struct Running {
    kind: JobKind,
    since: tokio::time::Instant,
}

impl Running {
    /// The run of a job that was queued for `waited` begins.
    pub(crate) fn begin(kind: JobKind, waited: Duration) -> Self {
        RUNNING[kind as usize].fetch_add(1, Ordering::Relaxed);
        histogram!(names::JOB_WAIT_DURATION, "kind" => kind.as_str()).record(waited);
        Self {
            kind,
            since: tokio::time::Instant::now(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        RUNNING[self.kind as usize].fetch_sub(1, Ordering::Relaxed);
        histogram!(names::JOB_RUN_DURATION, "kind" => self.kind.as_str()).record(self.since.elapsed());
    }
}

/// A run has ended.
pub(crate) fn job_ended(kind: JobKind, ended: Ended) {
    count_run(kind, ended.result);
    if let Some(class) = ended.class {
        count_failure(kind, class);
    }
}

/// A job that ends daemons is given up.
pub(crate) fn job_given_up(kind: JobKind) {
    count_run(kind, "dead");
    count_failure(kind, "poison");
}

fn count_run(kind: JobKind, result: &'static str) {
    counter!(names::JOB_RUNS, "kind" => kind.as_str(), "result" => result).increment(1);
}

fn count_failure(kind: JobKind, class: &'static str) {
    counter!(names::JOB_FAILURES, "kind" => kind.as_str(), "class" => class).increment(1);
}

/// An entry has come again after its run.
pub(crate) fn job_redelivered(kind: JobKind) {
    counter!(names::JOB_REDELIVERIES, "kind" => kind.as_str()).increment(1);
}

/// A job of a daemon that is gone is taken over.
pub(crate) fn job_rescued(kind: JobKind) {
    counter!(names::JOB_RESCUES, "kind" => kind.as_str()).increment(1);
}

/// Jobs had been lost from their stream.
pub(crate) fn jobs_added_again(kind: JobKind, number: usize) {
    counter!(names::JOBS_ADDED_AGAIN, "kind" => kind.as_str()).increment(number as u64);
}

/// A registration is in `to` now; `left` is the state that it was in before, and for how long, where that is another.
pub(crate) fn registration_changed(to: StateName, left: Option<(StateName, Duration)>) {
    counter!(names::REGISTRATION_CHANGES, "state" => to.as_str()).increment(1);
    if let Some((state, span)) = left {
        histogram!(names::STATE_DURATION, "state" => state.as_str()).record(span);
    }
}

/// A batch is committed.
pub(crate) fn committed(transitions: usize, took: Duration) {
    histogram!(names::COMMIT_BATCH).record(float(transitions as u64));
    histogram!(names::COMMIT_DURATION).record(took);
}

/// An upstream event is applied, that was added so long ago.
pub(crate) fn event_applied(age: Duration) {
    count_event("applied");
    histogram!(names::INTAKE_DURATION).record(age);
}

/// An upstream event repeats an applied one.
pub(crate) fn event_repeated() {
    count_event("repeated");
}

/// An upstream event is refused, for a reason of the contract.
pub(crate) fn event_refused(reason: &'static str) {
    count_event("refused");
    counter!(names::INTAKE_REFUSALS, "reason" => reason).increment(1);
}

fn count_event(result: &'static str) {
    counter!(names::INTAKE_EVENTS, "result" => result).increment(1);
}

/// Events are in their stream: `events` or `rejected`.
pub(crate) fn brought_out(stream: &'static str, number: usize) {
    counter!(names::EVENTS_OUT, "stream" => stream).increment(number as u64);
}

/// Ops are told.
pub(crate) fn alerted(code: AlertCode) {
    counter!(names::ALERTS, "code" => code.as_str()).increment(1);
}

/// What became of a mail.
pub(crate) fn mail(kind: MailKind, result: &'static str) {
    counter!(names::MAILS, "kind" => kind.as_str(), "result" => result).increment(1);
}

/// The mail server was given a mail, and has answered or not.
pub(crate) fn mail_server_asked(answered: bool, took: Duration) {
    dependency("smtp", answered);
    histogram!(names::MAIL_SEND_DURATION).record(took);
}

/// A target was called.
pub(crate) fn target_called(target: &str, call: Call, answer: &Answer, took: Duration) {
    let method = call.method();
    let (answer, up) = match answer {
        Answer::Accepted => ("accepted", true),
        Answer::Done => ("done", true),
        Answer::Missing => ("missing", true),
        Answer::Refused { .. } => ("refused", true),
        Answer::NotNow { .. } => ("not_now", false),
    };
    let target = target.to_owned();
    counter!(names::TARGET_CALLS, "target" => target.clone(), "method" => method, "answer" => answer).increment(1);
    gauge!(names::TARGET_UP, "target" => target.clone()).set(f64::from(u8::from(up)));
    histogram!(names::TARGET_CALL_DURATION, "target" => target).record(took);
}

/// Whether something that the daemon stands on is there.
pub(crate) fn dependency(name: &'static str, up: bool) {
    set(names::DEPENDENCY_UP, "dependency", name, u64::from(up));
}

/// A request is answered; `path` is the template of its path.
pub(crate) fn request_answered(path: &str, status: u16, took: Duration) {
    let class = match status / 100 {
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        5 => "5xx",
        _ => "1xx",
    };
    histogram!(names::HTTP_REQUEST_DURATION, "path" => path.to_owned(), "status" => class).record(took);
}

#[cfg(test)]
mod tests {
    use std::thread::sleep;

    use super::*;

    #[test]
    fn a_gauge_that_is_set_no_more_is_shown_no_more_and_a_counter_stays() {
        let recorder = builder()
            .idle_timeout(MetricKindMask::GAUGE, Some(Duration::from_millis(1)))
            .build_recorder();
        let handle = recorder.handle();
        ::metrics::with_local_recorder(&recorder, || {
            describe();
            dependency("redis", true);
            job_redelivered(JobKind::Terms);
            let shown = handle.render();
            assert!(
                shown.contains("enrolld_dependency_up{dependency=\"redis\"} 1"),
                "{shown}"
            );
            // It is the library's clock that tells, and a moment is all that it takes.
            while handle.render().contains("enrolld_dependency_up{") {
                sleep(Duration::from_millis(1));
            }
            assert!(
                handle
                    .render()
                    .contains("enrolld_job_redeliveries_total{kind=\"terms\"} 1")
            );
        });
    }

    #[test]
    fn every_kind_of_job_has_its_place() {
        for (index, kind) in JobKind::ALL.iter().enumerate() {
            assert_eq!(*kind as usize, index);
        }
    }
}
