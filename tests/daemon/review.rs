//! An agent's decisions: appoint, route, reject, ask (R44, R45, R62–R65, D10).

mod assessment;
mod clock;

use serde_json::{Value, json};

use crate::steps::{Applicant, NEWBIE, NOOR, first, press, stable, timers, wait_rejected};
use crate::support::daemon::{Builder, TestDaemon};
use crate::support::database::Database;
use crate::support::events;

crate::support::for_each_database!(
    r45_none_of_the_above_ends_with_the_organization_that_the_agent_chose,
    d10_routed_to_another_company_its_da_grants_there,
    d10_a_rejection_tells_its_reason,
    d10_a_question_is_answered_and_the_review_goes_on,
    d10_an_organization_that_cannot_be_chosen_is_refused,
);

const AGENTS: &str = "agents@vendor.example";

fn builder(database: Database) -> Builder {
    TestDaemon::builder(database)
        .setting("dispatcher.poll", "50ms")
        .setting("review.mailbox", AGENTS)
}

/// Goes as far as `in_review`, by *None of the above*.
async fn none_of_the_above(daemon: &TestDaemon, registration: &str, applicant: Applicant) -> Value {
    daemon.send(&applicant.submitted(registration)).await;
    daemon.wait_state(registration, "awaiting_organization").await;
    daemon.send(&events::organization_selected(registration, None)).await;
    daemon.wait_state(registration, "in_review").await
}

async fn r45_none_of_the_above_ends_with_the_organization_that_the_agent_chose(database: Database) {
    let daemon = builder(database).start().await;
    // Of another tree than the contract's.
    daemon.import(&json!({"organizations": [
        {"id": "initech", "name": "INITECH", "address": ["7 OFFICE PARK"], "country": "US", "parent_id": null,
            "email_domains": ["initech.example"], "flagged": false}]}));
    let view = none_of_the_above(&daemon, "reg-1", NEWBIE).await;
    assert_eq!(view["review_reason"], "none_of_the_above");
    insta::assert_json_snapshot!("review_view_none_of_the_above", stable(&view));

    // R51: the address is not verified yet.
    daemon.send(&events::appointed("reg-1", "initech")).await;
    let view = daemon.wait_state("reg-1", "awaiting_email").await;
    assert_eq!(view["organization_id"], "initech");
    let line = view["timeline"]
        .as_array()
        .and_then(|lines| lines.last())
        .expect("a line");
    assert_eq!(
        (&line["actor"], &line["detail"]["decision"]),
        (&json!("agent-7"), &json!("appoint"))
    );
    let mail = first(daemon.wait_kind("verification", "reg-1", 1).await);
    assert_eq!(mail.to, ["newbie@acme.example"]);
    insta::assert_snapshot!("review_mail_verification_of_an_appointment", mail.snapshot());

    // The domain is none of the organization's: that is what the agent has looked at (D9).
    press(&daemon, &mail).await;
    let view = daemon.wait_state("reg-1", "active").await;
    assert_eq!(
        (&view["organization_id"], &view["role"]),
        (&json!("initech"), &json!("customer_administrator"))
    );
    insta::assert_json_snapshot!("review_view_appointed", stable(&view));
    for kind in ["welcome", "da_terms"] {
        daemon.wait_kind(kind, "reg-1", 1).await;
    }
    let mail = first(daemon.wait_kind("customer_administrator", "reg-1", 1).await);
    insta::assert_snapshot!("review_mail_customer_administrator", mail.snapshot());
    assert_eq!(
        daemon.kinds_about("reg-1"),
        [
            "customer_administrator",
            "da_terms",
            "review_case",
            "verification",
            "welcome"
        ]
    );
    let granted = daemon
        .rows("SELECT organization_id, access FROM grants WHERE registration_id = 'reg-1' ORDER BY access")
        .await;
    assert_eq!(
        granted,
        [
            json!({"organization_id": "initech", "access": "customer_administrator"}),
            json!({"organization_id": "initech", "access": "delegated_administrator"}),
        ],
        "D20"
    );

    // D5 holds for an agent's appointment too: somebody is DA of initech by now.
    none_of_the_above(&daemon, "reg-2", NOOR).await;
    daemon.send(&events::appointed("reg-2", "initech")).await;
    daemon.wait_state("reg-2", "awaiting_email").await;
    press(&daemon, &first(daemon.wait_kind("verification", "reg-2", 1).await)).await;
    let view = daemon.wait_state("reg-2", "awaiting_da").await;
    assert_eq!(view["delegated_administrator"]["account_id"], "newbie");
    daemon.wait_kind("rerouted", "reg-2", 1).await;
    daemon.wait_kind("access_request", "reg-2", 1).await;
    daemon
        .send(&events::da_granted("reg-2", "newbie", "customer_user"))
        .await;
    let view = daemon.wait_state("reg-2", "active").await;
    assert_eq!(view["organization_id"], "initech");
}

