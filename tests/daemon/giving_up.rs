//! People take jobs out, and strand nobody by it (D22); they have mails sent again, and flood nobody by it.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::steps::{JOINER, NEWBIE, confirm, first, press, select, timeline, timers};
use crate::support::child::PATIENCE;
use crate::support::daemon::TestDaemon;
use crate::support::database::Database;
use crate::support::events;

crate::support::for_each_database!(
    d22_a_discarded_job_is_no_case_any_more,
    d22_what_a_registration_waits_for_is_not_cancelled,
    a_mail_is_sent_again_as_it_was,
    d7_a_mail_whose_link_is_void_is_not_sent_again,
);

/// What a command that fails says.
fn refused(daemon: &TestDaemon, arguments: &[&str]) -> String {
    let output = daemon.cli(arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
    said
}

/// What a command that succeeds writes.
fn done(daemon: &TestDaemon, arguments: &[&str]) -> String {
    let output = daemon.cli(arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The one text that a query gives.
async fn text(daemon: &TestDaemon, sql: &str) -> String {
    let rows = daemon.rows(sql).await;
    let value = rows
        .first()
        .and_then(Value::as_object)
        .and_then(|row| row.values().next());
    value
        .and_then(Value::as_str)
        .unwrap_or_else(|| panic!("{sql}: {rows:?}"))
        .to_owned()
}

async fn wait_count(daemon: &TestDaemon, rows: &str, count: usize) {
    let start = Instant::now();
    while daemon.count(rows).await != count {
        assert!(start.elapsed() < PATIENCE, "there are never {count} {rows}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn d22_a_discarded_job_is_no_case_any_more(database: Database) {
    let daemon = TestDaemon::builder(database).smtp().start().await;
    daemon.smtp.as_ref().expect("the builder was told so").fail_next(2, 550);
    confirm(&daemon, "reg-1", JOINER).await;
    wait_count(&daemon, "jobs WHERE state = 'dead'", 2).await;
    let is_case = |view: &Value| view["review_reason"] == "processing_failed";
    daemon.wait_view("reg-1", "a case", is_case).await;
    let id = text(&daemon, "SELECT id FROM mails WHERE kind = 'access_request_notice'").await;

    let filter = ["jobs", "discard", "--kind", "notification", "--error", "smtp_refused"];
    let dry = done(&daemon, &[&filter[..], &["--dry-run"]].concat());
    assert!(dry.starts_with("2 jobs are to be discarded"), "{dry}");
    assert_eq!(
        done(&daemon, &["jobs", "discard", &id, "--reason", "told by phone"]).trim(),
        id
    );
    assert!(is_case(&daemon.view("reg-1").await), "the other is dead still");
    assert_eq!(done(&daemon, &filter), "1 job is discarded\n");
    let view = daemon.view("reg-1").await;
    assert_eq!(view["review_reason"], Value::Null);
    assert_eq!(view["state"], "awaiting_da", "and goes on");
    let revived = timeline(&view);
    let revived = revived.iter().filter(|event| **event == "registration.job_revived");
    assert_eq!(revived.count(), 2);
    assert_eq!(daemon.cli_json(&["review", "list"]), json!([]));
    assert_eq!(daemon.count("mails WHERE state = 'skipped'").await, 2);
    let job = daemon.cli_json(&["jobs", "show", &id]);
    assert_eq!(
        (&job["state"], &job["error_class"]),
        (&json!("discarded"), &json!("smtp_refused"))
    );
    assert_eq!(job["interventions"][0]["reason"], "told by phone");
    for command in ["requeue", "discard", "cancel"] {
        let said = refused(&daemon, &["jobs", command, &id]);
        assert!(said.contains(&format!("{id}: it is discarded")), "{said}");
    }
    daemon.send(&events::da_granted("reg-1", "boss", "customer_user")).await;
    daemon.wait_kind("access_approved", "reg-1", 1).await;
}

async fn d22_what_a_registration_waits_for_is_not_cancelled(database: Database) {
    let daemon = TestDaemon::builder(database).start().await;
    done(&daemon, &["queues", "pause", "notification"]);
    let start = Instant::now();
    while !daemon.log().contains("a queue is paused") {
        assert!(start.elapsed() < PATIENCE, "the daemon does not see it");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    confirm(&daemon, "reg-1", JOINER).await;
    let timer = text(&daemon, "SELECT id FROM jobs WHERE kind = 'da_response_timeout'").await;
    let said = refused(&daemon, &["jobs", "cancel", &timer]);
    assert!(said.contains("its registration waits for it"), "{said}");
    let everything = ["jobs", "cancel", "--registration", "reg-1"];
    let output = daemon.cli(&everything);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "2 jobs are cancelled\n");
    assert!(output.status.success(), "what is left alone is told, and no failure");
    assert!(String::from_utf8_lossy(&output.stderr).contains(&timer), "{output:?}");
    assert_eq!(timers(&daemon, "reg-1").await.len(), 1, "the timer stays");
    let mails = daemon.rows("SELECT state, note FROM mails").await;
    for mail in &mails {
        assert_eq!(mail["state"], "skipped");
        assert!(
            mail["note"]
                .as_str()
                .is_some_and(|note| note.starts_with("cancelled by ")),
            "{mail}"
        );
    }
    assert_eq!(mails.len(), 2);

    // Nor is it given up once it is dead.
    let dead = format!("UPDATE jobs SET state = 'dead', finished_ms = 1 WHERE id = '{timer}'");
    daemon.rows(&dead).await;
    let said = refused(&daemon, &["jobs", "discard", &timer]);
    assert!(said.contains("its registration waits for it"), "{said}");
    let said = refused(&daemon, &["jobs", "discard", "--all"]);
    assert!(said.contains(&timer), "nothing was done: {said}");

    done(&daemon, &["queues", "resume", "notification"]);
    daemon.send(&events::da_granted("reg-1", "boss", "customer_user")).await;
    daemon.wait_kind("access_approved", "reg-1", 1).await;
    assert_eq!(
        daemon.kinds_about("reg-1"),
        ["access_approved"],
        "what was cancelled is not sent"
    );
    // The registration has moved on: nobody waits for it any more.
    assert_eq!(done(&daemon, &["jobs", "discard", &timer]).trim(), timer);
}

async fn a_mail_is_sent_again_as_it_was(database: Database) {
    let daemon = TestDaemon::builder(database).smtp().start().await;
    let mail = select(&daemon, "reg-1", NEWBIE, "acme").await;
    wait_count(&daemon, "mails WHERE state = 'sent'", 1).await;
    let id = text(&daemon, "SELECT id FROM mails").await;
    let resend = ["mails", "resend", id.as_str(), "--reason", "lost by the mail server"];
    assert_eq!(done(&daemon, &resend).trim(), id);
    let mails = daemon.wait_kind("verification", "reg-1", 2).await;
    assert_eq!(mails[0], mails[1], "with its Message-ID, its date and its link");
    wait_count(&daemon, "mails WHERE state = 'sent'", 1).await;
    let job = daemon.cli_json(&["jobs", "show", &id]);
    let action = &job["interventions"][0];
    assert_eq!(
        (&action["action"], &action["reason"]),
        (&json!("resend"), &json!("lost by the mail server"))
    );

    // Nobody's mailbox is flooded.
    let said = refused(&daemon, &resend);
    assert!(said.contains("possible from"), "{said}");
    let minute = "UPDATE interventions SET at_ms = at_ms - 61000";
    for _ in 0..4 {
        daemon.rows(minute).await;
        done(&daemon, &resend);
        wait_count(&daemon, "mails WHERE state = 'sent'", 1).await;
    }
    daemon.rows(minute).await;
    assert!(refused(&daemon, &resend).contains("possible from"));
    assert_eq!(daemon.wait_kind("verification", "reg-1", 6).await.len(), 6);

    // What asks for something that has been done is not sent.
    press(&daemon, &mail).await;
    daemon.wait_state("reg-1", "active").await;
    daemon.rows("DELETE FROM interventions").await;
    let said = refused(&daemon, &resend);
    assert!(said.contains("the registration has moved on"), "{said}");
    assert_eq!(daemon.cli_json(&["mails", "show", &id])["state"], "sent", "it was");
    // What only tells something is; also when its job was deleted long ago.
    let welcome = first(daemon.wait_kind("welcome", "reg-1", 1).await);
    wait_count(&daemon, "mails WHERE kind = 'welcome' AND state = 'sent'", 1).await;
    let id = text(&daemon, "SELECT id FROM mails WHERE kind = 'welcome'").await;
    daemon.rows(&format!("DELETE FROM jobs WHERE id = '{id}'")).await;
    assert_eq!(done(&daemon, &["mails", "resend", &id]).trim(), id);
    assert_eq!(daemon.wait_kind("welcome", "reg-1", 2).await[1], welcome);
    wait_count(&daemon, "mails WHERE kind = 'welcome' AND state = 'sent'", 1).await;

    // Nothing goes to an address that mail comes back from.
    let bounced = json!({"kind": "hard", "detail": "550 no such user"});
    daemon
        .send(&events::event(
            "mail.bounced",
            &format!("{id}@vendor.example"),
            &bounced,
        ))
        .await;
    wait_count(&daemon, "suppressions", 1).await;
    let said = refused(&daemon, &["mails", "resend", &id]);
    assert!(said.contains("mail to the address came back"), "{said}");
    let said = refused(&daemon, &["mails", "resend", "6f6e3a1c-5d0b-5c55-9d4e-3c1f8a2b7e90"]);
    assert!(said.contains("there is no such mail"), "{said}");
}

async fn d7_a_mail_whose_link_is_void_is_not_sent_again(database: Database) {
    let daemon = TestDaemon::builder(database)
        .smtp()
        .setting("email_verification.valid_for", "1s")
        .start()
        .await;
    select(&daemon, "reg-1", NEWBIE, "acme").await;
    wait_count(&daemon, "mails WHERE state = 'sent'", 1).await;
    let view = daemon.view("reg-1").await;
    let valid_until = view["link_valid_until"].as_str().expect("there is a link");
    let valid_until: DateTime<Utc> = valid_until.parse().expect("a moment");
    // A view tells the second.
    while time_now() <= valid_until + Duration::from_secs(1) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let id = text(&daemon, "SELECT id FROM mails").await;
    let said = refused(&daemon, &["mails", "resend", &id]);
    assert!(said.contains("its link was valid until"), "{said}");
    assert_eq!(daemon.cli_json(&["mails", "show", &id])["state"], "sent");
    assert_eq!(daemon.kinds_about("reg-1"), ["verification"]);
}

/// The time as the daemon on this machine has it.
fn time_now() -> DateTime<Utc> {
    use enrolld::environment::{Environment as _, System};
    System.now()
}
