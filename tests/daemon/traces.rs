//! A trace follows a request from upstream's event through every job to the mail, and out again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use enrolld_jobs::trace::Trace;
use serde_json::{Value, json};

use crate::provisioning;
use crate::steps::{JOINER, NEWBIE, changes, press, select, wait_rejected};
use crate::support::collector::{Collector, Span};
use crate::support::daemon::TestDaemon;
use crate::support::database::Database;
use crate::support::events;
use crate::support::target::{Manner, Target};

crate::support::for_each_database!(
    a_trace_follows_each_event_through_every_job_to_the_mail,
    an_event_without_a_trace_and_a_link_have_their_own,
);

const FIRST: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SECOND: &str = "0af7651916cd43dd8448eb211c80319c";
const THIRD: &str = "c0ffee00c0ffee00c0ffee00c0ffee00";

fn traced(mut event: Value, trace: &str) -> Value {
    event["traceparent"] = format!("00-{trace}-00f067aa0ba902b7-01").into();
    event
}

/// Whose trace the `registration.changed` of each version belongs to.
async fn traces_out(daemon: &TestDaemon, registration: &str) -> BTreeMap<u64, Trace> {
    let sent = changes(daemon, registration).await;
    let of = |event: &Value| {
        let version = event["data"]["version"].as_u64().expect("a version");
        let trace = event["traceparent"].as_str().and_then(Trace::of_traceparent);
        (version, trace.unwrap_or_else(|| panic!("a traceparent: {event}")))
    };
    sent.iter().map(of).collect()
}

async fn a_trace_follows_each_event_through_every_job_to_the_mail(database: Database) {
    let daemon = TestDaemon::builder(database)
        .setting("log.format", "json")
        .setting("log.filter", "warn,enrolld::executor=info")
        .start()
        .await;
    daemon.send(&traced(JOINER.submitted("reg-1"), FIRST)).await;
    daemon.wait_state("reg-1", "awaiting_confirmation").await;
    daemon.send(&traced(events::confirmed("reg-1"), SECOND)).await;
    daemon.wait_state("reg-1", "awaiting_da").await;
    daemon.wait_kind("access_request", "reg-1", 1).await;
    let granted = events::da_granted("reg-1", "boss", "customer_user");
    daemon.send(&traced(granted, THIRD)).await;
    daemon.wait_state("reg-1", "active").await;
    daemon.wait_kind("access_approved", "reg-1", 1).await;

    let jobs = daemon
        .rows("SELECT kind, trace FROM jobs ORDER BY created_ms, kind")
        .await;
    assert!(jobs.len() >= 6, "{jobs:#?}");
    for job in &jobs {
        let trace = job["trace"]
            .as_str()
            .and_then(Trace::of_kept)
            .expect("every job has a trace");
        let wanted: &[&str] = match job["kind"].as_str().expect("a name") {
            "verification" | "da_routing" | "applicant_idle" => &[FIRST],
            "da_response_timeout" => &[SECOND],
            _ => &[SECOND, THIRD],
        };
        assert!(wanted.contains(&trace.id().as_str()), "{job}");
    }
    let out: Vec<_> = traces_out(&daemon, "reg-1")
        .await
        .into_values()
        .map(Trace::id)
        .collect();
    let confirmed = out
        .iter()
        .position(|trace| trace == SECOND)
        .expect("one was of the second");
    assert!(out[..confirmed].iter().all(|trace| trace == FIRST), "{out:?}");
    assert_eq!(out[confirmed..], [SECOND, THIRD], "{out:?}");

    // In the log the mail's line has the trace of what it is for.
    let log = daemon.log();
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect();
    for (kind, trace) in [("access_request", SECOND), ("access_approved", THIRD)] {
        let is_sent = |line: &&Value| line["message"] == "mail sent" && line["kind"] == kind;
        let line = lines.iter().find(is_sent).unwrap_or_else(|| panic!("{kind}:\n{log}"));
        assert_eq!(line["span"]["trace_id"], trace, "{line}");
    }
    let changed = lines.iter().filter(|line| line["message"] == "registration changed");
    let logged: BTreeMap<_, _> = changed
        .map(|line| {
            (
                line["version"].as_u64(),
                line["span"]["trace_id"].as_str().unwrap_or_default(),
            )
        })
        .collect();
    let logged: Vec<_> = logged.into_values().collect();
    assert_eq!(logged, out);
}

