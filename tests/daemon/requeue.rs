//! Dead jobs are the agents' cases, until somebody has them run again (D22).

use crate::steps::{JOINER, confirm};
use crate::support::daemon::TestDaemon;
use crate::support::database::Database;

crate::support::for_each_database!(d22_a_dead_job_is_a_case_until_it_is_queued_again);

async fn d22_a_dead_job_is_a_case_until_it_is_queued_again(database: Database) {
    let daemon = TestDaemon::builder(database)
        .smtp()
        .setting("ops.mailbox", "ops@vendor.example")
        .start()
        .await;
    let smtp = daemon.smtp.as_ref().expect("the builder was told so");
    // The request to the DA, and the notice to the other.
    smtp.fail_next(2, 550);
    confirm(&daemon, "reg-1", JOINER).await;
    let both_dead = |jobs: usize| jobs == 2;
    daemon
        .wait_view("reg-1", "a case", |view| view["review_reason"] == "processing_failed")
        .await;
    let dead = loop {
        let dead = daemon.cli_json(&["jobs", "list", "--state", "dead"]);
        if both_dead(dead.as_array().map_or(0, Vec::len)) {
            break dead;
        }
    };
    let cases = daemon.cli_json(&["review", "list"]);
    assert_eq!(
        (&cases[0]["id"], &cases[0]["state"]),
        (&"reg-1".into(), &"awaiting_da".into())
    );
    // Ops get one mail of both.
    let alerted = daemon
        .wait_mail("enrolld: a job has failed for good", "ops@vendor.example")
        .await;
    assert!(alerted.text.contains("smtp_refused"), "{}", alerted.text);
    let alerts = daemon.events().await;
    let alerts = alerts.iter().filter(|event| event["type"] == "ops.alert");
    assert_eq!(alerts.filter(|alert| alert["data"]["code"] == "job_dead").count(), 2);

    let ids: Vec<&str> = dead
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|job| job["id"].as_str())
        .collect();
    let wrong = daemon.cli(&["jobs", "requeue", "6f6e3a1c-5d0b-5c55-9d4e-3c1f8a2b7e90"]);
    assert_eq!(wrong.status.code(), Some(1));
    let done = daemon.cli(&["jobs", "requeue", ids[0], ids[1], "--reason", "the server was mended"]);
    assert!(done.status.success());
    daemon
        .wait_view("reg-1", "no case", |view| view["review_reason"].is_null())
        .await;
    daemon.wait_kind("access_request", "reg-1", 1).await;
    daemon.wait_kind("access_request_notice", "reg-1", 1).await;
    assert!(
        daemon
            .cli_json(&["review", "list"])
            .as_array()
            .is_some_and(Vec::is_empty)
    );
    // Neither is started twice.
    assert_eq!(daemon.cli(&["jobs", "requeue", ids[0]]).status.code(), Some(1));
    let job = daemon.cli_json(&["jobs", "show", ids[0]]);
    assert_eq!((&job["state"], &job["requeues"]), (&"succeeded".into(), &1.into()));
    let note = job["requeue_note"].as_str().unwrap_or_default();
    assert!(
        note.starts_with("by ") && note.ends_with(": the server was mended"),
        "{note}"
    );
    // The whole story is told.
    let run = &job["runs"][0];
    assert_eq!(
        (&run["run_no"], &run["result"], &run["error_class"]),
        (&1.into(), &"dead".into(), &"smtp_refused".into())
    );
    assert!(run["started_at"].as_str() <= run["ended_at"].as_str(), "{run}");
    assert!(run["daemon_id"].is_string(), "{run}");
    let done = &job["interventions"][0];
    assert_eq!(
        (&done["action"], &done["reason"]),
        (&"requeue".into(), &"the server was mended".into())
    );
    assert_eq!(job["registration"]["state"], "awaiting_da");
    assert_eq!(job["next"]["does"], "nothing: it is done");
}
