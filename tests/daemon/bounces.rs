//! Mail that comes back (D2, D22).

use serde_json::{Value, json};

use crate::delegation::{SECOND_JOINER, delegated, more_people};
use crate::steps::{JOINER, NEWBIE, NOOR, codes, confirm, first, press, select, stable, timeline, wait_rejected};
use crate::support::daemon::TestDaemon;
use crate::support::database::Database;
use crate::support::events;
use crate::support::mail::Mail;

crate::support::for_each_database!(
    d22_a_verification_mail_that_comes_back_is_a_correction,
    d22_no_verification_mail_goes_to_an_address_that_bounced_meanwhile,
    d2_a_da_whose_mail_comes_back_is_passed_over_by_every_request,
);

/// `mail.bounced` about a mail, by its Message-ID as it stands.
fn bounced(mail: &Mail, kind: &str) -> Value {
    let id = mail.header("Message-ID").expect("a mail has an id");
    events::event(
        "mail.bounced",
        id,
        &json!({"kind": kind, "detail": "550 5.1.1 no such user"}),
    )
}

fn newbie(email: &str) -> Value {
    json!({"accounts": [{"id": "newbie", "name": "SNTC Newbie", "email": email, "status": "active", "locale": "en",
        "flagged": false, "contracts": ["93988396"]}]})
}

async fn d22_a_verification_mail_that_comes_back_is_a_correction(database: Database) {
    let daemon = TestDaemon::builder(database)
        .setting("email_verification.cooldown", "0s")
        .start()
        .await;
    let first_mail = select(&daemon, "reg-1", NEWBIE, "acme").await;
    // Soft: it may arrive all the same. A complaint: it has arrived.
    for kind in ["soft", "complaint"] {
        daemon.send(&bounced(&first_mail, kind)).await;
    }
    let view = daemon
        .wait_view("reg-1", "told of both", |view| {
            view["timeline"]
                .as_array()
                .is_some_and(|lines| lines.iter().filter(|line| line["event"] == "mail.bounced").count() == 2)
        })
        .await;
    assert_eq!(view["state"], "awaiting_email");
    assert_eq!(daemon.count("suppressions").await, 0);

    // Servers try for long: by the time that they give up on the first, another is on its way to the same address.
    daemon.send(&events::verification_resend_requested("reg-1")).await;
    let mail = daemon.wait_kind("verification", "reg-1", 2).await.swap_remove(1);
    daemon.send(&bounced(&first_mail, "hard")).await;
    let view = daemon.wait_state("reg-1", "needs_correction").await;
    assert_eq!(codes(&view), [("email", "email_undeliverable")]);
    insta::assert_json_snapshot!("bounces_view_undeliverable", stable(&view));
    // The link is void, and whoever resubmits as they are gets nowhere.
    let (status, _) = daemon.press(mail.link_path().expect("the mail has a link")).await;
    assert_eq!(status, 410);
    daemon
        .send(&events::resubmitted("reg-1", NEWBIE.contract, NEWBIE.serial))
        .await;
    let view = daemon
        .wait_view("reg-1", "back at its correction", |view| {
            view["state"] == "needs_correction" && timeline(view).last() == Some(&"registration.verified")
        })
        .await;
    assert_eq!(codes(&view), [("email", "email_undeliverable")]);
    // So does another registration of theirs.
    daemon.send(&NEWBIE.submitted("reg-2")).await;
    let view = daemon.wait_state("reg-2", "needs_correction").await;
    assert_eq!(codes(&view), [("email", "email_undeliverable")]);
    assert_eq!(daemon.mails().len(), 2, "nothing more is sent to the address");

    // With another address it goes on.
    daemon.import(&newbie("sntc.newbie@acme.example"));
    daemon
        .send(&events::resubmitted("reg-1", NEWBIE.contract, NEWBIE.serial))
        .await;
    daemon.wait_state("reg-1", "awaiting_organization").await;
    daemon.send(&events::organization_selected("reg-1", Some("acme"))).await;
    daemon.wait_state("reg-1", "awaiting_email").await;
    let mails = daemon.wait_kind("verification", "reg-1", 3).await;
    assert_eq!(mails[2].to, ["sntc.newbie@acme.example"]);
    // What comes back of the earlier address is of no account any more (D23).
    daemon.send(&bounced(&mail, "hard")).await;
    daemon.wait_intake_empty().await;
    press(&daemon, &mails[2]).await;
    daemon.wait_state("reg-1", "active").await;

    // A Message-ID that is none of ours, and one that is no such id at all.
    for id in ["<3f0e8f60-0000-5000-8000-000000000000@portal.example>", "nonsense"] {
        let event = events::event("mail.bounced", id, &json!({"kind": "hard", "detail": "?"}));
        daemon.send(&event).await;
    }
    for refused in wait_rejected(&daemon, 2).await {
        assert_eq!(
            (refused.reason.as_str(), refused.code()),
            ("invalid_data", "mail_unknown")
        );
    }
}

