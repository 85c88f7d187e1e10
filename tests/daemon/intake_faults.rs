//! What goes wrong between Redis and the inbox is not the events' fault: none is lost, none refused, and no token leaks.

mod left_over;
mod tokens;

use std::time::{Duration, Instant};

use crate::steps::{NEWBIE, NOOR, wait_rejected};
use crate::support::child::PATIENCE;
use crate::support::daemon::TestDaemon;
use crate::support::database::Database;
use crate::support::events;

crate::support::for_each_database!(
    an_event_that_cannot_be_kept_for_now_is_not_poison,
    an_event_whose_note_cannot_be_taken_back_is_not_poison,
    a_registration_that_cannot_be_read_holds_its_own_events_only,
    a_missing_table_refuses_nobody,
    while_the_directory_alone_is_away_only_what_needs_it_waits,
    what_cannot_be_read_is_announced_at_once,
    a_kept_event_that_ended_three_daemons_is_poison,
);

/// Makes what `change` names of the inbox (`INSERT`, `UPDATE OF crashes`) fail as if there were no room, `when` that holds.
async fn block(daemon: &TestDaemon, database: Database, change: &str, when: &str) {
    match database {
        Database::Sqlite => {
            let trigger = format!(
                "CREATE TRIGGER no_room BEFORE {change} ON inbox WHEN {when} BEGIN INSERT INTO nowhere VALUES (1); END"
            );
            daemon.rows(&trigger).await;
        }
        Database::Postgres => {
            let function = "CREATE OR REPLACE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS \
                            'BEGIN RAISE EXCEPTION ''no room'' USING ERRCODE = ''53100''; END'";
            daemon.rows(function).await;
            let trigger = format!(
                "CREATE TRIGGER no_room BEFORE {change} ON inbox FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION no_room()"
            );
            daemon.rows(&trigger).await;
        }
    }
}

async fn unblock(daemon: &TestDaemon, database: Database) {
    let drop = match database {
        Database::Sqlite => "DROP TRIGGER no_room",
        Database::Postgres => "DROP TRIGGER no_room ON inbox",
    };
    daemon.rows(drop).await;
}

