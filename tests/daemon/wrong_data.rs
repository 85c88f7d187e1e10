//! Wrong data: everything that is wrong is told at once, until it is right (R7–R11, R20–R28, D13, D14).

use serde_json::{Value, json};

use crate::steps::{NEWBIE, codes, stable};
use crate::support::daemon::TestDaemon;
use crate::support::database::Database;
use crate::support::events;

crate::support::for_each_database!(
    r27_each_error_is_found_and_all_that_hold_are_told,
    r23_r28_the_applicant_tries_until_it_is_right,
    r25_the_serial_number_must_be_of_that_same_contract,
);

/// Account, contract and serial as entered, and the errors that this comes to.
type Case = (
    &'static str,
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
);

const CASES: &[Case] = &[
    ("no-such-account", "x", "?", &[("account", "account_not_found")]),
    (
        "inactive",
        "93988396",
        "FOC1436Y3XK",
        &[("account", "account_inactive")],
    ),
    (
        "incomplete",
        "93988396",
        "FOC1436Y3XK",
        &[("account", "account_incomplete")],
    ),
    ("no-email", "93988396", "FOC1436Y3XK", &[("email", "email_missing")]),
    ("broken-email", "93988396", "FOC1436Y3XK", &[("email", "email_invalid")]),
    ("two-lines", "93988396", "FOC1436Y3XK", &[("email", "email_invalid")]),
    (
        "personal",
        "93988396",
        "FOC1436Y3XK",
        &[("email", "email_personal_domain")],
    ),
    (
        "yahoo",
        "93988396",
        "FOC1436Y3XK",
        &[("email", "email_personal_domain")],
    ),
    (
        "newbie",
        "  ",
        "FOC1436Y3XK",
        &[("contract_number", "contract_required")],
    ),
    (
        "newbie",
        "12-34",
        "FOC1436Y3XK",
        &[("contract_number", "contract_malformed")],
    ),
    (
        "newbie",
        "123456789012345678901",
        "FOC1436Y3XK",
        &[("contract_number", "contract_malformed")],
    ),
    // D14: of somebody else, or nonexistent, and with a serial of either: no difference.
    (
        "newbie",
        "10000001",
        "GLX0000001",
        &[("contract_number", "contract_not_associated")],
    ),
    (
        "newbie",
        "10000001",
        "FOC1436Y3XK",
        &[("contract_number", "contract_not_associated")],
    ),
    (
        "newbie",
        "99999999",
        "NOSUCH1",
        &[("contract_number", "contract_not_associated")],
    ),
    (
        "hardware",
        "10000002",
        "GLX0000002",
        &[("contract_number", "contract_not_entitled")],
    ),
    (
        "ended",
        "10000003",
        "GLX0000003",
        &[("contract_number", "contract_inactive")],
    ),
    ("newbie", "93988396", "", &[("serial_number", "serial_required")]),
    ("newbie", "93988396", "A_B", &[("serial_number", "serial_malformed")]),
    // D14: covered by somebody else's contract, or nonexistent.
    (
        "newbie",
        "93988396",
        "GLX0000001",
        &[("serial_number", "serial_not_covered")],
    ),
    (
        "newbie",
        "93988396",
        "NOSUCH1",
        &[("serial_number", "serial_not_covered")],
    ),
    ("regent", "10000001", "GLX0000001", &[("account", "already_registered")]),
    (
        "everything",
        "10000004",
        "!",
        &[
            ("account", "account_inactive"),
            ("email", "email_personal_domain"),
            ("contract_number", "contract_not_entitled"),
            ("contract_number", "contract_inactive"),
            ("serial_number", "serial_malformed"),
        ],
    ),
];

async fn r27_each_error_is_found_and_all_that_hold_are_told(database: Database) {
    let daemon = TestDaemon::builder(database).start().await;
    daemon.import(&people());
    let name = |number: usize| format!("reg-{number}");
    let submitted: Vec<_> = CASES
        .iter()
        .enumerate()
        .map(|(number, (account, contract, serial, _))| events::submitted(&name(number), account, contract, serial))
        .collect();
    daemon.send_all(&submitted).await;
    for (number, case) in CASES.iter().enumerate() {
        let view = daemon.wait_state(&name(number), "needs_correction").await;
        assert_eq!(codes(&view), case.3, "{case:?}");
        assert_eq!(
            view["allowed"],
            json!(["registration.resubmitted", "registration.withdrawn"])
        );
        for error in view["field_errors"].as_array().into_iter().flatten() {
            assert!(
                error["message"].as_str().is_some_and(|message| message.len() > 10),
                "{error}"
            );
        }
    }
    // Fields that are absent altogether are required ones, too (R20).
    let data = json!({"account_id": "newbie"});
    daemon
        .send(&events::event("registration.submitted", "reg-none", &data))
        .await;
    let view = daemon.wait_state("reg-none", "needs_correction").await;
    assert_eq!(
        codes(&view),
        [
            ("contract_number", "contract_required"),
            ("serial_number", "serial_required")
        ]
    );

    // D14: nothing in what is shown tells a contract of somebody else from one that is not there.
    let shown = |view: Value| {
        let mut view = stable(&view);
        for field in ["id", "contract_number", "serial_number"] {
            view[field] = Value::Null;
        }
        view
    };
    let position = |contract: &str| CASES.iter().position(|case| case.1 == contract).expect("there is one");
    let other = shown(daemon.view(&name(position("10000001"))).await);
    assert_eq!(other, shown(daemon.view(&name(position("99999999"))).await));
    assert!(daemon.mails().is_empty(), "the page tells, not a mail");
    assert!(daemon.rejected().await.is_empty());
}

