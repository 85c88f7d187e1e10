//! Access that is not there in time, or never will be: agents have it as a case (R40, D11).

use serde_json::{Value, json};

use super::{AGENTS, builder, wait_count};
use crate::delegation::role_event;
use crate::steps::{JOINER, NEWBIE, NOOR, confirm, first, press, select, stable, timers, wait_rejected};
use crate::support::daemon::TestDaemon;
use crate::support::database::Database;
use crate::support::events;
use crate::support::target::{Manner, Target};
use crate::terms::wait_alerts;

crate::support::for_each_database!(
    r40_what_is_overdue_is_a_case_that_closes_by_itself,
    d11_rejecting_what_is_overdue_takes_back_what_was_granted,
    d11_a_final_refusal_is_a_case_at_once,
);

async fn since(daemon: &TestDaemon, registration: &str) -> i64 {
    let since = format!("SELECT since_ms FROM registrations WHERE id = '{registration}'");
    daemon.number(&since).await.expect("it is there")
}

async fn r40_what_is_overdue_is_a_case_that_closes_by_itself(database: Database) {
    let target = Target::start("collector");
    target.always("joiner", Manner::Accept);
    let daemon = builder(database, &[&target])
        .setting("provisioning.within", "1s")
        .setting("review.sla", "1h")
        .start()
        .await;
    confirm(&daemon, "reg-1", JOINER).await;
    daemon.send(&events::da_granted("reg-1", "boss", "customer_user")).await;
    daemon.wait_state("reg-1", "provisioning").await;
    let due = since(&daemon, "reg-1").await + 1000;
    let is_overdue = |view: &Value| view["review_reason"] == "provisioning_overdue";
    let view = daemon.wait_view("reg-1", "overdue", is_overdue).await;
    assert_eq!(view["state"], "provisioning");
    insta::assert_json_snapshot!("provisioning_view_overdue", stable(&view));
    let opened = daemon
        .number("SELECT max(at_ms) FROM timeline WHERE event = 'registration.time_is_up'")
        .await
        .expect("it is there");
    assert!(opened >= due, "not before provisioning.within: {opened}, {due}");
    // The agents' clock: at 90 % the applicant is told.
    assert_eq!(
        timers(&daemon, "reg-1").await,
        [("manual_review".to_owned(), opened + 3_240_000)]
    );
    let told = first(daemon.wait_kind("provisioning_overdue", "reg-1", 1).await);
    assert_eq!(told.to, ["jo@globex.example"]);
    insta::assert_snapshot!("provisioning_mail_overdue", told.snapshot());
    let case = first(daemon.wait_kind("review_case", "reg-1", 1).await);
    assert_eq!(case.to, [AGENTS]);
    insta::assert_snapshot!("provisioning_mail_case_overdue", case.snapshot());

    // Granted is granted: an agent may reject, and nothing else.
    for event in [
        events::appointed("reg-1", "globex"),
        events::routed("reg-1", "globex"),
        events::asked("reg-1", "Who?"),
    ] {
        daemon.send(&event).await;
    }
    for refused in wait_rejected(&daemon, 3).await {
        assert_eq!(
            (refused.reason.as_str(), refused.code()),
            ("not_allowed", "only_reject")
        );
    }

    // Syncing has gone on.
    let asked = target.heard_as("GET", "joiner").len();
    target.wait_heard("GET", "joiner", asked + 1).await;
    target.always("joiner", Manner::Well);
    let view = daemon.wait_state("reg-1", "active").await;
    assert_eq!(
        (&view["review_reason"], &view["deadline"]),
        (&Value::Null, &Value::Null)
    );
    daemon.wait_kind("access_approved", "reg-1", 1).await;
    assert_eq!(timers(&daemon, "reg-1").await, []);
    daemon.send(&events::rejected("reg-1", "Too late.")).await;
    assert_eq!(wait_rejected(&daemon, 4).await[3].code(), "wrong_state");
}

