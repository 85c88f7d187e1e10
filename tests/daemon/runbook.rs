//! The runbook tried as a new operator would: its commands, as they are written there.

mod jobs;

use crate::steps::{JOINER, NEWBIE, NOOR, confirm, wait_rejected};
use crate::support::daemon::TestDaemon;
use crate::support::database::Database;
use crate::support::events;
use crate::support::runbook::{commands, filled};

crate::support::for_each_database!(d24_a_person_is_erased, a_refused_event_is_replayed);

async fn d24_a_person_is_erased(database: Database) {
    let daemon = TestDaemon::builder(database).start().await;
    confirm(&daemon, "reg-1", JOINER).await;
    daemon.send(&events::withdrawn("reg-1")).await;
    daemon.wait_state("reg-1", "withdrawn").await;
    daemon.wait_kind("access_request", "reg-1", 1).await;
    for command in commands("Erasing a person") {
        let told = daemon.typed(&filled(command, &[]));
        assert!(told.starts_with("erased reg-1"), "{told}");
    }
    assert_eq!(daemon.find_view("reg-1").await, None);
}

async fn a_refused_event_is_replayed(database: Database) {
    let daemon = TestDaemon::builder(database).start().await;
    daemon.send(&events::withdrawn("reg-1")).await;
    daemon.send(&events::withdrawn("reg-2")).await;
    wait_rejected(&daemon, 2).await;
    for (registration, applicant) in [("reg-1", NEWBIE), ("reg-2", NOOR)] {
        daemon.send(&applicant.submitted(registration)).await;
        daemon.wait_state(registration, "awaiting_organization").await;
    }
    let [list, replay, replay_all, discard] = commands("Replay a refused event")[..] else {
        panic!("the section has other commands by now");
    };
    let table = daemon.typed(&filled(list, &[]));
    // The newest stands first.
    let row = table.lines().nth(2).expect("two rows below the titles");
    let seq = row.split_whitespace().next().expect("a number");
    let subject = if row.contains("reg-1") { "reg-1" } else { "reg-2" };
    let other = if subject == "reg-1" { "reg-2" } else { "reg-1" };
    daemon
        .wait_view("reg-2", "routed", |view| view["state"] != "verifying")
        .await;
    assert!(daemon.typed(&filled(replay, &[("SEQ", seq)])).starts_with(seq));
    daemon.wait_state(subject, "withdrawn").await;
    assert_eq!(daemon.typed(&filled(replay_all, &[])).lines().count(), 1);
    daemon.wait_state(other, "withdrawn").await;
    assert!(daemon.typed(&filled(discard, &[("SEQ", seq)])).contains(subject));
}