async fn an_event_without_a_trace_and_a_link_have_their_own(database: Database) {
    let daemon = TestDaemon::builder(database).start().await;
    let mail = select(&daemon, "reg-1", NEWBIE, "acme").await;
    press(&daemon, &mail).await;
    daemon.wait_state("reg-1", "active").await;
    // What is no trace is no reason to refuse, and is not believed.
    let mut odd = JOINER.submitted("reg-2");
    odd["traceparent"] = json!(["joiner@globex.example"]);
    daemon.send(&odd).await;
    daemon.wait_state("reg-2", "awaiting_confirmation").await;

    let out = traces_out(&daemon, "reg-1").await;
    let submitted = daemon
        .rows("SELECT source, event_id, type FROM inbox WHERE type = 'registration.submitted' ORDER BY seq")
        .await;
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let own = |row: &Value| Trace::of_event(&text(&row["source"]), &text(&row["event_id"]));
    assert_eq!(out[&1].id(), own(&submitted[0]).id());
    let odd = traces_out(&daemon, "reg-2").await;
    assert_eq!(odd[&1].id(), own(&submitted[1]).id());
    // The last change is the link's, or what a job made of it.
    let last = out.last_key_value().expect("there are changes").1.id();
    assert!(out.values().filter(|trace| trace.id() == last).count() < out.len());
    assert_ne!(last, out[&1].id());
}

#[tokio::test]
async fn without_a_journal_the_log_is_text_and_says_so() {
    let daemon = TestDaemon::builder(Database::Sqlite)
        .setting("log.format", "journald")
        .start()
        .await;
    let log = daemon.log();
    let told = log.contains("there is no journal here");
    assert_eq!(told, !Path::new("/run/systemd/journal/socket").exists(), "{log}");
}

/// The one span of this name of which the attribute has this value.
fn span_of<'s>(spans: &'s [Span], name: &str, attribute: &str, value: &str) -> &'s Span {
    let is_it = |span: &&Span| span.name == name && span.attributes.get(attribute).is_some_and(|is| is == value);
    let found: Vec<_> = spans.iter().filter(is_it).collect();
    let [span] = found.as_slice() else {
        panic!("one {name} with {attribute} {value}: {spans:#?}")
    };
    span
}

/// Whether this is of the last mail, or the last event.
fn is_last(span: &Span) -> bool {
    let is = |name: &str, value: &str| span.attributes.get(name).is_some_and(|is| is == value);
    is("enrolld.mail.kind", "access_approved") || is("error.type", "not_allowed")
}

/// What holds of all spans.
fn are_well_made(spans: &[Span]) {
    let ids: BTreeSet<_> = spans.iter().map(|span| (&span.trace, &span.id)).collect();
    assert_eq!(ids.len(), spans.len(), "each has an id of its own: {spans:#?}");
    for span in spans {
        assert!(
            span.attributes.values().all(|value| !value.contains('@')),
            "no address: {span:?}"
        );
        assert_eq!(span.service["service.name"], "enrolld");
        assert!(span.service.contains_key("service.instance.id"));
    }
}

