//! Refused events are judged anew, or discarded, by command (contract, section 1).

use std::process::Output;

use serde_json::Value;

use crate::steps::{NEWBIE, wait_rejected};
use crate::support::daemon::TestDaemon;
use crate::support::database::Database;
use crate::support::events;

crate::support::for_each_database!(
    refused_events_are_replayed_and_discarded,
    poison_is_replayed_only_by_name
);

fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// The number under which the refused event of this type is kept.
fn seq_of(daemon: &TestDaemon, kind: &str) -> String {
    let listed = daemon.cli_json(&["intake", "rejected"]);
    let events = listed.as_array().expect("a list");
    let found = events.iter().find(|event| event["type"] == kind);
    found.expect("it is kept")["seq"].to_string()
}

async fn refused_events_are_replayed_and_discarded(database: Database) {
    let mut daemon = TestDaemon::builder(database).start().await;
    // Upstream was too early with these. The first cannot be read again, since its token is not kept.
    daemon.send(&events::email_verified("reg-1", "the-token")).await;
    daemon.send(&events::organization_selected("reg-1", None)).await;
    daemon.send(&events::withdrawn("reg-1")).await;
    wait_rejected(&daemon, 3).await;
    let (verified, withdrawn) = (
        seq_of(&daemon, "registration.email_verified"),
        seq_of(&daemon, "registration.withdrawn"),
    );
    daemon.send(&NEWBIE.submitted("reg-1")).await;
    daemon.wait_state("reg-1", "awaiting_organization").await;

    // What Redis does not take is not called replayed.
    daemon.redis.kill();
    let (status, told, complaint) = said(&daemon.cli(&["intake", "replay", &withdrawn]));
    assert_eq!((status, told.as_str()), (Some(1), ""), "{complaint}");
    assert!(complaint.contains("no event was noted as replayed"), "{complaint}");
    assert_eq!(daemon.count("refused WHERE replayed_ms IS NOT NULL").await, 0);
    daemon.redis.restart();

    // If one of those named cannot go back, none does.
    let (status, _, complaint) = said(&daemon.cli(&["intake", "replay", &verified, &withdrawn, "4711"]));
    assert_eq!(status, Some(1));
    for part in [
        "nothing was replayed",
        "the token of its link is not kept",
        "4711: there is no such",
    ] {
        assert!(complaint.contains(part), "{complaint}");
    }
    assert_eq!(daemon.count("refused WHERE replayed_ms IS NOT NULL").await, 0);

    // In the order in which they came, so that the choice is taken before the withdrawal.
    let replay = [
        "intake",
        "replay",
        "--all",
        "--reason",
        "unknown_registration",
        "malformed",
    ];
    let (status, told, remark) = said(&daemon.cli(&replay));
    assert_eq!((status, told.lines().count()), (Some(0), 2), "{told}{remark}");
    assert!(remark.contains("2 events are back on the intake"), "{remark}");
    assert!(remark.contains("1 event is not kept as it came"), "{remark}");
    let view = daemon.wait_state("reg-1", "withdrawn").await;
    let lines = view["timeline"].as_array().expect("a timeline");
    let last: Vec<&Value> = lines.iter().rev().take(2).map(|line| &line["event"]).collect();
    assert_eq!(last, ["registration.withdrawn", "registration.organization_selected"]);

    // Whoever comes second is told.
    let listed = daemon.cli_json(&["intake", "rejected"]);
    let marked: Vec<bool> = listed
        .as_array()
        .expect("a list")
        .iter()
        .map(|event| event["replayed_at"].is_string() && event["replayed_by"].is_string())
        .collect();
    assert_eq!(marked, [true, true, false]);
    let (status, _, complaint) = said(&daemon.cli(&["intake", "replay", &withdrawn]));
    assert_eq!(status, Some(1));
    assert!(complaint.contains("has replayed it"), "{complaint}");
    assert!(complaint.contains("--again"), "{complaint}");
    let (status, told, remark) = said(&daemon.cli(&replay));
    assert_eq!((status, told.as_str()), (Some(0), ""), "{remark}");
    assert!(remark.contains("nothing to replay"), "{remark}");
    // Once more does no harm: it has been applied.
    let (status, told, _) = said(&daemon.cli(&["intake", "replay", &withdrawn, "--again"]));
    assert_eq!((status, told.starts_with(&format!("{withdrawn} "))), (Some(0), true));
    let told = daemon.cli_json(&["intake", "replay", &withdrawn, "--again"]);
    assert_eq!(
        (told["replayed"][0]["seq"].to_string(), &told["lost_number"]),
        (withdrawn.clone(), &0.into())
    );
    daemon.wait_intake_empty().await;
    assert_eq!(daemon.count("refused").await, 3);

    // Discarded once, and not twice.
    let (status, told, complaint) = said(&daemon.cli(&["intake", "discard", &withdrawn]));
    assert_eq!(status, Some(0), "{complaint}");
    assert_eq!(
        told,
        format!("{withdrawn} registration.withdrawn of reg-1: unknown_registration (unknown_registration)\n")
    );
    let (status, _, complaint) = said(&daemon.cli(&["intake", "discard", &verified, &withdrawn]));
    assert_eq!(status, Some(1));
    assert!(complaint.contains("nothing was discarded"), "{complaint}");
    let told = daemon.cli_json(&["intake", "discard", &verified]);
    assert_eq!(
        told,
        serde_json::json!({"discarded": [{"seq": verified.parse::<i64>().expect("a number"), "type": "registration.email_verified",
            "subject": "reg-1", "reason": "unknown_registration", "code": "unknown_registration"}], "kept_number": 0})
    );
    let (_, told, _) = said(&daemon.cli(&["intake", "discard", "--all", "--reason", "unknown_registration"]));
    assert_eq!(told.lines().count(), 1, "{told}");
    assert_eq!(daemon.count("refused").await, 0);
}

async fn poison_is_replayed_only_by_name(database: Database) {
    let daemon = TestDaemon::builder(database).start().await;
    daemon.send(&events::withdrawn("reg-1")).await;
    wait_rejected(&daemon, 1).await;
    let marked = daemon.rows("UPDATE refused SET reason = 'poison' RETURNING seq").await;
    let seq = marked[0]["seq"].to_string();
    let (status, told, remark) = said(&daemon.cli(&["intake", "replay", "--all"]));
    assert_eq!((status, told.as_str()), (Some(0), ""), "{remark}");
    assert!(remark.contains("nothing to replay\n"), "{remark}");
    assert!(remark.contains("what ended daemons is left out (poison)"), "{remark}");
    let (status, told, remark) = said(&daemon.cli(&["intake", "replay", "--all", "--reason", "poison"]));
    assert_eq!((status, told.lines().count()), (Some(0), 1), "{remark}");
    let (status, told, remark) = said(&daemon.cli(&["intake", "replay", &seq, "--again"]));
    assert_eq!((status, told.lines().count()), (Some(0), 1), "{remark}");
    assert!(!remark.contains("left out"), "{remark}");
}
