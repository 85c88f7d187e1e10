//! `enrolld status`: what is late, and why.

use std::time::Instant;

use serde_json::{Value, json};

use crate::steps::{JOINER, NEWBIE, confirm};
use crate::support::child::PATIENCE;
use crate::support::daemon::TestDaemon;
use crate::support::database::Database;
use crate::support::events;

crate::support::for_each_database!(what_is_late_is_told_and_what_waits);

/// The status, once `holds`.
async fn wait_status(daemon: &TestDaemon, wanted: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let start = Instant::now();
    loop {
        let status = daemon.cli_json(&["status"]);
        if holds(&status) {
            return status;
        }
        assert!(start.elapsed() < PATIENCE, "not {wanted}: {status:#}");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

fn late(status: &Value) -> Vec<&str> {
    let late = status["late"].as_array().expect("a list");
    late.iter().filter_map(|late| late["what"].as_str()).collect()
}

async fn what_is_late_is_told_and_what_waits(database: Database) {
    let mut daemon = TestDaemon::builder(database).setting("review.sla", "1s").start().await;
    let status = daemon.cli_json(&["status"]);
    assert_eq!(late(&status), [""; 0], "{status:#}");
    assert_eq!(status["daemons"][0]["alive"], true);
    assert!(daemon.typed("enrolld status").starts_with("Nothing is late.\n"));

    confirm(&daemon, "reg-1", JOINER).await;
    daemon.send(&NEWBIE.submitted("reg-2")).await;
    daemon.wait_state("reg-2", "awaiting_organization").await;
    daemon.send(&events::organization_selected("reg-2", None)).await;
    let is_overdue = |status: &Value| late(status) == ["agents_overdue"];
    let status = wait_status(&daemon, "overdue", is_overdue).await;
    assert_eq!(
        (
            &status["das"]["number"],
            &status["das"]["longest"][0]["id"],
            &status["das"]["longest"][0]["da_account_id"]
        ),
        (&json!(1), &json!("reg-1"), &json!("boss"))
    );
    assert_eq!(status["agents"]["reasons"], json!({"none_of_the_above": 1}));
    assert_eq!(status["agents"]["longest"][0]["id"], "reg-2");
    assert_eq!(status["provisioning"]["number"], 0);
    assert_eq!(status["redis"], Value::Null);

    // Who paused a queue is named for as long as it rests.
    daemon.typed("enrolld queues pause terms --reason \"the portal moves\"");
    let status = daemon.cli_json(&["status"]);
    assert_eq!(late(&status), ["queue_paused", "agents_overdue"]);
    let why = status["late"][0]["why"].as_str().expect("a text");
    assert!(
        why.starts_with("terms is paused by ") && why.ends_with(": the portal moves"),
        "{why}"
    );
    daemon.typed("enrolld queues resume terms");

    // Nobody is there, and Redis neither: the database tells.
    daemon.terminate();
    daemon.send(&events::withdrawn("reg-1")).await;
    let status = daemon.cli_json(&["status"]);
    assert_eq!(late(&status), ["no_daemon", "agents_overdue"]);
    assert_eq!(status["intake"]["stream"]["number"], 1);
    assert!(status["intake"]["stream"]["oldest"].is_string());
    daemon.redis.kill();
    let status = daemon.cli_json(&["status"]);
    assert_eq!(late(&status), ["no_daemon", "redis_away", "agents_overdue"]);
    assert_eq!(status["intake"]["stream"], Value::Null);
    assert!(
        status["redis"].as_str().is_some_and(|why| why.contains("is away")),
        "{status:#}"
    );
    assert_eq!(status["das"]["number"], 1);
}
