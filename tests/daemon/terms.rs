//! Terms and conditions that a DA has not accepted (R69, D15).

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::delegation::{delegated, more_people};
use crate::steps::{NEWBIE, first, press, select, wait_rejected};
use crate::support::child::PATIENCE;
use crate::support::daemon::TestDaemon;
use crate::support::database::Database;
use crate::support::events;

crate::support::for_each_database!(d15_a_da_is_reminded_until_the_terms_are_accepted_and_then_ops_are_told);

fn accepted(account: &str, organization: &str) -> Value {
    events::event(
        "delegation.terms_accepted",
        account,
        &json!({"organization_id": organization}),
    )
}

async fn d15_a_da_is_reminded_until_the_terms_are_accepted_and_then_ops_are_told(database: Database) {
    let daemon = TestDaemon::builder(database)
        .setting("dispatcher.poll", "50ms")
        .setting("terms.reminders", vec!["1500ms", "2500ms"])
        .setting("ops.mailbox", "ops@vendor.example")
        .start()
        .await;
    daemon.import(&more_people());
    let mail = select(&daemon, "reg-1", NEWBIE, "acme").await;
    press(&daemon, &mail).await;
    daemon.wait_state("reg-1", "active").await;
    // Another accepts before the first reminder.
    daemon.send(&delegated("administrator_added", "third", "boss")).await;
    daemon.send(&accepted("third", "globex")).await;

    let reminder = first(daemon.wait_kind("terms_reminder", "reg-1", 1).await);
    assert_eq!(reminder.to, ["newbie@acme.example"]);
    insta::assert_snapshot!("terms_mail_reminder", reminder.snapshot());
    let alert = first(daemon.wait_kind("ops_alert", "reg-1", 1).await);
    assert_eq!(alert.to, ["ops@vendor.example"]);
    insta::assert_snapshot!("terms_mail_ops_alert", alert.snapshot());
    let events = wait_alerts(&daemon, 1).await;
    assert_eq!(events.len(), 1, "{events:#?}");
    assert_eq!(events[0]["data"]["code"], "terms_not_accepted");
    assert_eq!(events[0]["data"]["account_id"], "newbie");
    assert_eq!(events[0]["data"]["organization_id"], "acme");

    // That was the end of it; and of the other's there is none.
    let start = Instant::now();
    let open = "jobs WHERE kind = 'terms' AND state <> 'succeeded'";
    while daemon.count(open).await > 0 {
        assert!(start.elapsed() < PATIENCE, "reminders go on");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let notes = daemon
        .rows("SELECT note FROM jobs WHERE kind = 'terms' ORDER BY note")
        .await;
    assert_eq!(
        notes,
        [
            json!({"note": "ops were told"}),
            json!({"note": "the terms are accepted"})
        ]
    );
    assert!(
        daemon
            .mails()
            .iter()
            .all(|mail| !mail.is("terms_reminder") || mail.to == ["newbie@acme.example"]),
        "who has accepted is not reminded"
    );
    // Late is not too late; once is enough.
    daemon.send(&accepted("newbie", "acme")).await;
    daemon.send(&accepted("newbie", "acme")).await;
    let rejected = wait_rejected(&daemon, 1).await;
    assert_eq!(
        (rejected[0].reason.as_str(), rejected[0].code()),
        ("not_allowed", "already_accepted")
    );
    assert_eq!(
        daemon.count("appointments WHERE terms_accepted_ms IS NOT NULL").await,
        2
    );
}

/// The `ops.alert` that went out, once there are `count` or more.
pub(crate) async fn wait_alerts(daemon: &TestDaemon, count: usize) -> Vec<Value> {
    let start = Instant::now();
    loop {
        let mut alerts = daemon.events().await;
        alerts.retain(|event| event["type"] == "ops.alert");
        if alerts.len() >= count {
            return alerts;
        }
        assert!(start.elapsed() < PATIENCE, "{} of {count} alerts", alerts.len());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
