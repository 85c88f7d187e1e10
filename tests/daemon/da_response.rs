//! Waiting for a DA: reminders, the time-out, the next DA, an agent at last (D1).

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::steps::{JOINER, confirm, first, stable, timers, wait_changes};
use crate::support::daemon::{Builder, TestDaemon};
use crate::support::database::Database;
use crate::support::events;
use crate::support::mail::Mail;

crate::support::for_each_database!(
    d1_the_da_is_reminded_with_the_same_link,
    d1_on_the_time_out_the_next_da_is_asked_and_the_earlier_one_may_still_decide,
    d1_after_the_last_da_an_agent_takes_over_and_a_da_may_still_decide,
    d1_deciding_ends_reminders_and_time_out,
    d1_a_deadline_that_passes_while_the_daemon_is_down_comes_once,
    d1_a_timer_that_another_hosts_clock_brings_too_early_is_not_lost,
    d1_a_request_goes_to_nobody_who_was_asked_or_cannot_be_reached,
    d2_a_request_does_not_wait_for_a_da_who_cannot_be_reached_any_more,
);

const AGENTS: &str = "agents@vendor.example";

fn builder(database: Database, reminders: &[&str], timeout: &str) -> Builder {
    TestDaemon::builder(database)
        .setting("dispatcher.poll", "50ms")
        .setting("da_response.reminders", reminders.to_vec())
        .setting("da_response.timeout", timeout)
        .setting("review.mailbox", AGENTS)
}

async fn d1_the_da_is_reminded_with_the_same_link(database: Database) {
    let daemon = builder(database, &["300ms", "4s", "2h"], "1h").start().await;
    confirm(&daemon, "reg-1", JOINER).await;
    let reminders = daemon.wait_kind("access_request_reminder", "reg-1", 2).await;
    let asked = first(daemon.wait_kind("access_request", "reg-1", 1).await);
    for reminder in &reminders {
        assert_eq!(reminder.to, ["bea@globex.example"], "only the DA who is asked");
        assert_eq!(reminder.link_path(), asked.link_path(), "contract, section 6");
    }
    assert!(asked.link_path().is_some_and(|path| path.starts_with("/decide/")));
    assert_ne!(reminders[0].header("Message-ID"), reminders[1].header("Message-ID"));
    insta::assert_snapshot!("da_response_mail_reminder", reminders[0].snapshot());

    // The third reminder is not before the time-out, which is what is waited for now.
    let asked_ms = asked_ms(&daemon, "reg-1").await;
    assert_eq!(
        timers(&daemon, "reg-1").await,
        [("da_response_timeout".to_owned(), asked_ms + 3_600_000)]
    );
    let view = daemon.view("reg-1").await;
    assert_eq!(view["deadline"], seconds(asked_ms + 3_600_000));
    assert_eq!(view["delegated_administrator"]["account_id"], "boss");
}

async fn d1_on_the_time_out_the_next_da_is_asked_and_the_earlier_one_may_still_decide(database: Database) {
    let daemon = builder(database, &[], "4s").start().await;
    confirm(&daemon, "reg-1", JOINER).await;
    let before = asked_ms(&daemon, "reg-1").await;
    let view = asked(&daemon, "reg-1", "deputy").await;
    assert_eq!(view["state"], "awaiting_da");
    insta::assert_json_snapshot!("da_response_view_the_next_da", stable(&view));
    let after = asked_ms(&daemon, "reg-1").await;
    assert!(after >= before + 4000, "not before the time-out: {before}, {after}");
    assert_eq!(view["deadline"], seconds(after + 4000), "the next DA has as much time");

    // The first, while the second is asked.
    daemon.send(&events::da_granted("reg-1", "boss", "customer_user")).await;
    let view = daemon.wait_state("reg-1", "active").await;
    assert_eq!(view["deadline"], Value::Null);
    let grant = view["timeline"]
        .as_array()
        .and_then(|lines| lines.last())
        .expect("a line");
    assert_eq!(
        (&grant["event"], &grant["actor"]),
        (&json!("registration.da_decided"), &json!("boss"))
    );
    assert_eq!(timers(&daemon, "reg-1").await, []);

    let requests = daemon.wait_kind("access_request", "reg-1", 2).await;
    assert_eq!(addresses(&requests), ["bea@globex.example", "dirk@globex.example"]);
    assert_ne!(
        requests[0].link_path(),
        requests[1].link_path(),
        "each DA has a link of their own"
    );
    daemon.wait_kind("access_approved", "reg-1", 1).await;
    assert_eq!(
        daemon.kinds_about("reg-1"),
        [
            "access_approved",
            "access_request",
            "access_request",
            "access_request_notice"
        ],
        "the others are noticed once"
    );
}

