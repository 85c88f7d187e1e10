//! What has been finished for long is deleted, and who has been gone for long is forgotten (D24).

use std::time::{Duration, Instant};

use crate::steps::{JOINER, NEWBIE, confirm};
use crate::support::child::PATIENCE;
use crate::support::daemon::TestDaemon;
use crate::support::database::Database;
use crate::support::events;

crate::support::for_each_database!(
    d24_what_is_old_goes_and_what_is_open_stays,
    of_what_is_finished_no_more_is_kept_than_is_asked_for,
);

/// Waits until no row of a table holds a condition.
async fn wait_none(daemon: &TestDaemon, rows: &str) {
    let start = Instant::now();
    while daemon.count(rows).await > 0 {
        assert!(start.elapsed() < PATIENCE, "rows are left in {rows}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn d24_what_is_old_goes_and_what_is_open_stays(database: Database) {
    let daemon = TestDaemon::builder(database)
        .setting("retention.inbox", "1ms")
        .setting("retention.jobs", "1ms")
        .setting("retention.mails", "1ms")
        .setting("retention.registrations", "1ms")
        .start()
        .await;
    daemon.send(&NEWBIE.submitted("reg-open")).await;
    daemon.wait_state("reg-open", "awaiting_organization").await;
    confirm(&daemon, "reg-closed", JOINER).await;
    daemon
        .send(&events::da_denied("reg-closed", "boss", "not one of ours"))
        .await;
    daemon.wait_kind("access_denied", "reg-closed", 1).await;

    // More than are deleted in one go.
    let many = "WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 1100)";
    let jobs = "INSERT INTO jobs (id, kind, step, step_bound, state, run_no, attempts, failures, crashes, run_at_ms, finished_ms, created_ms) \
                SELECT 'old-' || n, 'verification', 0, false, 'succeeded', 1, 1, 0, 0, n, n, n FROM number";
    let events = "INSERT INTO inbox (entry, source, event_id, subject, type, body, state, crashes, received_ms, done_ms) \
                  SELECT 'old-' || n, '/old', 'old-' || n, 'reg-old', 't', '{}', 'applied', 0, n, n FROM number";
    for rows in [jobs, events] {
        daemon.rows(&format!("{many} {rows}")).await;
    }

    // It is looked every ten minutes, and when somebody asks.
    let asked = daemon.cli(&["schedules", "run", "retention"]);
    assert_eq!(String::from_utf8_lossy(&asked.stdout), "retention: done\n");
    wait_none(&daemon, "registrations WHERE id = 'reg-closed'").await;
    wait_none(&daemon, "inbox WHERE state <> 'waiting'").await;
    wait_none(&daemon, "jobs WHERE state IN ('succeeded', 'cancelled')").await;
    wait_none(&daemon, "mails").await;
    assert_eq!(daemon.kinds_about("reg-closed"), Vec::<String>::new());
    // The trail stays, and so does whatever waits.
    assert!(daemon.count("timeline WHERE event = 'registration.da_decided'").await == 1);
    assert_eq!(daemon.count("jobs WHERE state = 'scheduled'").await, 1);
    daemon.send(&events::organization_selected("reg-open", None)).await;
    daemon.wait_state("reg-open", "in_review").await;
}

async fn of_what_is_finished_no_more_is_kept_than_is_asked_for(database: Database) {
    let daemon = TestDaemon::builder(database)
        .setting("retention.inbox_max", 2)
        .setting("retention.jobs_max", 2)
        .setting("retention.mails_max", 1)
        .setting("retention.events", "30d")
        .start()
        .await;
    // What came out of a stream of a month ago; Redis takes away whole nodes of a hundred.
    let mut redis = daemon.redis_connection().await;
    let mut old = redis::pipe();
    for number in 1..=300 {
        old.cmd("XADD")
            .arg("old:events")
            .arg(format!("{number}-0"))
            .arg(&["event", "{}"]);
    }
    old.cmd("RENAME").arg("old:events").arg("enrolld:events").ignore();
    let taken: redis::RedisResult<()> = old.query_async(&mut redis).await;
    taken.expect("Redis takes the entries");
    for registration in ["reg-1", "reg-2", "reg-3"] {
        confirm(&daemon, registration, JOINER).await;
        daemon.send(&events::da_denied(registration, "boss", "no")).await;
        daemon.wait_kind("access_denied", registration, 1).await;
    }
    daemon.wait_intake_empty().await;
    let asked = daemon.cli(&["schedules", "run", "retention"]);
    assert_eq!(String::from_utf8_lossy(&asked.stdout), "retention: done\n");

    let newest = "inbox WHERE state <> 'waiting' AND done_ms < (SELECT MAX(done_ms) FROM inbox)";
    assert!(
        daemon.count(newest).await <= 1,
        "no more than two, were they not of one moment"
    );
    let kept = daemon.count("mails").await;
    assert!((1..=2).contains(&kept), "{kept}: one, or two of one moment");
    let first = "jobs WHERE registration_id = 'reg-1' AND state = 'succeeded'";
    assert_eq!(daemon.count(first).await, 0);
    assert_eq!(daemon.count("mails WHERE registration_id = 'reg-1'").await, 0);
    assert!(daemon.stream_length("events").await < 200, "300, and what came out now");
    // A registration and its trail are not what is counted.
    assert_eq!(daemon.count("registrations").await, 3);
}