async fn d10_routed_to_another_company_its_da_grants_there(database: Database) {
    let daemon = builder(database).start().await;
    none_of_the_above(&daemon, "reg-1", NEWBIE).await;
    daemon.send(&events::routed("reg-1", "globex-west")).await;
    let view = daemon.wait_state("reg-1", "awaiting_da").await;
    assert_eq!(view["delegated_administrator"]["account_id"], "boss");
    assert_eq!(view["review_reason"], Value::Null);
    insta::assert_json_snapshot!("review_view_routed", stable(&view));
    let mail = first(daemon.wait_kind("access_request", "reg-1", 1).await);
    assert_eq!(mail.to, ["bea@globex.example"]);
    insta::assert_snapshot!("review_mail_access_request_routed", mail.snapshot());
    let noticed = first(daemon.wait_kind("access_request_notice", "reg-1", 1).await);
    assert_eq!(noticed.to, ["dirk@globex.example"]);

    // D3: the organization routed to counts as the site, and the contract's does not any more.
    daemon.import(&json!({
        "accounts": [{"id": "acme-da", "name": "Ada Acme", "email": "ada@acme.example", "status": "active",
            "locale": "en", "flagged": false, "contracts": []}],
        "administrators": [{"account_id": "acme-da", "organization_id": "acme"}]}));
    daemon
        .send(&events::da_granted("reg-1", "acme-da", "customer_user"))
        .await;
    assert_eq!(wait_rejected(&daemon, 1).await[0].reason, "not_entitled");

    daemon
        .send(&events::da_granted("reg-1", "deputy", "partner_user"))
        .await;
    let view = daemon.wait_state("reg-1", "active").await;
    assert_eq!(
        (&view["organization_id"], &view["role"]),
        (&json!("globex-west"), &json!("partner_user"))
    );
    let mail = first(daemon.wait_kind("access_approved", "reg-1", 1).await);
    insta::assert_snapshot!("review_mail_access_approved_routed", mail.snapshot());
    let granted = daemon
        .rows("SELECT organization_id, access FROM grants WHERE registration_id = 'reg-1'")
        .await;
    assert_eq!(
        granted,
        [json!({"organization_id": "globex-west", "access": "partner_user"})],
        "D20"
    );
    assert_eq!(timers(&daemon, "reg-1").await, []);
}

async fn d10_a_rejection_tells_its_reason(database: Database) {
    let daemon = builder(database).start().await;
    none_of_the_above(&daemon, "reg-1", NEWBIE).await;
    daemon
        .send(&events::rejected("reg-1", "Not with <i>this</i> contract."))
        .await;
    let view = daemon.wait_state("reg-1", "rejected").await;
    insta::assert_json_snapshot!("review_view_rejected", stable(&view));
    let mail = first(daemon.wait_kind("rejected", "reg-1", 1).await);
    assert_eq!(mail.to, ["newbie@acme.example"]);
    assert!(!mail.html.contains("<i>this"), "a reason is text");
    insta::assert_snapshot!("review_mail_rejected", mail.snapshot());
    assert_eq!(timers(&daemon, "reg-1").await, []);

    // It is final.
    daemon.send(&events::appointed("reg-1", "acme")).await;
    assert_eq!(wait_rejected(&daemon, 1).await[0].code(), "wrong_state");
    assert_eq!(daemon.view("reg-1").await, view);
}