async fn d1_after_the_last_da_an_agent_takes_over_and_a_da_may_still_decide(database: Database) {
    let daemon = builder(database, &[], "700ms")
        .setting("da_response.max_das", 2)
        .start()
        .await;
    daemon.import(&third_da());
    confirm(&daemon, "reg-1", JOINER).await;
    let view = daemon.wait_state("reg-1", "in_review").await;
    assert_eq!(view["review_reason"], "da_unresponsive");
    assert!(
        view["allowed"]
            .as_array()
            .is_some_and(|all| all.contains(&json!("registration.da_decided")))
    );
    insta::assert_json_snapshot!("da_response_view_in_review", stable(&view));
    assert_eq!(
        das_of(&wait_changes(&daemon, "reg-1", 6).await),
        ["boss", "boss", "deputy"],
        "shown at first, then asked; the third DA is one too many"
    );
    let told = first(daemon.wait_kind("with_agent", "reg-1", 1).await);
    assert_eq!(told.to, ["jo@globex.example"]);
    insta::assert_snapshot!("da_response_mail_with_agent", told.snapshot());
    let case = first(daemon.wait_kind("review_case", "reg-1", 1).await);
    assert_eq!(case.to, [AGENTS]);
    insta::assert_snapshot!("da_response_mail_review_case", case.snapshot());

    // Whoever is entitled may, also who was never asked; others may not.
    daemon
        .send(&events::da_granted("reg-1", "nobody", "customer_user"))
        .await;
    assert_eq!(crate::steps::wait_rejected(&daemon, 1).await[0].reason, "not_entitled");
    daemon.send(&events::da_denied("reg-1", "deputy", "Not ours.")).await;
    let view = daemon.wait_state("reg-1", "denied").await;
    assert_eq!(view["review_reason"], Value::Null);
    daemon.wait_kind("access_denied", "reg-1", 1).await;
    assert_eq!(timers(&daemon, "reg-1").await, []);
    // The agent comes too late.
    daemon.send(&events::rejected("reg-1", "No.")).await;
    assert_eq!(crate::steps::wait_rejected(&daemon, 2).await[1].code(), "wrong_state");
}

