//! Joining a company that has DAs (R31–R37, D2–D4, D20).

mod by_link;

use serde_json::{Value, json};

use crate::steps::{JOINER, confirm, first, stable, wait_rejected};
use crate::support::daemon::TestDaemon;
use crate::support::database::Database;
use crate::support::events;

crate::support::for_each_database!(
    r31_the_first_da_grants_and_the_applicant_is_in,
    r32_d2_who_cannot_be_reached_is_not_asked,
    r37_every_role_can_be_granted_and_a_denial_tells_the_reason,
    d3_only_a_current_da_of_the_site_decides_and_nobody_on_their_own_request,
    d17_a_dutch_applicant_reads_dutch,
    d21_the_contract_is_checked_again_when_a_da_grants,
);

async fn r31_the_first_da_grants_and_the_applicant_is_in(database: Database) {
    let daemon = TestDaemon::builder(database).start().await;
    daemon.send(&JOINER.submitted("reg-1")).await;
    let view = daemon.wait_state("reg-1", "awaiting_confirmation").await;
    assert_eq!(view["delegated_administrator"]["account_id"], "boss", "R32");
    insta::assert_json_snapshot!("joining_view_1_confirm", stable(&view));
    // R34. What a mistaken daemon would send, it would send with the state it shows: by now it stands in the database.
    assert_eq!(daemon.count("mails").await, 0);
    assert!(daemon.mails().is_empty());

    daemon.send(&events::confirmed("reg-1")).await;
    let view = daemon.wait_state("reg-1", "awaiting_da").await;
    insta::assert_json_snapshot!("joining_view_2_wait", stable(&view));
    let asked = first(daemon.wait_kind("access_request", "reg-1", 1).await);
    assert_eq!(asked.to, ["bea@globex.example"]);
    insta::assert_snapshot!("joining_mail_access_request", asked.snapshot());
    let noticed = first(daemon.wait_kind("access_request_notice", "reg-1", 1).await);
    assert_eq!(
        noticed.to,
        ["dirk@globex.example"],
        "R4; in Dutch, which the deputy reads"
    );
    insta::assert_snapshot!("joining_mail_access_request_notice", noticed.snapshot());

    daemon.send(&events::da_granted("reg-1", "boss", "customer_user")).await;
    let view = daemon.wait_state("reg-1", "active").await;
    assert_eq!(view["role"], "customer_user");
    assert_eq!(view["organization_id"], "globex-west", "D20: the contract's site");
    insta::assert_json_snapshot!("joining_view_3_active", stable(&view));
    let approved = first(daemon.wait_kind("access_approved", "reg-1", 1).await);
    assert_eq!(approved.to, ["jo@globex.example"]);
    insta::assert_snapshot!("joining_mail_access_approved", approved.snapshot());
    assert_eq!(
        daemon.kinds_about("reg-1"),
        ["access_approved", "access_request", "access_request_notice"]
    );

    // D19: somebody who is in asks again.
    daemon.send(&JOINER.submitted("reg-2")).await;
    let view = daemon.wait_state("reg-2", "needs_correction").await;
    assert_eq!(view["field_errors"][0]["code"], "already_registered");
}