async fn r23_r28_the_applicant_tries_until_it_is_right(database: Database) {
    let daemon = TestDaemon::builder(database).start().await;
    daemon.import(&people());
    // Everything is wrong, and read in Dutch (D17).
    daemon.send(&events::submitted("reg-1", "fout", "12-34", "?")).await;
    let view = daemon.wait_state("reg-1", "needs_correction").await;
    insta::assert_json_snapshot!("wrong_data_view_dutch", stable(&view));

    // R23: the profile is corrected elsewhere; then again, and again.
    daemon.import(&json!({"accounts": [account("fout", "fout@acme.example", "active", "nl", &["93988396"])]}));
    let wrong =
        |view: &Value, code: &str| view["state"] == "needs_correction" && codes(view).iter().any(|c| c.1 == code);
    daemon
        .send(&events::resubmitted("reg-1", "10000001", NEWBIE.serial))
        .await;
    let view = daemon
        .wait_view("reg-1", "told of the contract", |view| {
            wrong(view, "contract_not_associated")
        })
        .await;
    assert_eq!(codes(&view).len(), 1);
    assert_eq!(view["contract_number"], "10000001");
    daemon
        .send(&events::resubmitted("reg-1", NEWBIE.contract, "GLX0000001"))
        .await;
    daemon
        .wait_view("reg-1", "told of the serial", |view| wrong(view, "serial_not_covered"))
        .await;
    daemon
        .send(&events::resubmitted("reg-1", NEWBIE.contract, NEWBIE.serial))
        .await;
    let view = daemon.wait_state("reg-1", "awaiting_organization").await;
    assert_eq!(view["field_errors"], json!([]));
    insta::assert_json_snapshot!("wrong_data_view_right_at_last", stable(&view));
}

async fn r25_the_serial_number_must_be_of_that_same_contract(database: Database) {
    let daemon = TestDaemon::builder(database).start().await;
    // Both contracts are the applicant's own.
    daemon.import(
        &json!({"accounts": [account("both", "both@acme.example", "active", "en", &["93988396", "10000001"])]}),
    );
    daemon
        .send(&events::submitted("reg-1", "both", "93988396", "GLX0000001"))
        .await;
    let view = daemon.wait_state("reg-1", "needs_correction").await;
    assert_eq!(codes(&view), [("serial_number", "serial_not_covered")]);
    daemon
        .send(&events::resubmitted("reg-1", "10000001", "GLX0000001"))
        .await;
    daemon.wait_state("reg-1", "awaiting_confirmation").await;
}

fn account(id: &str, email: &str, status: &str, locale: &str, contracts: &[&str]) -> Value {
    json!({"id": id, "name": format!("Mx {id}"), "email": email, "status": status, "locale": locale,
        "flagged": false, "contracts": contracts})
}

fn people() -> Value {
    let acme = ["93988396"];
    let mut without = account("no-email", "", "active", "en", &acme);
    without["email"] = Value::Null;
    json!({
        "accounts": [
            account("incomplete", "inc@acme.example", "incomplete", "en", &acme),
            without,
            account("broken-email", "at.acme.example", "active", "en", &acme),
            account("two-lines", "two@acme.example\r\nBcc: all@acme.example", "active", "en", &acme),
            account("yahoo", "y@mail.yahoo.co.uk", "active", "en", &acme),
            account("hardware", "hw@globex.example", "active", "en", &["10000002"]),
            account("ended", "ended@globex.example", "active", "en", &["10000003"]),
            account("regent", "regent@globex.example", "active", "en", &["10000001"]),
            account("everything", "e@hotmail.nl", "inactive", "en", &["10000004"]),
            account("fout", "fout@gmail.com", "inactive", "nl", &acme),
        ],
        "contracts": [
            {"number": "10000003", "type": "sp_base", "status": "active", "ends_on": "2026-01-01",
                "organization_id": "globex-west", "flagged": false},
            {"number": "10000004", "type": "warranty", "status": "cancelled", "ends_on": "2099-01-01",
                "organization_id": "globex-west", "flagged": false}],
        "devices": [{"serial_number": "GLX0000003", "contract_number": "10000003"}],
        "administrators": [{"account_id": "regent", "organization_id": "globex-west"}]})
}
