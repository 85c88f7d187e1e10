//! `enrolld report sla`: how long steps took, of registrations of every outcome.

use serde_json::{Value, json};

use crate::steps::{JOINER, NEWBIE, NOOR, confirm};
use crate::support::daemon::TestDaemon;
use crate::support::database::Database;
use crate::support::events;

crate::support::for_each_database!(steps_of_every_outcome_are_counted);

fn rows(daemon: &TestDaemon, words: &[&str]) -> Vec<Value> {
    let report = daemon.cli_json(&[&["report", "sla"], words].concat());
    report["rows"].as_array().expect("a list").clone()
}

async fn steps_of_every_outcome_are_counted(database: Database) {
    // Nobody decides within a millisecond.
    let daemon = TestDaemon::builder(database).setting("review.sla", "1ms").start().await;
    confirm(&daemon, "reg-1", JOINER).await;
    daemon.send(&events::da_denied("reg-1", "boss", "no")).await;
    daemon.wait_state("reg-1", "denied").await;
    confirm(&daemon, "reg-2", JOINER).await;
    daemon.send(&events::withdrawn("reg-2")).await;
    daemon.wait_state("reg-2", "withdrawn").await;
    daemon.send(&NEWBIE.submitted("reg-3")).await;
    daemon.wait_state("reg-3", "awaiting_organization").await;
    daemon.send(&events::organization_selected("reg-3", None)).await;
    daemon.wait_state("reg-3", "in_review").await;
    daemon.send(&events::rejected("reg-3", "no")).await;
    daemon.wait_state("reg-3", "rejected").await;
    // Under way: what it has left counts, and where it stands does not.
    daemon.send(&NOOR.submitted("reg-4")).await;
    daemon.wait_state("reg-4", "awaiting_organization").await;

    let told: Vec<_> = rows(&daemon, &[])
        .iter()
        .map(|row| json!([row["step"], row["outcome"], row["count"], row["in_time"]]))
        .collect();
    assert_eq!(
        Value::from(told),
        json!([
            ["verifying", null, 4, null],
            ["routing", null, 4, null],
            ["awaiting_confirmation", null, 2, 2],
            ["awaiting_organization", null, 1, 1],
            ["awaiting_da", null, 2, 2],
            ["in_review", null, 1, 0],
            ["whole", "denied", 1, null],
            ["whole", "rejected", 1, null],
            ["whole", "withdrawn", 1, null],
        ])
    );
    let of_das = rows(&daemon, &["--by", "da"]);
    assert_eq!(of_das.len(), 1);
    assert_eq!(
        (&of_das[0]["da_account_id"], &of_das[0]["count"], &of_das[0]["answered"]),
        (&json!("boss"), &json!(2), &json!(1))
    );
    let of_agents = rows(&daemon, &["--by", "agent"]);
    assert_eq!(of_agents.len(), 1);
    assert_eq!(
        (&of_agents[0]["agent"], &of_agents[0]["in_time"]),
        (&json!("agent-7"), &json!(0))
    );
    assert_eq!(rows(&daemon, &["--until", "1h ago"]), Vec::<Value>::new());

    let table = daemon.typed("enrolld report sla");
    assert!(table.starts_with("STEP") && table.contains("whole"), "{table}");
    let csv = daemon.typed("enrolld report sla --by da --output csv");
    let line = csv.lines().nth(1).expect("a row");
    assert!(
        line.starts_with("boss,1,2,") && line.ends_with(",259200,2,1.0000"),
        "{csv}"
    );
}