#[tokio::test]
async fn each_part_of_the_work_is_a_span_of_the_trace() {
    let (collector, target) = (Collector::start().await, Target::start("collector"));
    target.script("joiner", [Manner::Status(503)]);
    target.always("joiner", Manner::Well);
    let mut daemon = provisioning::builder(Database::Sqlite, &[&target])
        .setting("tracing.otlp_endpoint", collector.url())
        .setting("tracing.otlp_authorization", "Bearer the-secret-of-the-collector")
        .start()
        .await;
    daemon.send(&traced(JOINER.submitted("reg-1"), FIRST)).await;
    daemon.wait_state("reg-1", "awaiting_confirmation").await;
    daemon.send(&traced(events::confirmed("reg-1"), SECOND)).await;
    daemon.wait_kind("access_request", "reg-1", 1).await;
    daemon
        .send(&traced(events::da_granted("reg-1", "boss", "customer_user"), THIRD))
        .await;
    daemon.wait_state("reg-1", "active").await;
    daemon.wait_kind("access_approved", "reg-1", 1).await;
    // Too late: it is not the DA's turn any more.
    daemon.send(&events::da_denied("reg-1", "boss", "no")).await;
    wait_rejected(&daemon, 1).await;
    let out = traces_out(&daemon, "reg-1").await;
    collector
        .wait("the last of them", |spans| {
            spans.iter().filter(|span| is_last(span)).count() == 2
        })
        .await;
    // What is left is sent at the end.
    assert_eq!(daemon.terminate().code(), Some(0));
    let spans = collector.wait("spans", |spans| !spans.is_empty()).await;

    // Upstream's span, its event, the job that came of that, and what the job led to.
    let submitted = span_of(&spans, "event", "cloudevents.event_type", "registration.submitted");
    assert_eq!(
        (submitted.trace.as_str(), submitted.parent.as_str()),
        (FIRST, "00f067aa0ba902b7")
    );
    assert_eq!(submitted.attributes["enrolld.registration.id"], "reg-1");
    let verification = span_of(&spans, "job verification", "enrolld.job.kind", "verification");
    assert_eq!(
        (verification.trace.as_str(), &verification.parent),
        (FIRST, &submitted.id)
    );
    assert_eq!(verification.attributes["enrolld.job.result"], "succeeded");
    let routing = span_of(&spans, "job da_routing", "enrolld.job.kind", "da_routing");
    assert_eq!(routing.parent, verification.id);
    // What goes out names the part of the work that it is of.
    let told = |version: u64| out[&version].span().map(|span| format!("{span:016x}"));
    let of: Vec<_> = (1..=3).map(told).collect();
    assert_eq!(
        of,
        [&submitted.id, &verification.id, &routing.id].map(|id| Some(id.clone()))
    );

    // A mail and the calls of a target, each within the run of its job.
    let confirmed = span_of(&spans, "event", "cloudevents.event_type", "registration.confirmed");
    let mail = span_of(&spans, "mail", "enrolld.mail.kind", "access_request");
    let notification = spans.iter().find(|span| span.id == mail.parent).expect("its job");
    assert_eq!(
        (notification.name.as_str(), &notification.parent),
        ("job notification", &confirmed.id)
    );
    assert!(notification.nanoseconds >= mail.nanoseconds);
    let calls: Vec<_> = spans.iter().filter(|span| span.name == "PUT").collect();
    assert_eq!(
        calls.iter().map(|call| call.failed).collect::<Vec<_>>(),
        [true, false],
        "{calls:#?}"
    );
    assert_eq!(calls[0].attributes["error.type"], "target_unavailable");
    assert!(
        calls
            .iter()
            .all(|call| call.attributes["enrolld.target"] == "collector")
    );
    let runs: Vec<_> = calls.iter().map(|call| &call.parent).collect();
    assert_ne!(runs[0], runs[1], "each in a run of its own");
    let postponed = spans.iter().find(|span| &span.id == runs[0]).expect("its job");
    assert_eq!(
        (postponed.name.as_str(), postponed.failed),
        ("job provisioning_sync", true)
    );
    assert_eq!(postponed.trace, THIRD);

    let mut decided: Vec<_> = spans
        .iter()
        .filter(|span| {
            span.attributes
                .get("cloudevents.event_type")
                .is_some_and(|kind| kind == "registration.da_decided")
        })
        .collect();
    decided.sort_by_key(|span| span.failed);
    let errors: Vec<_> = decided
        .iter()
        .map(|span| span.attributes.get("error.type").map(String::as_str))
        .collect();
    assert_eq!(errors, [None, Some("not_allowed")]);

    are_well_made(&spans);
    let authorizations = collector.authorizations();
    assert!(
        !authorizations.is_empty()
            && authorizations
                .iter()
                .all(|is| is == "Bearer the-secret-of-the-collector")
    );
    assert!(!daemon.log().contains("the-secret-of-the-collector"));
}

#[tokio::test]
async fn without_its_collector_the_daemon_works_and_ends() {
    let mut daemon = TestDaemon::builder(Database::Sqlite)
        .setting("tracing.otlp_endpoint", "http://127.0.0.1:9/v1/traces")
        .start()
        .await;
    daemon.send(&NEWBIE.submitted("reg-1")).await;
    daemon.wait_state("reg-1", "awaiting_organization").await;
    assert_eq!(daemon.terminate().code(), Some(0));
    let log = daemon.log();
    assert!(
        log.contains("spans could not be sent") || log.contains("opentelemetry"),
        "{log}"
    );
}