async fn d1_deciding_ends_reminders_and_time_out(database: Database) {
    let daemon = builder(database, &["3s"], "4s")
        .setting("da_response.max_das", 1)
        .start()
        .await;
    daemon.import(&json!({"accounts": [
        {"id": "other", "name": "Olga Other", "email": "olga@globex.example", "status": "active", "locale": "en",
            "flagged": false, "contracts": ["10000001"]}]}));
    confirm(&daemon, "reg-1", JOINER).await;
    let timer = timers(&daemon, "reg-1").await;
    assert_eq!(timer.len(), 1, "one timer at a time: {timer:?}");
    daemon.send(&events::da_granted("reg-1", "boss", "customer_user")).await;
    daemon.wait_state("reg-1", "active").await;
    assert_eq!(timers(&daemon, "reg-1").await, []);
    let cancelled = "jobs WHERE registration_id = 'reg-1' AND kind = 'da_response_timeout' AND state = 'cancelled'";
    assert_eq!(daemon.count(cancelled).await, 1);

    // Withdrawing does the same.
    let other = crate::steps::Applicant {
        account: "other",
        ..JOINER
    };
    confirm(&daemon, "reg-2", other).await;
    daemon.send(&events::withdrawn("reg-2")).await;
    daemon.wait_state("reg-2", "withdrawn").await;
    assert_eq!(timers(&daemon, "reg-2").await, []);

    // Once a later request has been through all of it, theirs would have come as well.
    confirm(&daemon, "reg-3", other).await;
    daemon.wait_state("reg-3", "in_review").await;
    daemon.wait_kind("with_agent", "reg-3", 1).await;
    assert_eq!(
        daemon.kinds_about("reg-1"),
        ["access_approved", "access_request", "access_request_notice"]
    );
    let kinds = daemon.kinds_about("reg-2");
    assert!(
        kinds
            .iter()
            .all(|kind| kind == "access_request" || kind == "access_request_notice"),
        "{kinds:?}"
    );
    assert_eq!(daemon.view("reg-2").await["state"], "withdrawn");
}

async fn d1_a_deadline_that_passes_while_the_daemon_is_down_comes_once(database: Database) {
    let mut daemon = builder(database, &["5s"], "5500ms").start().await;
    confirm(&daemon, "reg-1", JOINER).await;
    let asked_by = Instant::now();
    daemon.wait_kind("access_request", "reg-1", 1).await;
    let asked_at = asked_ms(&daemon, "reg-1").await;
    daemon.terminate();
    let due = "timeline WHERE event = 'registration.time_is_up'";
    assert_eq!(daemon.count(due).await, 0, "the daemon stopped before anything was due");
    // Nothing else tells that the deadline has passed.
    tokio::time::sleep_until((asked_by + Duration::from_millis(5600)).into()).await;

    daemon.start().await;
    let view = asked(&daemon, "reg-1", "deputy").await;
    // The reminder was missed, and is not made up for: it would not be before the time-out.
    let deputy_asked = asked_ms(&daemon, "reg-1").await;
    assert!(deputy_asked >= asked_at + 5500);
    assert_eq!(daemon.count(due).await, 1);
    assert_eq!(view["deadline"], seconds(deputy_asked + 5000), "the deputy's reminder");
    daemon
        .send(&events::da_granted("reg-1", "deputy", "customer_user"))
        .await;
    daemon.wait_state("reg-1", "active").await;
    daemon.wait_kind("access_approved", "reg-1", 1).await;
    let requests = daemon.wait_kind("access_request", "reg-1", 2).await;
    assert_eq!(
        addresses(&requests),
        ["bea@globex.example", "dirk@globex.example"],
        "each once"
    );
}

/// As a host would whose clock is ahead of the daemon's by some seconds.
async fn d1_a_timer_that_another_hosts_clock_brings_too_early_is_not_lost(database: Database) {
    let daemon = builder(database, &[], "6s").start().await;
    confirm(&daemon, "reg-1", JOINER).await;
    let asked_at = asked_ms(&daemon, "reg-1").await;
    let queued = daemon
        .rows(
            "UPDATE jobs SET state = 'queued', run_no = run_no + 1, queued_ms = created_ms \
             WHERE kind = 'da_response_timeout' AND state = 'scheduled' RETURNING id, run_no",
        )
        .await;
    let (job, run) = (
        queued[0]["id"].as_str().expect("a text"),
        queued[0]["run_no"].to_string(),
    );
    let mut connection = daemon.redis_connection().await;
    let added: redis::RedisResult<String> = redis::cmd("XADD")
        .arg(daemon.key("jobs:da_response_timeout"))
        .arg("*")
        .arg(&["job", job, "run", &run])
        .query_async(&mut connection)
        .await;
    added.expect("Redis takes the entry");
    asked(&daemon, "reg-1", "deputy").await;
    assert!(
        asked_ms(&daemon, "reg-1").await >= asked_at + 6000,
        "and not before its time"
    );
    let spent = daemon
        .rows(&format!("SELECT attempts, failures FROM jobs WHERE id = '{job}'"))
        .await;
    assert_eq!(spent[0]["attempts"], 1, "being early spends no attempt");
    assert!(
        spent[0]["failures"].as_i64().is_some_and(|failures| failures > 0),
        "it came early: {spent:?}"
    );
}

