//! Additional assessment (R62, D9): the signals, and what the agent's appointment settles.

use serde_json::{Value, json};

use super::{AGENTS, builder};
use crate::steps::{JOINER, NEWBIE, NOOR, first, press, select, stable};
use crate::support::daemon::TestDaemon;
use crate::support::database::Database;
use crate::support::events;

crate::support::for_each_database!(
    r62_a_flagged_account_is_assessed_and_the_appointment_settles_it,
    d9_a_flagged_contract_and_a_domain_not_known_are_assessed,
    d9_too_many_failed_attempts_are_assessed,
);

async fn r62_a_flagged_account_is_assessed_and_the_appointment_settles_it(database: Database) {
    let daemon = builder(database).start().await;
    daemon.import(&account("newbie", "newbie@acme.example", true));
    let mail = select(&daemon, "reg-1", NEWBIE, "acme").await;
    press(&daemon, &mail).await;
    let view = daemon.wait_state("reg-1", "in_review").await;
    assert_eq!(view["review_reason"], "additional_assessment");
    assert_eq!(view["role"], Value::Null);
    insta::assert_json_snapshot!("review_view_additional_assessment", stable(&view));
    let case = first(daemon.wait_kind("review_case", "reg-1", 1).await);
    assert_eq!(case.to, [AGENTS]);
    insta::assert_snapshot!("review_mail_case_additional_assessment", case.snapshot());
    assert_eq!(daemon.count("appointments").await, 0);

    // The address is verified already.
    daemon.send(&events::appointed("reg-1", "acme")).await;
    let view = daemon.wait_state("reg-1", "active").await;
    assert_eq!(
        (&view["organization_id"], &view["role"]),
        (&json!("acme"), &json!("customer_administrator"))
    );
    for kind in ["welcome", "customer_administrator", "da_terms"] {
        daemon.wait_kind(kind, "reg-1", 1).await;
    }
    assert_eq!(
        daemon.kinds_about("reg-1"),
        [
            "customer_administrator",
            "da_terms",
            "review_case",
            "verification",
            "welcome"
        ],
        "R66; and no second verification mail"
    );
    assert_eq!(daemon.count("appointments").await, 1);
}

async fn d9_a_flagged_contract_and_a_domain_not_known_are_assessed(database: Database) {
    let daemon = builder(database).start().await;
    let mut elsewhere = account("elsewhere", "ed@other.example", false);
    elsewhere["accounts"][0]["contracts"] = json!(["93988396"]);
    daemon.import(&elsewhere);
    let elsewhere = crate::steps::Applicant {
        account: "elsewhere",
        ..NEWBIE
    };
    // ACME INC has a list of its domains.
    let mail = select(&daemon, "reg-1", elsewhere, "acme").await;
    press(&daemon, &mail).await;
    let view = daemon.wait_state("reg-1", "in_review").await;
    assert_eq!(view["review_reason"], "additional_assessment");

    // ACME UTRECHT has none; but the contract is flagged by now.
    let mail = select(&daemon, "reg-2", NOOR, "acme-utrecht").await;
    daemon.import(
        &json!({"contracts": [{"number": "93988396", "type": "smart_net_total_care", "status": "active",
        "ends_on": "2099-12-31", "organization_id": "acme-utrecht", "flagged": true}]}),
    );
    press(&daemon, &mail).await;
    let view = daemon.wait_state("reg-2", "in_review").await;
    assert_eq!(view["review_reason"], "additional_assessment");
    assert_eq!(daemon.count("appointments").await, 0);

    // Who is to ask a DA is no matter for assessment.
    daemon.import(&account("joiner", "jo@other.example", true));
    crate::steps::confirm(&daemon, "reg-3", JOINER).await;
}

async fn d9_too_many_failed_attempts_are_assessed(database: Database) {
    let daemon = builder(database).setting("review.max_failed_attempts", 2).start().await;
    fail(&daemon, "reg-1", NEWBIE.account, 3).await;
    fail(&daemon, "reg-2", NOOR.account, 2).await;
    for registration in ["reg-1", "reg-2"] {
        daemon
            .send(&events::resubmitted(registration, NEWBIE.contract, NEWBIE.serial))
            .await;
        daemon.wait_state(registration, "awaiting_organization").await;
        daemon
            .send(&events::organization_selected(registration, Some("acme")))
            .await;
        daemon.wait_state(registration, "awaiting_email").await;
        let mail = first(daemon.wait_kind("verification", registration, 1).await);
        press(&daemon, &mail).await;
    }
    let view = daemon.wait_state("reg-1", "in_review").await;
    assert_eq!(
        view["review_reason"], "additional_assessment",
        "three are more than two"
    );
    daemon.wait_state("reg-2", "active").await;

    // D5: meanwhile somebody has become DA, and decides instead of the agent's choice.
    daemon.send(&events::appointed("reg-1", "acme")).await;
    let view = daemon.wait_state("reg-1", "awaiting_da").await;
    assert_eq!(view["delegated_administrator"]["account_id"], NOOR.account);
    let told = first(daemon.wait_kind("rerouted", "reg-1", 1).await);
    assert_eq!(told.to, ["newbie@acme.example"]);
    assert_eq!(daemon.count("appointments").await, 1);
}

/// Fails verification `times` times.
async fn fail(daemon: &TestDaemon, registration: &str, account: &str, times: usize) {
    daemon
        .send(&events::submitted(registration, account, NEWBIE.contract, "WRONG-1"))
        .await;
    for number in 1..=times {
        let failed = |view: &Value| {
            let lines = view["timeline"].as_array().map_or(&[][..], Vec::as_slice);
            lines
                .iter()
                .filter(|line| line["detail"]["to"] == "needs_correction")
                .count()
                == number
        };
        daemon
            .wait_view(registration, &format!("failed {number} times"), failed)
            .await;
        if number < times {
            let again = events::resubmitted(registration, NEWBIE.contract, &format!("WRONG-{}", number + 1));
            daemon.send(&again).await;
        }
    }
}

/// An account of ACME UTRECHT's contract or, for `joiner`, GLOBEX WEST's.
fn account(id: &str, email: &str, flagged: bool) -> Value {
    let contract = if id == "joiner" { "10000001" } else { "93988396" };
    json!({"accounts": [{"id": id, "name": format!("Mx {id}"), "email": email, "status": "active", "locale": "en",
        "flagged": flagged, "contracts": [contract]}]})
}