async fn d11_rejecting_what_is_overdue_takes_back_what_was_granted(database: Database) {
    let (silent, other) = (Target::start("silent"), Target::start("other"));
    silent.always("newbie", Manner::Accept);
    let daemon = builder(database, &[&silent, &other])
        .setting("provisioning.within", "1s")
        .start()
        .await;
    let mail = select(&daemon, "reg-1", NEWBIE, "acme").await;
    press(&daemon, &mail).await;
    daemon.wait_kind("provisioning_overdue", "reg-1", 1).await;
    other
        .wait_roles("newbie", &["customer_administrator", "delegated_administrator"])
        .await;
    daemon.send(&events::rejected("reg-1", "Not yours to have.")).await;
    let view = daemon.wait_state("reg-1", "rejected").await;
    assert_eq!(view["role"], Value::Null);
    let told = first(daemon.wait_kind("rejected", "reg-1", 1).await);
    insta::assert_snapshot!("provisioning_mail_rejected", told.snapshot());
    for target in [&silent, &other] {
        target.wait_heard("DELETE", "newbie", 2).await;
        target.wait_roles("newbie", &[]).await;
    }
    assert_eq!(daemon.count("grants WHERE ended_ms IS NULL").await, 0);
    assert_eq!(timers(&daemon, "reg-1").await, []);

    // Of `other` it is known; `silent` says that it is at it until it is done.
    silent.always("newbie", Manner::Well);
    wait_count(&daemon, "syncs WHERE phase = 'absent'", 4).await;
    // Nobody is DA there any more, and whoever was may try again (D4).
    select(&daemon, "reg-2", NOOR, "acme").await;
    daemon.send(&NEWBIE.submitted("reg-3")).await;
    daemon.wait_state("reg-3", "awaiting_organization").await;
    assert!(!daemon.kinds_about("reg-1").contains(&"welcome".to_owned()));
}

async fn d11_a_final_refusal_is_a_case_at_once(database: Database) {
    let (strict, other) = (Target::start("strict"), Target::start("other"));
    strict.script("newbie", [Manner::Status(422), Manner::Status(422)]);
    let daemon = builder(database, &[&strict, &other]).start().await;
    let mail = select(&daemon, "reg-1", NEWBIE, "acme").await;
    press(&daemon, &mail).await;
    let is_failed = |view: &Value| view["review_reason"] == "provisioning_failed";
    let view = daemon.wait_view("reg-1", "failed", is_failed).await;
    assert_eq!(view["state"], "provisioning");
    assert_eq!(view["allowed"], json!(["registration.review_decided"]));
    let case = first(daemon.wait_kind("review_case", "reg-1", 1).await);
    insta::assert_snapshot!("provisioning_mail_case_failed", case.snapshot());
    other
        .wait_roles("newbie", &["customer_administrator", "delegated_administrator"])
        .await;
    let dead = "jobs WHERE state = 'dead' AND kind = 'provisioning_sync' AND error_class = 'target_refused'";
    wait_count(&daemon, dead, 2).await;
    assert_eq!(
        daemon.kinds_about("reg-1"),
        ["review_case", "verification"],
        "one case, and the applicant is told when it is overdue"
    );
    daemon.send(&events::asked("reg-1", "Who?")).await;
    assert_eq!(wait_rejected(&daemon, 1).await[0].code(), "only_reject");

    // Ops are told of each, and of what belongs to no registration.
    strict.script("joiner", [Manner::Status(422)]);
    daemon.send(&role_event("role_assigned", "joiner", "boss")).await;
    let alerts = wait_alerts(&daemon, 3).await;
    let mut subjects: Vec<_> = alerts.iter().map(|alert| alert["subject"].clone()).collect();
    subjects.sort_by_key(ToString::to_string);
    assert_eq!(subjects, ["enrolld", "reg-1", "reg-1"]);
    assert!(alerts.iter().all(|alert| alert["data"]["code"] == "job_dead"));

    daemon.send(&events::rejected("reg-1", "It cannot be.")).await;
    daemon.wait_state("reg-1", "rejected").await;
    // What was refused may have arrived all the same.
    strict.wait_heard("DELETE", "newbie", 2).await;
    other.wait_roles("newbie", &[]).await;
    wait_count(&daemon, "syncs WHERE phase = 'absent'", 4).await;
    let view = daemon
        .wait_view("reg-1", "nobody's case", |view| view["review_reason"] == Value::Null)
        .await;
    assert_eq!(view["state"], "rejected");
    assert_eq!(
        other.roles("joiner"),
        ["api_developer"],
        "who refuses does not keep others from having it"
    );
}