async fn d22_no_verification_mail_goes_to_an_address_that_bounced_meanwhile(database: Database) {
    let daemon = TestDaemon::builder(database).start().await;
    daemon.send(&NEWBIE.submitted("reg-1")).await;
    daemon.wait_state("reg-1", "awaiting_organization").await;
    // A mail about something else, which belongs to no registration.
    daemon.send(&delegated("user_associated", "newbie", "boss")).await;
    let mail = first(daemon.wait_kind("delegation_changed", "", 1).await);
    let mut event = bounced(&mail, "hard");
    let id = event["subject"].as_str().expect("a text");
    event["subject"] = json!(id.trim_matches(['<', '>']));
    daemon.send(&event).await;
    let start = std::time::Instant::now();
    while daemon.count("suppressions").await == 0 {
        assert!(
            start.elapsed() < crate::support::child::PATIENCE,
            "nothing is suppressed"
        );
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let kept = daemon.rows("SELECT * FROM suppressions").await;
    assert!(!json!(kept).to_string().contains("newbie@acme.example"), "{kept:?}");

    daemon.send(&events::organization_selected("reg-1", Some("acme"))).await;
    let view = daemon.wait_state("reg-1", "needs_correction").await;
    assert_eq!(codes(&view), [("email", "email_undeliverable")]);
    assert_eq!(daemon.mails().len(), 1);
    let skipped = daemon
        .count("mails WHERE kind = 'verification' AND state = 'skipped'")
        .await;
    assert_eq!(skipped, 1);
}

async fn d2_a_da_whose_mail_comes_back_is_passed_over_by_every_request(database: Database) {
    // Nobody looks by the clock.
    let daemon = TestDaemon::builder(database)
        .setting("da_response.recheck", "24h")
        .start()
        .await;
    daemon.import(&more_people());
    confirm(&daemon, "reg-1", JOINER).await;
    confirm(&daemon, "reg-2", SECOND_JOINER).await;
    let asked = first(daemon.wait_kind("access_request", "reg-1", 1).await);
    daemon.wait_kind("access_request", "reg-2", 1).await;
    daemon.send(&bounced(&asked, "hard")).await;
    for registration in ["reg-1", "reg-2"] {
        let view = daemon
            .wait_view(registration, "with the deputy", |view| {
                view["delegated_administrator"]["account_id"] == "deputy"
            })
            .await;
        assert_eq!(view["state"], "awaiting_da");
        let mails = daemon.wait_kind("access_request", registration, 2).await;
        assert_eq!(mails[1].to, ["dirk@globex.example"]);
    }
    // Whoever cannot be mailed can decide all the same (D1, D3).
    daemon.send(&events::da_granted("reg-1", "boss", "customer_user")).await;
    daemon.wait_state("reg-1", "active").await;

    // Whoever became DA here is no exception, whichever of their mails it was.
    press(&daemon, &select(&daemon, "reg-3", NEWBIE, "acme").await).await;
    let welcome = first(daemon.wait_kind("welcome", "reg-3", 1).await);
    confirm(&daemon, "reg-4", NOOR).await;
    daemon.send(&bounced(&welcome, "hard")).await;
    let view = daemon.wait_state("reg-4", "in_review").await;
    assert_eq!(view["review_reason"], "da_unresponsive");

    // The last one who could be reached.
    let asked = daemon.wait_kind("access_request", "reg-2", 2).await;
    daemon.send(&bounced(&asked[1], "hard")).await;
    let view = daemon.wait_state("reg-2", "in_review").await;
    assert_eq!(view["review_reason"], "da_unresponsive");
    daemon.wait_kind("with_agent", "reg-2", 1).await;
}