async fn r37_every_role_can_be_granted_and_a_denial_tells_the_reason(database: Database) {
    const ROLES: [&str; 5] = [
        "customer_administrator",
        "customer_user",
        "partner_administrator",
        "partner_user",
        "api_developer",
    ];
    let people: Vec<_> = (0..=ROLES.len())
        .map(|n| account(&format!("p{n}"), "active", "en", &["10000001"]))
        .collect();
    let daemon = TestDaemon::builder(database).start().await;
    daemon.import(&json!({"accounts": people}));
    let name = |n: usize| format!("reg-{n}");
    let submitted: Vec<_> = (0..=ROLES.len())
        .map(|n| events::submitted(&name(n), &format!("p{n}"), "10000001", "GLX0000001"))
        .collect();
    daemon.send_all(&submitted).await;
    for n in 0..=ROLES.len() {
        daemon.wait_state(&name(n), "awaiting_confirmation").await;
        daemon.send(&events::confirmed(&name(n))).await;
        daemon.wait_state(&name(n), "awaiting_da").await;
    }
    for (n, role) in ROLES.iter().enumerate() {
        // Whoever was noticed is a DA as well: the second in the list may decide, too (D3).
        let da = if n % 2 == 0 { "boss" } else { "deputy" };
        daemon.send(&events::da_granted(&name(n), da, role)).await;
        let view = daemon.wait_state(&name(n), "active").await;
        assert_eq!(view["role"], *role);
        let mail = first(daemon.wait_kind("access_approved", &name(n), 1).await);
        assert!(
            da == "boss" || !mail.text.contains("Bea Boss"),
            "not she has granted: {}",
            mail.text
        );
    }

    let denied = name(ROLES.len());
    daemon
        .send(&events::da_denied(&denied, "boss", "Not one of <b>ours</b>."))
        .await;
    let view = daemon.wait_state(&denied, "denied").await;
    assert_eq!(view["role"], Value::Null);
    let mail = first(daemon.wait_kind("access_denied", &denied, 1).await);
    insta::assert_snapshot!("joining_mail_access_denied", mail.snapshot());
    assert!(!mail.html.contains("<b>ours"), "a reason is text");

    // It is final.
    daemon.send(&events::da_granted(&denied, "boss", "customer_user")).await;
    let refused = wait_rejected(&daemon, 1).await;
    assert_eq!(
        (refused[0].reason.as_str(), refused[0].code()),
        ("not_allowed", "wrong_state")
    );
}

async fn d3_only_a_current_da_of_the_site_decides_and_nobody_on_their_own_request(database: Database) {
    let daemon = TestDaemon::builder(database).start().await;
    // A DA of a sister site, which does not cover this one; and a DA of a site below, applying here above it.
    daemon.import(&json!({
        "organizations": [
            {"id": "globex-east", "name": "GLOBEX EAST", "address": ["2 OCEAN AVE"], "country": "US",
                "parent_id": "globex", "email_domains": [], "flagged": false}],
        "accounts": [account("eve", "active", "en", &[]), account("nobody", "active", "en", &[])],
        "administrators": [{"account_id": "eve", "organization_id": "globex-east"}]}));
    confirm(&daemon, "reg-1", JOINER).await;
    let before = daemon.view("reg-1").await;
    let deciders = ["eve", "nobody", "joiner", "no-such-account"];
    for (number, decider) in deciders.iter().enumerate() {
        daemon
            .send(&events::da_granted("reg-1", decider, "customer_administrator"))
            .await;
        let refused = wait_rejected(&daemon, number + 1).await;
        assert_eq!(refused[number].reason, "not_entitled", "{decider}");
        assert_eq!(refused[number].detail["da_account_id"], *decider);
    }
    assert_eq!(daemon.view("reg-1").await, before);

    // A DA of the very tree whose own request it is.
    daemon.import(&json!({"administrators": [{"account_id": "joiner", "organization_id": "globex-west"}]}));
    daemon
        .send(&events::da_granted("reg-1", "joiner", "customer_user"))
        .await;
    let refused = wait_rejected(&daemon, deciders.len() + 1).await;
    assert_eq!(refused[deciders.len()].reason, "not_entitled");
    assert_eq!(daemon.view("reg-1").await, before);
}

