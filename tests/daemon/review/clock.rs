//! The agent's clock and the applicant's (R64, R65, D10).

use super::{builder, none_of_the_above};
use crate::steps::{NEWBIE, NOOR, first, stable, timers, wait_rejected};
use crate::support::database::Database;
use crate::support::events;

crate::support::for_each_database!(
    r64_the_applicant_is_told_before_the_time_is_up_and_the_supervisor_after,
    d10_overdue_cases_go_to_ops_where_there_is_no_supervisor,
    d10_a_question_without_an_answer_ends_in_expiry,
);

const DAY_MS: i64 = 24 * 3600 * 1000;

async fn r64_the_applicant_is_told_before_the_time_is_up_and_the_supervisor_after(database: Database) {
    let daemon = builder(database)
        .setting("review.sla", "2s")
        .setting("review.supervisor", "supervisor@vendor.example")
        .setting("ops.mailbox", "ops@vendor.example")
        .start()
        .await;
    none_of_the_above(&daemon, "reg-1", NEWBIE).await;
    let begun = daemon
        .number("SELECT since_ms FROM registrations WHERE id = 'reg-1'")
        .await
        .expect("it is there");
    let overdue = first(daemon.wait_kind("review_overdue", "reg-1", 1).await);
    assert_eq!(overdue.to, ["supervisor@vendor.example"]);
    insta::assert_snapshot!("review_mail_overdue", overdue.snapshot());
    let update = first(daemon.wait_kind("review_update", "reg-1", 1).await);
    assert_eq!(update.to, ["newbie@acme.example"]);
    insta::assert_snapshot!("review_mail_update", update.snapshot());
    let made = daemon
        .rows(
            "SELECT kind, created_ms FROM mails WHERE kind IN ('review_update', 'review_overdue') ORDER BY created_ms",
        )
        .await;
    let made: Vec<_> = made
        .iter()
        .filter_map(|row| Some((row["kind"].as_str()?, row["created_ms"].as_i64()?)))
        .collect();
    assert_eq!((made[0].0, made[1].0), ("review_update", "review_overdue"));
    assert!(made[0].1 >= begun + 1800, "not before 90 %: {begun}, {made:?}");
    assert!(made[1].1 >= begun + 2000, "not before 100 %: {begun}, {made:?}");

    // Again in a day, as long as nobody decides; the applicant not again.
    assert_eq!(
        timers(&daemon, "reg-1").await,
        [("manual_review".to_owned(), begun + 2000 + DAY_MS)]
    );
    let view = daemon.view("reg-1").await;
    assert_eq!(view["state"], "in_review");
    insta::assert_json_snapshot!("review_view_overdue", stable(&view));
    daemon.send(&events::rejected("reg-1", "Too late.")).await;
    daemon.wait_state("reg-1", "rejected").await;
    daemon.wait_kind("rejected", "reg-1", 1).await;
    assert_eq!(timers(&daemon, "reg-1").await, []);
    assert_eq!(
        daemon.kinds_about("reg-1"),
        ["rejected", "review_case", "review_overdue", "review_update"]
    );
}

async fn d10_overdue_cases_go_to_ops_where_there_is_no_supervisor(database: Database) {
    let daemon = builder(database)
        .setting("review.sla", "1s")
        .setting("ops.mailbox", "ops@vendor.example")
        .start()
        .await;
    none_of_the_above(&daemon, "reg-1", NOOR).await;
    let overdue = first(daemon.wait_kind("review_overdue", "reg-1", 1).await);
    assert_eq!(overdue.to, ["ops@vendor.example"]);
    assert!(
        overdue.subject.starts_with("Review overdue: reg-1"),
        "{}",
        overdue.subject
    );
    let update = first(daemon.wait_kind("review_update", "reg-1", 1).await);
    insta::assert_snapshot!("review_mail_update_dutch", update.snapshot());
}

async fn d10_a_question_without_an_answer_ends_in_expiry(database: Database) {
    let daemon = builder(database)
        .setting("review.sla", "2s")
        .setting("review.answer_within", "3s")
        .start()
        .await;
    none_of_the_above(&daemon, "reg-1", NEWBIE).await;
    daemon.send(&events::asked("reg-1", "Where?")).await;
    daemon.wait_state("reg-1", "awaiting_information").await;
    let asked = daemon
        .number("SELECT since_ms FROM registrations WHERE id = 'reg-1'")
        .await;
    assert_eq!(
        timers(&daemon, "reg-1").await,
        [("manual_review".to_owned(), asked.expect("it is there") + 3000)],
        "the agent's clock stands still"
    );
    daemon.wait_kind("question", "reg-1", 1).await;
    let view = daemon.wait_state("reg-1", "expired").await;
    insta::assert_json_snapshot!("review_view_expired", stable(&view));
    let mail = first(daemon.wait_kind("expired", "reg-1", 1).await);
    assert_eq!(mail.to, ["newbie@acme.example"]);
    assert_eq!(daemon.kinds_about("reg-1"), ["expired", "question", "review_case"]);
    assert_eq!(timers(&daemon, "reg-1").await, []);
    daemon.send(&events::information_provided("reg-1", "Here.")).await;
    assert_eq!(wait_rejected(&daemon, 1).await[0].code(), "wrong_state");
}