async fn d2_a_request_does_not_wait_for_a_da_who_cannot_be_reached_any_more(database: Database) {
    let daemon = builder(database, &[], "1h")
        .setting("da_response.recheck", "300ms")
        .start()
        .await;
    confirm(&daemon, "reg-1", JOINER).await;
    asked(&daemon, "reg-1", "boss").await;
    let boss = json!({"accounts": [{"id": "boss", "name": "Bea Boss", "email": "bea@globex.example",
        "status": "inactive", "locale": "en", "flagged": false, "contracts": []}]});
    daemon.import(&boss);
    asked(&daemon, "reg-1", "deputy").await;
    daemon.wait_kind("access_request", "reg-1", 2).await;
}

async fn d1_a_request_goes_to_nobody_who_was_asked_or_cannot_be_reached(database: Database) {
    let daemon = builder(database, &[], "3s").start().await;
    confirm(&daemon, "reg-1", JOINER).await;
    // Of the *current* list: the deputy is on leave, and somebody was appointed meanwhile.
    let mut changed = third_da();
    let deputy = json!({"id": "deputy", "name": "Dirk Deputy", "email": "dirk@globex.example", "status": "inactive",
        "locale": "nl", "flagged": false, "contracts": []});
    changed["accounts"].as_array_mut().expect("a list").push(deputy);
    daemon.import(&changed);
    let view = daemon.wait_state("reg-1", "in_review").await;
    assert_eq!(view["review_reason"], "da_unresponsive");
    let all = wait_changes(&daemon, "reg-1", 6).await;
    assert_eq!(das_of(&all), ["boss", "boss", "third"]);
    let ids: Vec<_> = view["administrators"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|da| &da["account_id"])
        .collect();
    assert_eq!(ids, ["boss", "deputy", "third"], "R36: the full list, as it is now");
}

fn third_da() -> Value {
    json!({
        "accounts": [{"id": "third", "name": "Thea Third", "email": "thea@globex.example", "status": "active",
            "locale": "en", "flagged": false, "contracts": []}],
        "administrators": [{"account_id": "third", "organization_id": "globex-west"}]})
}

/// The view, once the DA is asked.
async fn asked(daemon: &TestDaemon, registration: &str, da: &str) -> Value {
    let holds = |view: &Value| view["state"] == "awaiting_da" && view["delegated_administrator"]["account_id"] == da;
    daemon
        .wait_view(registration, &format!("waiting for {da}"), holds)
        .await
}

/// When the DA who is asked was asked.
async fn asked_ms(daemon: &TestDaemon, registration: &str) -> i64 {
    let sql = format!(
        "SELECT max(created_ms) FROM mails WHERE registration_id = '{registration}' AND kind = 'access_request'"
    );
    daemon.number(&sql).await.expect("somebody was asked")
}

/// The DAs named in the changes, in order.
fn das_of(changes: &[Value]) -> Vec<&str> {
    changes
        .iter()
        .filter_map(|change| change["data"]["delegated_administrator"]["account_id"].as_str())
        .collect()
}

fn addresses(mails: &[Mail]) -> Vec<&str> {
    mails.iter().flat_map(|mail| &mail.to).map(String::as_str).collect()
}

/// A moment as views show it.
fn seconds(ms: i64) -> String {
    let at = chrono::DateTime::<chrono::Utc>::from_timestamp_millis(ms).expect("a moment of these days");
    at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}
