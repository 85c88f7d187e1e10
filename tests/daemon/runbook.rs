//! The runbook tried as a new operator would: its commands, as they are written there.

mod jobs;

use serde_json::Value;

use crate::steps::{JOINER, NEWBIE, NOOR, confirm, wait_rejected};
use crate::support::daemon::TestDaemon;
use crate::support::database::Database;
use crate::support::events;
use crate::support::runbook::{commands, filled};

crate::support::for_each_database!(
    d24_a_person_is_erased,
    why_a_registration_is_stuck_is_found_out,
    a_refused_event_is_replayed,
);

async fn d24_a_person_is_erased(database: Database) {
    let daemon = TestDaemon::builder(database).start().await;
    confirm(&daemon, "reg-1", JOINER).await;
    daemon.wait_kind("access_request", "reg-1", 1).await;
    let [list, withdraw, erase] = commands("Erase a person's data")[..] else {
        panic!("the section has other commands by now");
    };
    let table = daemon.typed(&filled(list, &[("ACCOUNT", JOINER.account)]));
    let found = table.lines().nth(1).and_then(|row| row.split_whitespace().next());
    let id = found.expect("the person's registration");
    assert_eq!(daemon.typed(&filled(withdraw, &[("ID", id)])), "reg-1: withdrawn\n");
    let told = daemon.typed(&filled(erase, &[("ID", id)]));
    assert!(told.starts_with("erased reg-1"), "{told}");
    assert_eq!(daemon.find_view("reg-1").await, None);
}

async fn why_a_registration_is_stuck_is_found_out(database: Database) {
    let daemon = TestDaemon::builder(database).smtp().start().await;
    let smtp = daemon.smtp.as_ref().expect("it was asked for");
    // The verification mail is refused for good: the applicant waits for it in vain.
    smtp.fail_next(1, 550);
    daemon.send(&NEWBIE.submitted("reg-1")).await;
    daemon.wait_state("reg-1", "awaiting_organization").await;
    daemon.send(&events::organization_selected("reg-1", Some("acme"))).await;
    let failed = |view: &Value| view["review_reason"] == "processing_failed";
    daemon.wait_view("reg-1", "a case of a dead job", failed).await;
    // And upstream has sent what cannot be.
    daemon.send(&events::confirmed("reg-1")).await;
    wait_rejected(&daemon, 1).await;

    let commands = commands("Why is a registration stuck");
    let [status, show, jobs, mails, rejected, withdraw] = commands[..] else {
        panic!("the section has other commands by now: {commands:?}");
    };
    let typed = |command: &str| daemon.typed(&filled(command, &[("ID", "reg-1")]));
    for (command, part) in [
        (status, "smtp_refused 1"),
        (show, "processing_failed"),
        (jobs, "dead"),
        (mails, "failed"),
        (rejected, "not_allowed"),
    ] {
        let told = typed(command);
        assert!(told.contains(part), "{command}: {told}");
    }
    assert_eq!(typed(withdraw), "reg-1: withdrawn\n");
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
