//! Becoming the DA: selection, verification mail, link, appointment (R41–R61, R66–R69).

mod again;
mod links;
mod together;

use serde_json::{Value, json};

use crate::steps::{NEWBIE, first, press, select, stable, timeline, wait_changes};
use crate::support::daemon::TestDaemon;
use crate::support::database::Database;
use crate::support::events;

crate::support::for_each_database!(
    r2_r56_the_first_to_complete_becomes_da,
    r43_back_voids_the_choice_and_r44_none_of_the_above_goes_to_an_agent,
);

async fn r2_r56_the_first_to_complete_becomes_da(database: Database) {
    let daemon = TestDaemon::builder(database).start().await;
    daemon
        .send(&events::submitted("reg-1", "newbie", " 93988396", "foc1436y3xk "))
        .await;

    let view = daemon.wait_state("reg-1", "awaiting_organization").await;
    let ids: Vec<_> = view["organizations"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|o| &o["id"])
        .collect();
    assert_eq!(
        ids,
        ["acme", "acme-emea", "acme-utrecht"],
        "D6, R42, R49: the root first"
    );
    insta::assert_json_snapshot!("becoming_da_view_1_select", stable(&view));

    daemon.send(&events::organization_selected("reg-1", Some("acme"))).await;
    let view = daemon.wait_state("reg-1", "awaiting_email").await;
    insta::assert_json_snapshot!("becoming_da_view_2_verify", stable(&view));
    let mail = first(daemon.wait_kind("verification", "reg-1", 1).await);
    assert_eq!(mail.to, ["newbie@acme.example"]);
    insta::assert_snapshot!("becoming_da_mail_verification", mail.snapshot());

    press(&daemon, &mail).await;
    let view = daemon.wait_state("reg-1", "active").await;
    assert_eq!(view["role"], "customer_administrator");
    assert_eq!(view["organization_id"], "acme");
    insta::assert_json_snapshot!("becoming_da_view_3_active", stable(&view));
    for kind in ["welcome", "customer_administrator", "da_terms"] {
        let mail = first(daemon.wait_kind(kind, "reg-1", 1).await);
        assert_eq!(mail.to, ["newbie@acme.example"]);
        insta::assert_snapshot!(format!("becoming_da_mail_{kind}"), mail.snapshot());
    }

    changes_come_out_in_order(&daemon, &view).await;
    assert_eq!(
        daemon.kinds_about("reg-1"),
        ["customer_administrator", "da_terms", "verification", "welcome"],
        "R66, and no other mail is sent"
    );
    assert!(daemon.rejected().await.is_empty());
}

/// Contract, section 2.
async fn changes_come_out_in_order(daemon: &TestDaemon, view: &Value) {
    let versions = view["timeline"].as_array().map_or(0, Vec::len);
    let changes = wait_changes(daemon, "reg-1", versions).await;
    assert_eq!(changes.len(), versions, "one for every change of the view");
    for (change, version) in changes.iter().zip(1..) {
        assert_eq!(change["id"], format!("reg-1:{version}"));
        assert_eq!(change["source"], "/enrolld");
        assert_eq!(change["specversion"], "1.0");
        assert_eq!(change["subject"], "reg-1");
        assert_eq!(change["data"]["version"], version);
    }
    let states: Vec<_> = changes.iter().map(|change| &change["data"]["state"]).collect();
    assert_eq!(
        states,
        [
            "verifying",
            "routing",
            "awaiting_organization",
            "awaiting_email",
            "active"
        ]
    );
    let mut announced = view.clone();
    let fields = announced.as_object_mut().expect("a view is an object");
    for list in ["timeline", "administrators", "organizations"] {
        fields.remove(list).expect("the view has it");
    }
    fields.insert("version".to_owned(), json!(versions));
    assert_eq!(changes[versions - 1]["data"], announced);
}

async fn r43_back_voids_the_choice_and_r44_none_of_the_above_goes_to_an_agent(database: Database) {
    let daemon = TestDaemon::builder(database)
        .setting("review.mailbox", "agents@vendor.example")
        .start()
        .await;
    let first_mail = select(&daemon, "reg-1", NEWBIE, "acme").await;
    daemon
        .send(&events::resubmitted("reg-1", NEWBIE.contract, NEWBIE.serial))
        .await;
    let view = daemon
        .wait_view("reg-1", "again where an organization is selected", |view| {
            view["state"] == "awaiting_organization" && timeline(view).contains(&"registration.resubmitted")
        })
        .await;
    assert_eq!(view["organization_id"], Value::Null);
    assert_eq!(view["link_valid_until"], Value::Null);
    // The link of before is void, whoever uses it.
    let _ = daemon.press(first_mail.link_path().expect("the mail has a link")).await;
    assert_eq!(daemon.view("reg-1").await["state"], "awaiting_organization");

    // What was not offered cannot be selected.
    daemon
        .send(&events::organization_selected("reg-1", Some("globex")))
        .await;
    let rejected = crate::steps::wait_rejected(&daemon, 1).await;
    assert_eq!(
        (rejected[0].reason.as_str(), rejected[0].code()),
        ("invalid_data", "organization_not_offered")
    );

    daemon.send(&events::organization_selected("reg-1", None)).await;
    let view = daemon.wait_state("reg-1", "in_review").await;
    assert_eq!(view["review_reason"], "none_of_the_above");
    let mail = first(daemon.wait_kind("review_case", "reg-1", 1).await);
    assert_eq!(mail.to, ["agents@vendor.example"]);
    insta::assert_snapshot!("becoming_da_mail_review_case", mail.snapshot());
}
