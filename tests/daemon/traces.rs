//! A trace follows a request from upstream's event through every job to the mail, and out again.

use std::collections::BTreeMap;
use std::path::Path;

use enrolld_jobs::trace::Trace;
use serde_json::{Value, json};

use crate::steps::{JOINER, NEWBIE, changes, press, select};
use crate::support::daemon::TestDaemon;
use crate::support::database::Database;
use crate::support::events;

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
    assert_eq!(out[&1], own(&submitted[0]));
    let odd = traces_out(&daemon, "reg-2").await;
    assert_eq!(odd[&1], own(&submitted[1]));
    // The last change is the link's, or what a job made of it.
    let last = out.last_key_value().expect("there are changes").1;
    assert!(out.values().filter(|trace| *trace == last).count() < out.len());
    assert_ne!(last, &out[&1]);
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
