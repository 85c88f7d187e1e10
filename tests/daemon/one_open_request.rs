//! One account has one open request for a company (D18).

use serde_json::{Value, json};

use crate::steps::{JOINER, NEWBIE, codes, confirm, select, timers};
use crate::support::companies::{companies, submitted_at};
use crate::support::daemon::TestDaemon;
use crate::support::database::Database;
use crate::support::events;

crate::support::for_each_database!(
    d18_a_newer_request_takes_the_place_of_one_that_waits_for_the_applicant,
    d18_a_newer_request_is_refused_while_an_older_one_is_with_others,
    d18_of_two_requests_at_the_same_moment_one_stays_open,
);

async fn d18_a_newer_request_takes_the_place_of_one_that_waits_for_the_applicant(database: Database) {
    let daemon = TestDaemon::builder(database).start().await;
    let mail = select(&daemon, "reg-1", NEWBIE, "acme").await;
    select(&daemon, "reg-2", NEWBIE, "acme-emea").await;
    let view = daemon.view("reg-1").await;
    assert_eq!(view["state"], "withdrawn");
    let line = view["timeline"]
        .as_array()
        .and_then(|lines| lines.last())
        .expect("a line");
    assert_eq!(
        (&line["actor"], &line["detail"]["superseded_by"]),
        (&json!("enrolld"), &json!("reg-2"))
    );
    assert_eq!(timers(&daemon, "reg-1").await, []);
    let (status, _) = daemon.press(mail.link_path().expect("the mail has a link")).await;
    assert_eq!(status, 410, "its link went with it");
    // A request that is wrong takes nobody's place.
    daemon.send(&events::submitted("reg-3", "newbie", "4711", "ABC")).await;
    daemon.wait_state("reg-3", "needs_correction").await;
    assert_eq!(daemon.view("reg-2").await["state"], "awaiting_email");
    // Once it is right, it does.
    daemon
        .send(&events::resubmitted("reg-3", NEWBIE.contract, NEWBIE.serial))
        .await;
    daemon.wait_state("reg-3", "awaiting_organization").await;
    assert_eq!(daemon.view("reg-2").await["state"], "withdrawn");
}

async fn d18_a_newer_request_is_refused_while_an_older_one_is_with_others(database: Database) {
    let daemon = TestDaemon::builder(database).start().await;
    confirm(&daemon, "reg-1", JOINER).await;
    daemon.send(&JOINER.submitted("reg-2")).await;
    let view = daemon.wait_state("reg-2", "needs_correction").await;
    assert_eq!(codes(&view), [("account", "already_requested")]);
    assert_eq!(daemon.view("reg-1").await["state"], "awaiting_da");
    // Another company's request of the same account is none of its business.
    daemon.import(
        &json!({"accounts": [{"id": "joiner", "name": "Jo Joiner", "email": "jo@globex.example",
        "status": "active", "locale": "en", "flagged": false, "contracts": ["10000001", "93988396"]}]}),
    );
    let elsewhere = events::submitted("reg-3", "joiner", NEWBIE.contract, NEWBIE.serial);
    daemon.send(&elsewhere).await;
    daemon.wait_state("reg-3", "awaiting_organization").await;

    // It is over: the newer one may be submitted again.
    daemon.send(&events::da_denied("reg-1", "boss", "Not yet.")).await;
    daemon.wait_state("reg-1", "denied").await;
    daemon
        .send(&events::resubmitted("reg-2", JOINER.contract, JOINER.serial))
        .await;
    daemon.wait_state("reg-2", "awaiting_confirmation").await;
    // With an agent it counts as well.
    daemon.send(&events::organization_selected("reg-3", None)).await;
    daemon.wait_state("reg-3", "in_review").await;
    let again = events::submitted("reg-4", "joiner", NEWBIE.contract, NEWBIE.serial);
    daemon.send(&again).await;
    let view = daemon.wait_state("reg-4", "needs_correction").await;
    assert_eq!(codes(&view), [("account", "already_requested")]);
}

async fn d18_of_two_requests_at_the_same_moment_one_stays_open(database: Database) {
    const PAIRS: usize = 40;
    let daemon = TestDaemon::builder(database)
        .directory(&companies(PAIRS, 1, true))
        .start()
        .await;
    let names = |n: usize| [format!("one-{n}"), format!("two-{n}")];
    let all: Vec<_> = (0..PAIRS)
        .flat_map(|n| names(n).map(|name| submitted_at(&name, n, "a")))
        .collect();
    daemon.send_all(&all).await;
    for n in 0..PAIRS {
        for name in names(n) {
            daemon
                .wait_view(&name, "decided on", |view| {
                    let waits = ["verifying", "routing"].map(Value::from);
                    !waits.contains(&view["state"])
                })
                .await;
        }
        let mut states = Vec::new();
        for name in names(n) {
            states.push(daemon.view(&name).await["state"].clone());
        }
        states.sort_by_key(ToString::to_string);
        assert_eq!(states, ["awaiting_confirmation", "withdrawn"], "of pair {n}");
    }
}