async fn d10_a_question_is_answered_and_the_review_goes_on(database: Database) {
    let daemon = builder(database).start().await;
    none_of_the_above(&daemon, "reg-1", NEWBIE).await;
    let before = timers(&daemon, "reg-1").await;
    daemon
        .send(&events::asked("reg-1", "Which <b>office</b> do you work in?"))
        .await;
    let view = daemon.wait_state("reg-1", "awaiting_information").await;
    assert_eq!(view["question"], "Which <b>office</b> do you work in?");
    assert_eq!(view["review_reason"], "none_of_the_above");
    insta::assert_json_snapshot!("review_view_question", stable(&view));
    let mail = first(daemon.wait_kind("question", "reg-1", 1).await);
    assert_eq!(mail.to, ["newbie@acme.example"]);
    assert!(!mail.html.contains("<b>office"), "a question is text");
    insta::assert_snapshot!("review_mail_question", mail.snapshot());

    daemon
        .send(&events::information_provided("reg-1", "Utrecht, and at times Delft."))
        .await;
    let view = daemon.wait_state("reg-1", "in_review").await;
    assert_eq!(
        (&view["question"], &view["review_reason"]),
        (&Value::Null, &json!("none_of_the_above"))
    );
    let line = view["timeline"]
        .as_array()
        .and_then(|lines| lines.last())
        .expect("a line");
    assert_eq!(line["detail"]["answer"], "Utrecht, and at times Delft.");
    daemon.wait_kind("review_case", "reg-1", 2).await;

    // The applicant's time is not the agent's: the clock goes on where it stood.
    let moments = daemon
        .rows("SELECT at_ms FROM timeline WHERE registration_id = 'reg-1' ORDER BY version")
        .await;
    let moments: Vec<_> = moments.iter().filter_map(|row| row["at_ms"].as_i64()).collect();
    let [.., asked, answered] = moments[..] else {
        panic!("asked and answered: {moments:?}")
    };
    let after = timers(&daemon, "reg-1").await;
    assert_eq!(after, [("manual_review".to_owned(), before[0].1 + answered - asked)]);

    // The agent need not wait for an answer.
    daemon.send(&events::asked("reg-1", "And which floor?")).await;
    daemon.wait_state("reg-1", "awaiting_information").await;
    daemon.send(&events::rejected("reg-1", "Not ours.")).await;
    daemon.wait_state("reg-1", "rejected").await;
    daemon.wait_kind("rejected", "reg-1", 1).await;
    assert_eq!(timers(&daemon, "reg-1").await, []);
    daemon.send(&events::information_provided("reg-1", "The third.")).await;
    assert_eq!(wait_rejected(&daemon, 1).await[0].code(), "wrong_state");
}

async fn d10_an_organization_that_cannot_be_chosen_is_refused(database: Database) {
    let daemon = builder(database).start().await;
    let view = none_of_the_above(&daemon, "reg-1", NEWBIE).await;
    daemon.send(&events::appointed("reg-1", "no-such-organization")).await;
    daemon.send(&events::routed("reg-1", "no-such-organization")).await;
    let rejected = wait_rejected(&daemon, 2).await;
    for refused in &rejected {
        assert_eq!(
            (refused.reason.as_str(), refused.code()),
            ("invalid_data", "organization_unknown")
        );
        assert_eq!(refused.detail["organization_id"], "no-such-organization");
    }
    // There is nobody to route to.
    daemon.send(&events::routed("reg-1", "acme")).await;
    let rejected = wait_rejected(&daemon, 3).await;
    assert_eq!(
        (rejected[2].reason.as_str(), rejected[2].code()),
        ("not_allowed", "no_reachable_da")
    );
    // An answer that nobody asked for; a decision about somebody who has not got as far.
    daemon.send(&events::information_provided("reg-1", "Hello?")).await;
    daemon.send(&NOOR.submitted("reg-2")).await;
    daemon.wait_state("reg-2", "awaiting_organization").await;
    daemon.send(&events::appointed("reg-2", "acme")).await;
    let rejected = wait_rejected(&daemon, 5).await;
    assert!(
        rejected[3..].iter().all(|refused| refused.code() == "wrong_state"),
        "{rejected:#?}"
    );
    assert_eq!(daemon.view("reg-1").await, view, "nothing has changed");
}
