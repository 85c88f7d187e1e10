//! What is beyond its limit is told to ops: once an hour, whatever number of daemons sees it.

use std::time::{Duration, Instant};

use enrolld::environment::{Environment as _, System};
use serde_json::Value;

use crate::metrics::exposition::scrape;
use crate::steps::{JOINER, confirm};
use crate::support::child::PATIENCE;
use crate::support::daemon::TestDaemon;
use crate::support::database::Database;
use crate::support::events;
use crate::support::target::{Manner, Target};

crate::support::for_each_database!(
    an_old_queue_and_overdue_access_are_told,
    rising_refusals_are_told_once,
    an_alert_that_was_claimed_and_never_written_is_told,
);

const OPS: &str = "ops@vendor.example";

/// The alerts of `code` whose message begins like this, once there is one.
async fn told(daemon: &TestDaemon, code: &str, message: &str) -> Vec<Value> {
    let start = Instant::now();
    loop {
        let mut alerts = daemon.events().await;
        alerts.retain(|event| {
            let said = event["data"]["message"].as_str();
            event["type"] == "ops.alert"
                && event["data"]["code"] == code
                && said.is_some_and(|said| said.starts_with(message))
        });
        if !alerts.is_empty() {
            return alerts;
        }
        assert!(start.elapsed() < PATIENCE, "no alert {code}:\n{}", daemon.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until the daemon has looked some times more.
async fn look_again(daemon: &TestDaemon) {
    let at = async || {
        let seen = scrape(daemon).await;
        seen.value("enrolld_gathered_timestamp_seconds", &[("source", "database")])
    };
    let (start, before) = (Instant::now(), at().await);
    while at().await <= before {
        assert!(start.elapsed() < PATIENCE, "it does not look any more");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn an_old_queue_and_overdue_access_are_told(database: Database) {
    let targets = [Target::start("first"), Target::start("second")];
    for target in &targets {
        target.always("joiner", Manner::Hold);
    }
    let settings = targets.iter().map(Target::setting).collect();
    let daemon = TestDaemon::builder(database)
        .setting("metrics.every", "50ms")
        .setting("ops.mailbox", OPS)
        .setting("ops.queue_age", "1s")
        .setting("provisioning.within", "300ms")
        .setting("provisioning.targets", toml::Value::Array(settings))
        .setting("workers.provisioning_sync.concurrency", 1)
        .start()
        .await;
    confirm(&daemon, "reg-1", JOINER).await;
    daemon.send(&events::da_granted("reg-1", "boss", "customer_user")).await;
    let overdue = told(&daemon, "provisioning_overdue", "Registrations that").await;
    assert_eq!(overdue[0]["subject"], "enrolld");
    assert_eq!(overdue[0]["data"]["registration_id"], Value::Null);
    // One call is under way, and the other waits for its turn.
    told(
        &daemon,
        "queue_old",
        "The oldest job provisioning_sync has been queued for",
    )
    .await;
    let mails = daemon.wait_mails("enrolld: access is overdue", OPS, 1).await;
    insta::assert_snapshot!("alarms_mail_provisioning_overdue", mails[0].snapshot());
    daemon
        .wait_mails("enrolld: jobs are waiting for too long", OPS, 1)
        .await;
    for target in &targets {
        target.let_go();
    }
    daemon.wait_state("reg-1", "active").await;
}

async fn rising_refusals_are_told_once(database: Database) {
    let daemon = TestDaemon::builder(database)
        .setting("metrics.every", "50ms")
        .setting("ops.refusals", 2)
        .start()
        .await;
    // On PostgreSQL another daemon sees it, too.
    let _second = match database {
        Database::Postgres => Some(daemon.start_second().await),
        Database::Sqlite => None,
    };
    for _ in 0..3 {
        daemon.send_fields(&[("event", b"not JSON")]).await;
    }
    let message = "3 events were refused within 15 minutes, after 0 in the 15 minutes before.";
    told(&daemon, "refusals_rising", message).await;
    look_again(&daemon).await;
    let alerts = told(&daemon, "refusals_rising", "").await;
    let hours = daemon
        .count("schedule_ticks WHERE schedule = 'alert.refusals_rising.all'")
        .await;
    assert_eq!(alerts.len(), hours, "one an hour");
    assert_eq!(daemon.count("mails").await, 0, "no mailbox of ops, no mail");
}

async fn an_alert_that_was_claimed_and_never_written_is_told(database: Database) {
    let daemon = TestDaemon::builder(database)
        .setting("metrics.every", "50ms")
        .setting("ops.refusals", 2)
        .start()
        .await;
    // A daemon that ended before it wrote what it had claimed, in this hour; and in the next, should that begin meanwhile.
    let hour = System.now().timestamp_millis() / 3_600_000 * 3_600_000;
    for hour in [hour, hour + 3_600_000] {
        let claim = format!(
            "INSERT INTO schedule_ticks (schedule, tick_ms, daemon_id, started_ms) \
             VALUES ('alert.refusals_rising.all', {hour}, 'gone', {hour}) RETURNING tick_ms"
        );
        assert_eq!(daemon.rows(&claim).await.len(), 1);
    }
    for _ in 0..3 {
        daemon.send_fields(&[("event", b"not JSON")]).await;
    }
    let alerts = told(&daemon, "refusals_rising", "").await;
    assert_eq!(alerts.len(), 1);
}
