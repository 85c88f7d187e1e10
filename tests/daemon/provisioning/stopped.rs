//! A daemon that ends while a target is being called: the next one calls again, and the target can tell (D11).

use std::time::{Duration, Instant};

use super::{builder, sync_jobs};
use crate::steps::{JOINER, confirm};
use crate::support::child::PATIENCE;
use crate::support::daemon::TestDaemon;
use crate::support::database::Database;
use crate::support::events;
use crate::support::target::{Manner, Target};

crate::support::for_each_database!(
    d11_a_daemon_that_ends_in_the_middle_of_a_put_puts_again_with_the_same_key,
    a_daemon_that_is_told_twice_ends_at_once,
    a_job_in_whose_run_three_daemons_end_is_given_up_and_can_be_queued_again,
);

/// A target that holds back its answer, and a daemon that has called it and is soon found to be gone.
async fn in_the_middle_of_a_put(database: Database, grace: &str) -> (Target, TestDaemon) {
    let target = Target::start("collector");
    target.always("joiner", Manner::Hold);
    let daemon = builder(database, &[&target])
        .setting("heartbeat.every", "100ms")
        .setting("heartbeat.dead_after", "1s")
        .setting("shutdown.grace", grace)
        .start()
        .await;
    confirm(&daemon, "reg-1", JOINER).await;
    daemon.send(&events::da_granted("reg-1", "boss", "customer_user")).await;
    target.wait_heard("PUT", "joiner", 1).await;
    (target, daemon)
}

/// What runs is not waited for, and is made good like the work of a daemon that was killed.
async fn a_daemon_that_is_told_twice_ends_at_once(database: Database) {
    let (target, mut daemon) = in_the_middle_of_a_put(database, "5m").await;
    daemon.begin_to_terminate();
    let start = Instant::now();
    while !daemon.log().contains("stopping: finishing what runs") {
        assert!(start.elapsed() < PATIENCE, "it does not begin to drain");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(daemon.ended().is_none(), "it waits for the target");
    daemon.begin_to_terminate();
    let end = loop {
        if let Some(end) = daemon.ended() {
            break end;
        }
        assert!(start.elapsed() < PATIENCE, "it does not end");
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!(end.code(), Some(1), "it was not through");

    target.let_go();
    daemon.start().await;
    daemon.wait_state("reg-1", "active").await;
    assert_eq!(sync_jobs(&daemon).await[0]["attempts"], 1, "a stop spends no attempt");
}

async fn d11_a_daemon_that_ends_in_the_middle_of_a_put_puts_again_with_the_same_key(database: Database) {
    let (target, mut daemon) = in_the_middle_of_a_put(database, "1s").await;
    daemon.kill();

    daemon.start().await;
    target.wait_heard("PUT", "joiner", 2).await;
    assert_eq!(daemon.view("reg-1").await["state"], "provisioning");
    // The target goes on hanging: that does not keep the daemon from ending.
    let end = daemon.terminate();
    assert!(end.success(), "{end}");

    target.always("joiner", Manner::Well);
    daemon.start().await;
    daemon.wait_state("reg-1", "active").await;
    daemon.wait_kind("access_approved", "reg-1", 1).await;
    let heard = target.heard("joiner");
    assert!(heard.len() >= 3, "{heard:#?}");
    for heard in &heard {
        assert_eq!((heard.method.as_str(), &heard.key), ("PUT", &heard.grant));
    }
    let jobs = sync_jobs(&daemon).await;
    assert_eq!(jobs[0]["attempts"], 1, "neither end was the job's fault: {jobs:#?}");
}

/// Each daemon but the first had taken the job over from one that was killed.
async fn a_job_in_whose_run_three_daemons_end_is_given_up_and_can_be_queued_again(database: Database) {
    let (target, mut daemon) = in_the_middle_of_a_put(database, "25s").await;
    for puts in 1..=3 {
        target.wait_heard("PUT", "joiner", puts).await;
        daemon.kill();
        daemon.start().await;
    }
    let is_case = |view: &serde_json::Value| view["review_reason"] == "processing_failed";
    let view = daemon.wait_view("reg-1", "a case for agents", is_case).await;
    assert_eq!(view["state"], "provisioning", "the state stays as it is");
    let dead = daemon.cli_json(&["jobs", "list", "--state", "dead"]);
    let [dead] = dead.as_array().map(Vec::as_slice).unwrap_or_default() else {
        panic!("one job is dead: {dead}")
    };
    assert_eq!(
        (&dead["kind"], &dead["error_class"]),
        (&"provisioning_sync".into(), &"poison".into())
    );
    let job = dead["id"].as_str().expect("an id");
    let story = daemon.cli_json(&["jobs", "show", job]);
    let runs: Vec<_> = story["runs"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|run| &run["result"])
        .collect();
    assert_eq!(runs, ["crashed", "crashed", "crashed", "dead"], "{story:#}");
    let puts = target.heard_as("PUT", "joiner");
    assert_eq!(puts.len(), 3, "nobody tries a fourth time");

    target.let_go();
    target.always("joiner", Manner::Well);
    assert!(
        daemon
            .cli(&["jobs", "requeue", job, "--reason", "mended"])
            .status
            .success()
    );
    daemon.wait_state("reg-1", "active").await;
    let puts = target.heard_as("PUT", "joiner");
    assert!(puts.iter().all(|put| put.key == puts[0].key), "{puts:#?}");
}
