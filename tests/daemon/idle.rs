//! Applicants who do nothing: a reminder, then the end (D12).

use serde_json::Value;

use crate::steps::{Applicant, JOINER, NEWBIE, NOOR, first, select, stable, timeline, timers, wait_rejected};
use crate::support::daemon::{Builder, TestDaemon};
use crate::support::database::Database;
use crate::support::events;

crate::support::for_each_database!(
    d12_in_every_state_that_waits_for_the_applicant_one_reminder_and_then_the_end,
    d12_acting_begins_another_wait,
    d12_who_waits_for_others_is_not_reminded,
);

/// With an address that is refused (R11).
const PERSONAL: Applicant = Applicant {
    account: "personal",
    ..NEWBIE
};

fn builder(database: Database, reminder: &str, expiry: &str) -> Builder {
    TestDaemon::builder(database)
        .setting("dispatcher.poll", "50ms")
        .setting("applicant.reminder", reminder)
        .setting("applicant.expiry", expiry)
}

async fn d12_in_every_state_that_waits_for_the_applicant_one_reminder_and_then_the_end(database: Database) {
    let daemon = builder(database, "3s", "6s").start().await;
    let link = select(&daemon, "reg-email", NOOR, "acme").await;
    let all = [
        ("reg-correction", PERSONAL, "needs_correction"),
        ("reg-confirmation", JOINER, "awaiting_confirmation"),
        ("reg-organization", NEWBIE, "awaiting_organization"),
    ];
    for (registration, applicant, _) in all {
        daemon.send(&applicant.submitted(registration)).await;
    }
    for (registration, _, state) in all {
        daemon.wait_state(registration, state).await;
    }
    for registration in ["reg-email", "reg-correction", "reg-confirmation", "reg-organization"] {
        let view = daemon.wait_state(registration, "expired").await;
        assert_eq!(
            timeline(&view)[timeline(&view).len() - 2..],
            ["registration.time_is_up"; 2],
            "{registration}: the reminder, then the end"
        );
        let address = view["account"]["email"].as_str().expect("the profile has an address");
        // An address that the portal refuses is still one that mail reaches.
        let reminder = first(daemon.wait_kind("idle_reminder", registration, 1).await);
        let end = first(daemon.wait_kind("expired", registration, 1).await);
        assert_eq!(
            (&reminder.to[..], &end.to[..]),
            (&[address.to_owned()][..], &[address.to_owned()][..])
        );
        insta::assert_snapshot!(format!("idle_mail_reminder_{registration}"), reminder.snapshot());
        assert_eq!(timers(&daemon, registration).await, []);
        let kinds = daemon.kinds_about(registration);
        let count = |kind: &str| kinds.iter().filter(|found| *found == kind).count();
        assert_eq!(count("expired"), 1);
        // Whoever was slow at selecting was reminded of that as well.
        assert!(
            count("idle_reminder") == 1 || registration == "reg-email",
            "{registration}: {kinds:?}"
        );
        if registration == "reg-confirmation" {
            insta::assert_json_snapshot!("idle_view_expired", stable(&view));
            insta::assert_snapshot!("idle_mail_expired", end.snapshot());
        }
    }

    // It is over: neither the link nor the choice counts any more, and asking again is free.
    let (status, page) = daemon.press(link.link_path().expect("the mail has a link")).await;
    assert_eq!(status, 410, "{page}");
    daemon
        .send(&events::organization_selected("reg-organization", Some("acme")))
        .await;
    assert_eq!(wait_rejected(&daemon, 1).await[0].code(), "wrong_state");
    daemon.send(&NEWBIE.submitted("reg-again")).await;
    daemon.wait_state("reg-again", "awaiting_organization").await;
}

async fn d12_acting_begins_another_wait(database: Database) {
    let daemon = builder(database, "1s", "1h").start().await;
    daemon.send(&PERSONAL.submitted("reg-1")).await;
    daemon.wait_state("reg-1", "needs_correction").await;
    daemon.wait_kind("idle_reminder", "reg-1", 1).await;
    let since = since(&daemon, "reg-1").await;
    assert_eq!(
        timers(&daemon, "reg-1").await,
        [("applicant_idle".to_owned(), since + 3_600_000)]
    );

    // Another try, as wrong as the first: it has a reminder of its own, and its own end.
    daemon
        .send(&events::resubmitted("reg-1", PERSONAL.contract, "WRONG"))
        .await;
    daemon.wait_kind("idle_reminder", "reg-1", 2).await;
    let later = self::since(&daemon, "reg-1").await;
    assert!(later > since);
    assert_eq!(
        timers(&daemon, "reg-1").await,
        [("applicant_idle".to_owned(), later + 3_600_000)]
    );
    let view = daemon.view("reg-1").await;
    assert_eq!(view["state"], "needs_correction");

    daemon.send(&events::withdrawn("reg-1")).await;
    let view = daemon.wait_state("reg-1", "withdrawn").await;
    assert_eq!(view["deadline"], Value::Null);
    assert_eq!(timers(&daemon, "reg-1").await, []);
    assert_eq!(daemon.kinds_about("reg-1"), ["idle_reminder", "idle_reminder"]);
}

async fn d12_who_waits_for_others_is_not_reminded(database: Database) {
    let daemon = builder(database, "5s", "6s").start().await;
    crate::steps::confirm(&daemon, "reg-1", JOINER).await;
    let link = select(&daemon, "reg-2", NOOR, "acme").await;
    crate::steps::press(&daemon, &link).await;
    daemon.wait_state("reg-2", "active").await;

    // Once a later one has expired, theirs would have come as well.
    daemon.send(&PERSONAL.submitted("reg-3")).await;
    daemon.wait_state("reg-3", "expired").await;
    daemon.wait_kind("expired", "reg-3", 1).await;
    for registration in ["reg-1", "reg-2"] {
        let kinds = daemon.kinds_about(registration);
        assert!(
            !kinds.iter().any(|kind| kind == "idle_reminder" || kind == "expired"),
            "{kinds:?}"
        );
    }
    assert_eq!(daemon.view("reg-1").await["state"], "awaiting_da");
}

/// When the registration's state began.
async fn since(daemon: &TestDaemon, registration: &str) -> i64 {
    let sql = format!("SELECT since_ms FROM registrations WHERE id = '{registration}'");
    daemon.number(&sql).await.expect("it is there")
}
