//! The verification link: used once, replaced, expired, and its token kept nowhere (R51–R55, D7, D8).

use std::time::Duration;

use serde_json::Value;

use crate::steps::{NEWBIE, NOOR, press, select, timeline, wait_rejected};
use crate::support::daemon::TestDaemon;
use crate::support::database::Database;
use crate::support::events;

crate::support::for_each_database!(
    r54_d7_a_link_is_used_once_and_its_token_is_kept_nowhere,
    d8_a_resend_waits_for_the_cooldown_and_tells_until_when,
    d8_a_new_link_voids_the_old_one_and_a_day_has_five,
    d8_an_expired_link_leaves_the_state_as_it_is,
);

async fn r54_d7_a_link_is_used_once_and_its_token_is_kept_nowhere(database: Database) {
    let daemon = TestDaemon::builder(database).start().await;
    // One by the page, one by the event of a portal that has a page of its own.
    let mail = select(&daemon, "reg-page", NEWBIE, "acme").await;
    let other = select(&daemon, "reg-event", NOOR, "acme-utrecht").await;
    let (token, other_token) = (token(&mail), token(&other));
    assert_ne!(token, other_token);

    // A token opens its own registration only; a wrong one nothing.
    daemon.send(&events::email_verified("reg-event", &token)).await;
    daemon.send(&events::email_verified("reg-event", &"A".repeat(43))).await;
    let refused = wait_rejected(&daemon, 2).await;
    for refusal in &refused {
        assert_eq!(
            (refusal.reason.as_str(), refusal.code()),
            ("not_allowed", "unknown_token")
        );
    }

    press(&daemon, &mail).await;
    let active = daemon.wait_state("reg-page", "active").await;
    let (status, page) = daemon.press(mail.link_path().expect("the mail has a link")).await;
    assert!(status == 200 || status == 410, "{status}: {page}");
    assert!(page.contains("already"), "D7: not \"invalid\": {page}");
    daemon.send(&events::email_verified("reg-page", &token)).await;
    let refused = wait_rejected(&daemon, 3).await;
    assert_eq!(
        (refused[2].reason.as_str(), refused[2].code()),
        ("not_allowed", "used_token")
    );
    assert_eq!(daemon.view("reg-page").await, active, "a second use changes nothing");

    // D5: the company has a DA by now.
    daemon.send(&events::email_verified("reg-event", &other_token)).await;
    daemon.wait_state("reg-event", "awaiting_da").await;
    daemon.wait_kind("access_request", "reg-event", 1).await;

    for token in [&token, &other_token] {
        let hex = enrolld::links::hex(token.as_bytes());
        let database = daemon.database_dump().await;
        let database = String::from_utf8_lossy(&database);
        assert!(database.contains("reg-page"), "the dump shows what is there");
        assert!(
            !database.contains(token.as_str()) && !database.contains(&hex),
            "D7: in the database"
        );
        let redis = daemon.redis_dump().await;
        assert!(redis.contains("reg-page"), "the dump shows what is there");
        assert!(!redis.contains(token.as_str()), "D7: in a stream");
        let log = daemon.log();
        assert!(log.contains("reg-page"), "the log tells what happens");
        assert!(!log.contains(token.as_str()), "D7: in the log");
    }
}

async fn d8_a_resend_waits_for_the_cooldown_and_tells_until_when(database: Database) {
    let daemon = TestDaemon::builder(database).start().await;
    let mail = select(&daemon, "reg-1", NEWBIE, "acme").await;
    let before = daemon.view("reg-1").await;
    daemon.send(&events::verification_resend_requested("reg-1")).await;
    let refused = wait_rejected(&daemon, 1).await;
    assert_eq!(
        (refused[0].reason.as_str(), refused[0].code()),
        ("not_allowed", "cooldown")
    );
    let moment = |value: &Value| {
        let text = value.as_str().expect("a moment is a text");
        chrono::DateTime::parse_from_rfc3339(text).expect("a moment is written so")
    };
    let wait = moment(&refused[0].detail["retry_at"]) - moment(&before["since"]);
    assert!(
        (59..=61).contains(&wait.num_seconds()),
        "60 s since the first mail, not {wait}"
    );
    // Nothing has changed: the first link is as good as before.
    assert_eq!(daemon.view("reg-1").await, before);
    press(&daemon, &mail).await;
    daemon.wait_state("reg-1", "active").await;
    assert_eq!(daemon.wait_kind("verification", "reg-1", 1).await.len(), 1);
}

