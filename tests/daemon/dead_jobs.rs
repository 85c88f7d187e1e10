//! Failures of our own strand nobody: agents and ops are told (D22).

use serde_json::{Value, json};

use crate::steps::{JOINER, confirm, first, press, stable, timeline};
use crate::support::daemon::TestDaemon;
use crate::support::database::Database;
use crate::support::events;
use crate::terms::wait_alerts;

crate::support::for_each_database!(
    d22_a_dead_job_is_a_case_and_an_alert,
    d22_a_link_key_that_is_gone_is_a_case_and_another_mail_goes_on,
);

const OPS: &str = "ops@vendor.example";

fn is_case(view: &Value) -> bool {
    view["review_reason"] == "processing_failed"
}

async fn d22_a_dead_job_is_a_case_and_an_alert(database: Database) {
    let daemon = TestDaemon::builder(database)
        .smtp()
        .setting("ops.mailbox", OPS)
        .start()
        .await;
    // Both: the request to the DA, and the notice to the other.
    daemon.smtp.as_ref().expect("the builder was told so").fail_next(2, 550);
    confirm(&daemon, "reg-1", JOINER).await;
    let view = daemon.wait_view("reg-1", "a case", is_case).await;
    assert_eq!(view["state"], "awaiting_da", "the state stays as it is");
    let both = |view: &Value| {
        timeline(view)
            .iter()
            .filter(|event| **event == "registration.job_died")
            .count()
            == 2
    };
    let view = daemon.wait_view("reg-1", "told of both", both).await;
    let line = view["timeline"]
        .as_array()
        .and_then(|lines| lines.last())
        .expect("a line");
    assert_eq!(
        (&line["detail"]["kind"], &line["detail"]["error"]),
        (&json!("notification"), &json!("smtp_refused"))
    );
    let alerts = wait_alerts(&daemon, 2).await;
    assert_eq!(alerts.len(), 2);
    for alert in &alerts {
        assert_eq!(
            (&alert["subject"], &alert["data"]["code"]),
            (&json!("reg-1"), &json!("job_dead"))
        );
        assert!(alert["data"]["job_id"].is_string(), "{alert}");
        assert!(!alert.to_string().contains("@globex.example"), "{alert}");
    }
    let mail = first(daemon.wait_kind("ops_alert", "reg-1", 1).await);
    assert_eq!(mail.to, [OPS]);
    let job = alerts.iter().find_map(|alert| {
        let job = alert["data"]["job_id"].as_str()?;
        mail.text.contains(job).then_some(job)
    });
    let shown = mail.snapshot().replace(job.expect("it names the job"), "[job]");
    insta::assert_snapshot!("dead_jobs_mail_ops_alert", shown);

    // The registration goes on; a mail for what happened within the hour is enough.
    daemon.send(&events::da_granted("reg-1", "boss", "customer_user")).await;
    let view = daemon.wait_state("reg-1", "active").await;
    assert!(is_case(&view), "{view}");
    daemon.wait_kind("access_approved", "reg-1", 1).await;
    let hours = "SELECT count(DISTINCT created_ms / 3600000) FROM mails WHERE kind = 'ops_alert'";
    let alerted = daemon.count("mails WHERE kind = 'ops_alert'").await;
    assert_eq!(daemon.number(hours).await, i64::try_from(alerted).ok(), "one an hour");
}

async fn d22_a_link_key_that_is_gone_is_a_case_and_another_mail_goes_on(database: Database) {
    let mut daemon = TestDaemon::builder(database)
        .smtp()
        .setting("security.link_key", "the-first-key-of-the-tests-0123456789")
        .setting("email_verification.cooldown", "0s")
        .start()
        .await;
    let smtp = daemon.smtp.as_mut().expect("the builder was told so");
    smtp.stop();
    daemon.send(&crate::steps::NEWBIE.submitted("reg-1")).await;
    daemon.wait_state("reg-1", "awaiting_organization").await;
    daemon.send(&events::organization_selected("reg-1", Some("acme"))).await;
    daemon.wait_state("reg-1", "awaiting_email").await;
    // Replaced while the mail waits, and the old one not kept.
    daemon.terminate();
    let settings = std::fs::read_to_string(daemon.path("enrolld.toml")).expect("it was written");
    let changed = settings.replace("the-first-key", "the-second-key");
    std::fs::write(daemon.path("enrolld.toml"), changed).expect("the folder is writable");
    daemon.smtp.as_mut().expect("the builder was told so").restart();
    daemon.start().await;
    let view = daemon.wait_view("reg-1", "a case", is_case).await;
    assert_eq!(view["state"], "awaiting_email");
    insta::assert_json_snapshot!(
        "dead_jobs_view",
        stable(&json!({
            "title": view["title"], "review_reason": view["review_reason"], "allowed": view["allowed"],
        }))
    );
    assert_eq!(wait_alerts(&daemon, 1).await[0]["data"]["code"], "job_dead");
    let error = daemon.rows("SELECT error_class FROM jobs WHERE state = 'dead'").await;
    assert_eq!(error, [json!({"error_class": "link_key_gone"})]);
    assert!(daemon.mails().is_empty(), "no mailbox of ops, no mail");

    // A resend has a link of the new key.
    daemon.send(&events::verification_resend_requested("reg-1")).await;
    let mail = first(daemon.wait_kind("verification", "reg-1", 1).await);
    press(&daemon, &mail).await;
    daemon.wait_state("reg-1", "active").await;
}