/// Waits until the daemon has logged `line` so many times more.
async fn wait_logged(daemon: &TestDaemon, line: &str, more: usize) {
    let count = || daemon.log().matches(line).count();
    let (before, start) = (count(), Instant::now());
    while count() < before + more {
        assert!(start.elapsed() < PATIENCE, "{line:?} is not logged {more} times");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn an_event_that_cannot_be_kept_for_now_is_not_poison(database: Database) {
    let mut daemon = TestDaemon::builder(database).start().await;
    block(&daemon, database, "INSERT", "new.seq IS NULL OR new.seq IS NOT NULL").await;
    daemon.send(&NEWBIE.submitted("reg-1")).await;
    // More rounds than ends of a daemon are allowed, and more deployments.
    wait_logged(&daemon, "the intake waits", 6).await;
    for _ in 0..4 {
        daemon.restart().await;
        wait_logged(&daemon, "the intake waits", 1).await;
    }
    unblock(&daemon, database).await;
    daemon.wait_state("reg-1", "awaiting_organization").await;
    assert!(daemon.rejected().await.is_empty());
    assert_eq!(daemon.count("refused").await, 0);
}

async fn an_event_whose_note_cannot_be_taken_back_is_not_poison(database: Database) {
    let mut daemon = TestDaemon::builder(database).start().await;
    daemon.send(&NEWBIE.submitted("reg-1")).await;
    daemon.wait_state("reg-1", "awaiting_organization").await;
    // An event that waits, whoever holds the lease.
    daemon.rows("UPDATE registrations SET data = 'x' || data").await;
    daemon.send(&events::withdrawn("reg-1")).await;
    wait_logged(&daemon, "an event waits", 1).await;
    block(&daemon, database, "UPDATE OF crashes", "new.crashes = 0").await;
    daemon.restart().await;
    wait_logged(&daemon, "the intake waits", 6).await;
    unblock(&daemon, database).await;
    daemon.rows("UPDATE registrations SET data = substr(data, 2)").await;
    daemon.wait_state("reg-1", "withdrawn").await;
    assert_eq!(daemon.count("refused").await, 0);
}

async fn a_registration_that_cannot_be_read_holds_its_own_events_only(database: Database) {
    let daemon = TestDaemon::builder(database).start().await;
    for id in ["reg-1", "reg-2"] {
        daemon.send(&NEWBIE.submitted(id)).await;
        daemon.wait_state(id, "awaiting_organization").await;
    }
    // As a newer release may have written it.
    daemon
        .rows("UPDATE registrations SET data = 'x' || data WHERE id = 'reg-1'")
        .await;
    daemon.send(&events::withdrawn("reg-1")).await;
    daemon.send(&events::withdrawn("reg-2")).await;
    daemon.wait_state("reg-2", "withdrawn").await;
    wait_logged(&daemon, "an event waits until the database is mended", 2).await;
    daemon
        .rows("UPDATE registrations SET data = substr(data, 2) WHERE id = 'reg-1'")
        .await;
    daemon.wait_state("reg-1", "withdrawn").await;
    assert_eq!(daemon.count("refused").await, 0);
}

async fn a_missing_table_refuses_nobody(database: Database) {
    let daemon = TestDaemon::builder(database).start().await;
    daemon.send(&NEWBIE.submitted("reg-1")).await;
    daemon.wait_state("reg-1", "awaiting_organization").await;
    daemon.rows("ALTER TABLE notices RENAME TO notices_elsewhere").await;
    daemon.send(&events::withdrawn("reg-1")).await;
    wait_logged(&daemon, "waits", 3).await;
    daemon.rows("ALTER TABLE notices_elsewhere RENAME TO notices").await;
    daemon.wait_state("reg-1", "withdrawn").await;
    assert_eq!(daemon.count("refused").await, 0);
}

async fn while_the_directory_alone_is_away_only_what_needs_it_waits(database: Database) {
    let daemon = TestDaemon::builder(database).start().await;
    for id in ["reg-1", "reg-2"] {
        daemon.send(&NEWBIE.submitted(id)).await;
        daemon.wait_state(id, "awaiting_organization").await;
    }
    daemon
        .rows("ALTER TABLE directory_contracts RENAME TO directory_elsewhere")
        .await;
    daemon.send(&NOOR.submitted("reg-3")).await;
    daemon.wait_state("reg-3", "verifying").await;
    // Once and again: no attempt is spent.
    wait_logged(&daemon, "a job is tried again", 2).await;
    daemon.send(&events::withdrawn("reg-2")).await;
    daemon.wait_state("reg-2", "withdrawn").await;
    assert_eq!(daemon.view("reg-3").await["state"], "verifying");
    daemon
        .rows("ALTER TABLE directory_elsewhere RENAME TO directory_contracts")
        .await;
    daemon.wait_state("reg-3", "awaiting_organization").await;
    assert_eq!(daemon.count("refused").await, 0);
    assert_eq!(daemon.number("SELECT max(attempts) FROM jobs").await, Some(1));
    assert_eq!(daemon.count("jobs WHERE state = 'dead'").await, 0);
}

async fn what_cannot_be_read_is_announced_at_once(database: Database) {
    const EVENTS: usize = 8;
    let daemon = TestDaemon::builder(database).start().await;
    // Whoever waits for the next look at the database waits up to half a second each time. The best of three: the machine may
    // be busy.
    let mut best = Duration::MAX;
    for round in 0..3 {
        let start = Instant::now();
        for number in 0..EVENTS {
            daemon.send_raw(b"{").await;
            wait_rejected(&daemon, round * EVENTS + number + 1).await;
        }
        best = best.min(start.elapsed());
    }
    assert!(
        best < Duration::from_millis(300) * u32::try_from(EVENTS).expect("few"),
        "{best:?}"
    );
}

async fn a_kept_event_that_ended_three_daemons_is_poison(database: Database) {
    let mut daemon = TestDaemon::builder(database)
        .setting("heartbeat.every", "100ms")
        .setting("heartbeat.dead_after", "1s")
        .start()
        .await;
    for (id, who) in [("reg-1", NEWBIE), ("reg-2", NOOR)] {
        daemon.send(&who.submitted(id)).await;
        daemon.wait_state(id, "awaiting_organization").await;
    }
    // Events that are taken in and wait; a daemon ends meanwhile.
    daemon.rows("UPDATE registrations SET data = 'x' || data").await;
    for id in ["reg-1", "reg-2"] {
        daemon.send(&events::withdrawn(id)).await;
    }
    wait_logged(&daemon, "an event waits", 2).await;
    daemon.kill();
    daemon.rows("UPDATE registrations SET data = substr(data, 2)").await;
    // As if two, and three, daemons had ended over them.
    for (id, crashes) in [("reg-1", 2), ("reg-2", 3)] {
        let ends =
            format!("UPDATE inbox SET crashes = {crashes} WHERE state = 'waiting' AND subject = '{id}' RETURNING seq");
        assert_eq!(daemon.rows(&ends).await.len(), 1);
    }
    daemon.start().await;
    daemon.wait_state("reg-1", "withdrawn").await;
    let rejected = wait_rejected(&daemon, 1).await;
    assert_eq!(rejected[0].reason, "poison");
    let event = String::from_utf8_lossy(&rejected[0].event);
    assert!(event.contains("reg-2"), "{event}");
    assert_eq!(daemon.view("reg-2").await["state"], "awaiting_organization");
    // Whoever sends it again is heard.
    daemon.send(&events::withdrawn("reg-2")).await;
    daemon.wait_state("reg-2", "withdrawn").await;
}
