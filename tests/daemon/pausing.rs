//! A paused queue rests on every daemon, and goes on where it was.

use std::time::{Duration, Instant};

use crate::steps::{JOINER, NEWBIE, NOOR, confirm, select};
use crate::support::child::PATIENCE;
use crate::support::daemon::TestDaemon;
use crate::support::database::Database;

crate::support::for_each_database!(a_paused_queue_rests_on_every_daemon_and_over_restarts);

/// Waits until the daemons have said something so often.
async fn wait_said(daemon: &TestDaemon, words: &str, times: usize) {
    let start = Instant::now();
    while daemon.log().matches(words).count() < times {
        assert!(start.elapsed() < PATIENCE, "{words:?} is not said {times} times");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn a_paused_queue_rests_on_every_daemon_and_over_restarts(database: Database) {
    let mut daemon = TestDaemon::builder(database)
        .smtp()
        .setting("dispatcher.poll", "50ms")
        .start()
        .await;
    let daemons = if database == Database::Postgres { 2 } else { 1 };
    let second = if daemons == 2 {
        Some(daemon.start_second().await)
    } else {
        None
    };
    let pause = ["queues", "pause", "notification", "--reason", "the mail server moves"];
    assert!(daemon.cli(&pause).status.success());
    wait_said(&daemon, "a queue is paused", daemons).await;

    confirm(&daemon, "reg-1", JOINER).await;
    let waiting = "jobs WHERE kind = 'notification' AND state = 'queued'";
    assert_eq!(daemon.count(waiting).await, 2, "the request to the DA, and the notice");
    // What is due of it stays where it is, and does not keep others from their turn.
    let retry = "UPDATE jobs SET state = 'retrying', run_at_ms = 1 WHERE kind = 'notification' AND \
                 id = (SELECT id FROM mails WHERE kind = 'access_request_notice')";
    daemon.rows(retry).await;
    select(&daemon, "reg-2", NEWBIE, "acme").await;
    let queue = daemon.cli_json(&["queues", "list"]);
    let of_kind = queue.as_array().into_iter().flatten();
    let queue = of_kind.clone().find(|queue| queue["kind"] == "notification");
    let queue = queue.expect("every kind is listed");
    assert_eq!((&queue["waiting"], &queue["running"]), (&2.into(), &0.into()));
    assert_eq!(queue["paused"]["reason"], "the mail server moves");
    assert_eq!(daemon.kinds_about("reg-1"), Vec::<String>::new());

    // A restart keeps it.
    drop(second);
    daemon.restart().await;
    wait_said(&daemon, "a queue is paused", daemons + 1).await;
    select(&daemon, "reg-3", NOOR, "acme").await;
    assert_eq!(daemon.kinds_about("reg-1"), Vec::<String>::new());
    assert_eq!(
        daemon.count("jobs WHERE kind = 'notification' AND attempts > 0").await,
        0
    );
    let job = daemon.rows("SELECT id FROM mails WHERE kind = 'access_request'").await;
    let job = daemon.cli_json(&["jobs", "show", job[0]["id"].as_str().expect("an id")]);
    let does = job["next"]["does"].as_str().unwrap_or_default();
    assert!(does.contains("enrolld queues resume notification"), "{does}");

    assert!(daemon.cli(&["queues", "resume", "notification"]).status.success());
    wait_said(&daemon, "a queue goes on", 1).await;
    daemon.wait_kind("access_request", "reg-1", 1).await;
    daemon.wait_kind("access_request_notice", "reg-1", 1).await;
    let start = Instant::now();
    let open = "jobs WHERE kind = 'notification' AND state <> 'succeeded'";
    while daemon.count(open).await > 0 {
        assert!(start.elapsed() < PATIENCE, "a mail is left over");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(
        daemon.kinds_about("reg-1"),
        ["access_request", "access_request_notice"],
        "each once"
    );
}
