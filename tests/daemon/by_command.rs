//! What people do to registrations by command: it goes the way of upstream's events, and they are told what came of it.

use std::process::Output;

use serde_json::{Value, json};

use crate::steps::{JOINER, NEWBIE, NOOR, confirm, wait_rejected};
use crate::support::daemon::TestDaemon;
use crate::support::database::Database;
use crate::support::events;

crate::support::for_each_database!(
    r19_a_registration_is_withdrawn_for_its_applicant,
    d10_a_case_is_decided_on,
);

/// What the command wrote; its exit status must be `status`.
#[track_caller]
fn said(output: &Output, status: i32) -> String {
    let text = [&output.stdout[..], &output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert_eq!(output.status.code(), Some(status), "{text}");
    text
}

fn last_line(view: &Value) -> &Value {
    let lines = view["timeline"].as_array().expect("a timeline");
    lines.last().expect("something has happened")
}

async fn r19_a_registration_is_withdrawn_for_its_applicant(database: Database) {
    let mut daemon = TestDaemon::builder(database).start().await;
    confirm(&daemon, "reg-1", JOINER).await;
    let withdraw = ["registrations", "withdraw", "reg-1", "--reason", "asked by phone"];
    assert_eq!(said(&daemon.cli(&withdraw), 0), "reg-1: withdrawn\n");
    let view = daemon.view("reg-1").await;
    let line = last_line(&view);
    assert_eq!(line["event"], "registration.withdrawn");
    assert_eq!(line["detail"]["reason"], "asked by phone");
    assert_ne!(line["actor"], "joiner", "who gave the command, not the applicant");

    // The state is looked at before anything is sent.
    let told = said(&daemon.cli(&withdraw), 1);
    assert!(told.contains("reg-1 is withdrawn: nothing is possible now"), "{told}");
    let told = said(&daemon.cli(&["registrations", "withdraw", "reg-9"]), 1);
    assert!(told.contains("no registration has the id \"reg-9\""), "{told}");
    let long = "x".repeat(501);
    let told = said(
        &daemon.cli(&["registrations", "withdraw", "reg-1", "--reason", &long]),
        2,
    );
    assert!(told.contains("longer than 500 characters"), "{told}");
    assert_eq!(daemon.count("refused").await, 0);

    // With nobody to take it in it is handed in all the same, and counts later.
    daemon.send(&NEWBIE.submitted("reg-2")).await;
    daemon.wait_state("reg-2", "awaiting_organization").await;
    daemon.terminate();
    let told = said(
        &daemon.cli(&["registrations", "withdraw", "reg-2", "--wait", "200ms"]),
        1,
    );
    assert!(told.contains("no outcome within 200ms"), "{told}");
    let entry = said(&daemon.cli(&["registrations", "withdraw", "reg-2", "--no-wait"]), 0);
    assert!(entry.trim_end().ends_with("-0"), "the id of an entry: {entry}");
    daemon.start().await;
    daemon.wait_state("reg-2", "withdrawn").await;
    // The second is refused, as upstream's would be.
    assert_eq!(wait_rejected(&daemon, 1).await[0].code(), "wrong_state");
}

async fn d10_a_case_is_decided_on(database: Database) {
    let daemon = TestDaemon::builder(database).start().await;
    for (id, applicant) in [("reg-1", NEWBIE), ("reg-2", NOOR)] {
        daemon.send(&applicant.submitted(id)).await;
        daemon.wait_state(id, "awaiting_organization").await;
    }
    let decide = |id: &str, words: &[&str]| daemon.cli(&[&["review", "decide", id, "--decision"], words].concat());
    let told = said(&decide("reg-1", &["reject"]), 1);
    assert!(
        told.contains("reg-1 is awaiting_organization: possible are now registration.organization_selected"),
        "{told}"
    );
    for id in ["reg-1", "reg-2"] {
        daemon.send(&events::organization_selected(id, None)).await;
        daemon.wait_state(id, "in_review").await;
    }
    for (words, why) in [
        (
            ["appoint", "--organization", "nowhere"],
            "there is no organization nowhere",
        ),
        (["route", "--organization", "acme"], "no DA of acme can be reached"),
    ] {
        let told = said(&decide("reg-1", &words), 1);
        assert!(
            told.contains("refused for registration reg-1") && told.contains(why),
            "{told}"
        );
    }
    let told = said(&decide("reg-1", &["ask", "--question", "Which site?"]), 0);
    assert_eq!(told, "reg-1: awaiting_information\n");
    let told = said(
        &decide("reg-1", &["route", "--organization", "globex", "--agent", "ann"]),
        0,
    );
    assert_eq!(told, "reg-1: awaiting_da\n");
    let view = daemon.view("reg-1").await;
    assert_eq!(last_line(&view)["actor"], "ann");

    let rejected = decide("reg-2", &["reject", "--reason", "unknown to us", "--output", "json"]);
    let view: Value = serde_json::from_str(&said(&rejected, 0)).expect("JSON");
    assert_eq!(view["state"], "rejected");
    assert_eq!(last_line(&view)["detail"]["reason"], json!("unknown to us"));
    assert_eq!(daemon.view("reg-2").await, view);
}
