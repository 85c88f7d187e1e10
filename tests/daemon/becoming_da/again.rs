//! Verification once more before the appointment (D21), and additional assessment (D9).

use serde_json::json;

use crate::steps::{NEWBIE, NOOR, codes, first, press, select};
use crate::support::daemon::TestDaemon;
use crate::support::database::Database;
use crate::support::events;

crate::support::for_each_database!(
    d21_what_has_changed_since_is_corrected_first,
    d21_a_changed_address_is_verified_anew,
    d9_a_flagged_account_is_assessed_by_an_agent_once_the_address_is_verified,
);

async fn d21_what_has_changed_since_is_corrected_first(database: Database) {
    let daemon = TestDaemon::builder(database).start().await;
    let mail = select(&daemon, "reg-1", NEWBIE, "acme").await;
    let contract = |status: &str| {
        json!({"contracts": [{"number": "93988396", "type": "smart_net_total_care", "status": status,
            "ends_on": "2099-12-31", "organization_id": "acme-utrecht", "flagged": false}]})
    };
    daemon.import(&contract("inactive"));
    press(&daemon, &mail).await;
    let view = daemon.wait_state("reg-1", "needs_correction").await;
    assert_eq!(codes(&view), [("contract_number", "contract_inactive")]);
    let told = first(daemon.wait_kind("correction_needed", "reg-1", 1).await);
    assert_eq!(told.to, ["newbie@acme.example"]);
    insta::assert_snapshot!("becoming_da_mail_correction_needed", told.snapshot());

    // Renewed: the same road once more, to its end.
    daemon.import(&contract("active"));
    daemon
        .send(&events::resubmitted("reg-1", NEWBIE.contract, NEWBIE.serial))
        .await;
    daemon.wait_state("reg-1", "awaiting_organization").await;
    daemon.send(&events::organization_selected("reg-1", Some("acme"))).await;
    let mails = daemon.wait_kind("verification", "reg-1", 2).await;
    let fresh = mails.iter().find(|other| **other != mail).expect("another mail");
    press(&daemon, fresh).await;
    daemon.wait_state("reg-1", "active").await;
}

async fn d21_a_changed_address_is_verified_anew(database: Database) {
    let daemon = TestDaemon::builder(database).start().await;
    let mail = select(&daemon, "reg-1", NEWBIE, "acme").await;
    daemon.import(
        &json!({"accounts": [{"id": "newbie", "name": "SNTC Newbie", "email": "new@acme.example",
        "status": "active", "locale": "en", "flagged": false, "contracts": ["93988396"]}]}),
    );
    press(&daemon, &mail).await;
    let mails = daemon.wait_kind("verification", "reg-1", 2).await;
    let fresh = mails.iter().find(|other| **other != mail).expect("another mail");
    assert_eq!(fresh.to, ["new@acme.example"]);
    let view = daemon.view("reg-1").await;
    assert_eq!(view["state"], "awaiting_email");
    assert_eq!(view["account"]["email"], "new@acme.example");
    // The old address proves nothing any more.
    let _ = daemon.press(mail.link_path().expect("the mail has a link")).await;
    assert_eq!(daemon.view("reg-1").await["state"], "awaiting_email");
    press(&daemon, fresh).await;
    daemon.wait_state("reg-1", "active").await;
    let welcome = first(daemon.wait_kind("welcome", "reg-1", 1).await);
    assert_eq!(welcome.to, ["new@acme.example"], "R52");
}

async fn d9_a_flagged_account_is_assessed_by_an_agent_once_the_address_is_verified(database: Database) {
    let daemon = TestDaemon::builder(database)
        .setting("review.mailbox", "agents@vendor.example")
        .start()
        .await;
    // Noor is flagged; Newbie's domain is none of ACME's.
    daemon.import(&json!({"accounts": [
        {"id": "nieuweling", "name": "Noor Nieuweling", "email": "noor@acme.example", "status": "active",
            "locale": "nl", "flagged": true, "contracts": ["93988396"]},
        {"id": "newbie", "name": "SNTC Newbie", "email": "newbie@elsewhere.example", "status": "active",
            "locale": "en", "flagged": false, "contracts": ["93988396"]}]}));
    for (registration, applicant) in [("reg-1", NOOR), ("reg-2", NEWBIE)] {
        let mail = select(&daemon, registration, applicant, "acme").await;
        press(&daemon, &mail).await;
        let view = daemon.wait_state(registration, "in_review").await;
        assert_eq!(view["review_reason"], "additional_assessment");
        daemon.wait_kind("review_case", registration, 1).await;
    }
    assert_eq!(daemon.count("appointments").await, 0);
}
