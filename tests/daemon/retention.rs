//! What has been finished for long is deleted, and who has been gone for long is forgotten (D24).

use std::time::{Duration, Instant};

use crate::steps::{JOINER, NEWBIE, confirm};
use crate::support::child::PATIENCE;
use crate::support::daemon::TestDaemon;
use crate::support::database::Database;
use crate::support::events;

crate::support::for_each_database!(d24_what_is_old_goes_and_what_is_open_stays);

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