async fn r32_d2_who_cannot_be_reached_is_not_asked(database: Database) {
    let daemon = TestDaemon::builder(database)
        .setting("review.mailbox", "agents@vendor.example")
        .start()
        .await;
    let da = |id: &str, name: &str, email: &str, status: &str, locale: &str| {
        json!({"id": id, "name": name, "email": email, "status": status, "locale": locale, "flagged": false,
            "contracts": []})
    };
    daemon.import(&json!({"accounts": [da("boss", "Bea Boss", "bea@globex.example", "inactive", "en")]}));
    let view = confirm(&daemon, "reg-1", JOINER).await;
    assert_eq!(view["delegated_administrator"]["account_id"], "deputy");
    let ids: Vec<_> = view["administrators"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|da| &da["account_id"])
        .collect();
    assert_eq!(ids, ["boss", "deputy"], "R36: the full list");
    let asked = first(daemon.wait_kind("access_request", "reg-1", 1).await);
    assert_eq!(asked.to, ["dirk@globex.example"]);

    // Nobody left: no Confirm, an agent at once.
    daemon.import(&json!({"accounts": [
        da("deputy", "Dirk Deputy", "no address", "active", "nl"), account("other", "active", "en", &["10000001"])]}));
    daemon
        .send(&events::submitted("reg-2", "other", "10000001", "GLX0000001"))
        .await;
    let view = daemon.wait_state("reg-2", "in_review").await;
    assert_eq!(view["review_reason"], "no_reachable_da");
    insta::assert_json_snapshot!("joining_view_no_reachable_da", stable(&view));
    let told = first(daemon.wait_kind("with_agent", "reg-2", 1).await);
    assert_eq!(told.to, ["other@globex.example"]);
    insta::assert_snapshot!("joining_mail_with_agent", told.snapshot());
    let case = first(daemon.wait_kind("review_case", "reg-2", 1).await);
    assert_eq!(case.to, ["agents@vendor.example"]);
    insta::assert_snapshot!("joining_mail_review_case", case.snapshot());
}

async fn d17_a_dutch_applicant_reads_dutch(database: Database) {
    let daemon = TestDaemon::builder(database).start().await;
    daemon.import(&json!({"accounts": [account("anke", "active", "nl-BE", &["10000001"])]}));
    daemon
        .send(&events::submitted("reg-1", "anke", "10000001", "GLX0000001"))
        .await;
    let view = daemon.wait_state("reg-1", "awaiting_confirmation").await;
    insta::assert_json_snapshot!("joining_view_dutch", stable(&view));
    daemon.send(&events::confirmed("reg-1")).await;
    daemon.wait_state("reg-1", "awaiting_da").await;
    daemon.send(&events::da_granted("reg-1", "boss", "api_developer")).await;
    let mail = first(daemon.wait_kind("access_approved", "reg-1", 1).await);
    insta::assert_snapshot!("joining_mail_access_approved_dutch", mail.snapshot());
    // The DA reads English, whoever applies.
    let asked = first(daemon.wait_kind("access_request", "reg-1", 1).await);
    assert!(asked.subject.starts_with("Access request from"), "{}", asked.subject);
}

async fn d21_the_contract_is_checked_again_when_a_da_grants(database: Database) {
    let daemon = TestDaemon::builder(database).start().await;
    confirm(&daemon, "reg-1", JOINER).await;
    daemon.import(
        &json!({"contracts": [{"number": "10000001", "type": "solution_support", "status": "active",
        "ends_on": "2020-12-31", "organization_id": "globex-west", "flagged": false}]}),
    );
    daemon.send(&events::da_granted("reg-1", "boss", "customer_user")).await;
    let view = daemon.wait_state("reg-1", "needs_correction").await;
    assert_eq!(view["field_errors"][0]["code"], "contract_inactive");
    daemon.wait_kind("correction_needed", "reg-1", 1).await;
    assert_eq!(daemon.count("grants").await, 0);
}

fn account(id: &str, status: &str, locale: &str, contracts: &[&str]) -> Value {
    json!({"id": id, "name": format!("Mx {id}"), "email": format!("{id}@globex.example"), "status": status,
        "locale": locale, "flagged": false, "contracts": contracts})
}