async fn d8_a_new_link_voids_the_old_one_and_a_day_has_five(database: Database) {
    let daemon = TestDaemon::builder(database)
        .setting("email_verification.cooldown", "0s")
        .start()
        .await;
    let mut mails = vec![select(&daemon, "reg-1", NEWBIE, "acme").await];
    for resend in 1..=5 {
        daemon.send(&events::verification_resend_requested("reg-1")).await;
        // A mail that was not sent yet when the next is asked for is not sent any more.
        let all = daemon.wait_kind("verification", "reg-1", resend + 1).await;
        let fresh = all.iter().find(|mail| !mails.contains(mail)).expect("another mail");
        mails.push(fresh.clone());
    }
    daemon.send(&events::verification_resend_requested("reg-1")).await;
    let refused = wait_rejected(&daemon, 1).await;
    assert_eq!(
        (refused[0].reason.as_str(), refused[0].code()),
        ("not_allowed", "daily_limit")
    );
    assert!(refused[0].detail["retry_at"].is_string());

    daemon.send(&events::email_verified("reg-1", &token(&mails[4]))).await;
    let refused = wait_rejected(&daemon, 2).await;
    assert_eq!(
        (refused[1].reason.as_str(), refused[1].code()),
        ("not_allowed", "replaced_token")
    );
    let _ = daemon.press(mails[0].link_path().expect("the mail has a link")).await;
    assert_eq!(daemon.view("reg-1").await["state"], "awaiting_email");

    // Another choice keeps the link as it is.
    daemon
        .send(&events::organization_selected("reg-1", Some("acme-emea")))
        .await;
    daemon
        .wait_view("reg-1", "of acme-emea", |view| view["organization_id"] == "acme-emea")
        .await;
    press(&daemon, &mails[5]).await;
    let view = daemon.wait_state("reg-1", "active").await;
    assert_eq!(view["organization_id"], "acme-emea");
    assert_eq!(
        timeline(&view).iter().filter(|event| event.contains("resend")).count(),
        5,
        "refusals are not on the timeline"
    );
}

async fn d8_an_expired_link_leaves_the_state_as_it_is(database: Database) {
    let daemon = TestDaemon::builder(database)
        .setting("email_verification.valid_for", "1s")
        .setting("email_verification.cooldown", "0s")
        .start()
        .await;
    let mail = select(&daemon, "reg-1", NEWBIE, "acme").await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let before = daemon.view("reg-1").await;
    let _ = daemon.press(mail.link_path().expect("the mail has a link")).await;
    daemon.send(&events::email_verified("reg-1", &token(&mail))).await;
    let refused = wait_rejected(&daemon, 1).await;
    assert_eq!(
        (refused[0].reason.as_str(), refused[0].code()),
        ("not_allowed", "expired_token")
    );
    assert_eq!(daemon.view("reg-1").await, before);

    daemon.send(&events::verification_resend_requested("reg-1")).await;
    let mails = daemon.wait_kind("verification", "reg-1", 2).await;
    let fresh = mails.iter().find(|other| **other != mail).expect("another mail");
    press(&daemon, fresh).await;
    daemon.wait_state("reg-1", "active").await;
}

fn token(mail: &crate::support::mail::Mail) -> String {
    mail.token().expect("the mail has a token").to_owned()
}
