//! Erasing what is known of a registration's person (D24).

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::steps::{JOINER, NEWBIE, confirm, first, press, select, wait_rejected};
use crate::support::child::PATIENCE;
use crate::support::daemon::TestDaemon;
use crate::support::database::Database;
use crate::support::events;

crate::support::for_each_database!(
    d24_of_a_closed_registration_only_the_trail_is_left,
    d24_access_that_is_active_stays,
    d24_what_is_just_being_told_or_sent_is_waited_for,
);

/// The tables that speak of registrations; the directory is upstream's.
const TABLES: [&str; 13] = [
    "registrations",
    "timeline",
    "jobs",
    "mails",
    "links",
    "appointments",
    "grants",
    "inbox",
    "refused",
    "notices",
    "delegations",
    "attempts",
    "interventions",
];

/// Everything in those tables and in the streams that holds one of `words`.
async fn traces(daemon: &TestDaemon, words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for table in TABLES {
        for row in daemon.rows(&format!("SELECT * FROM {table}")).await {
            let mut text = row.to_string();
            if let Some(bytes) = row.get("event").and_then(Value::as_array) {
                let bytes: Vec<u8> = bytes
                    .iter()
                    .filter_map(|byte| byte.as_u64().and_then(|byte| u8::try_from(byte).ok()))
                    .collect();
                text.push_str(&String::from_utf8_lossy(&bytes));
            }
            if words.iter().any(|word| text.contains(word)) {
                found.push(format!("{table}: {text}"));
            }
        }
    }
    for event in daemon.events().await {
        let text = event.to_string();
        if words.iter().any(|word| text.contains(word)) {
            found.push(format!("events: {text}"));
        }
    }
    for entry in daemon.rejected().await {
        let text: Vec<_> = entry
            .values()
            .map(|field| String::from_utf8_lossy(field).into_owned())
            .collect();
        if words.iter().any(|word| text.concat().contains(word)) {
            found.push(format!("rejected: {text:?}"));
        }
    }
    found
}

async fn d24_of_a_closed_registration_only_the_trail_is_left(database: Database) {
    let daemon = TestDaemon::builder(database).start().await;
    daemon.send(&NEWBIE.submitted("reg-2")).await;
    confirm(&daemon, "reg-1", JOINER).await;
    let request = first(daemon.wait_kind("access_request", "reg-1", 1).await);
    // What a mail server said of a mail, whichever way upstream names that.
    let id = request.header("Message-ID").expect("a mail has an id");
    let soft = json!({"kind": "soft", "detail": "the mailbox of jo@globex.example is full"});
    for subject in [id, id.trim_matches(['<', '>'])] {
        daemon.send(&events::event("mail.bounced", subject, &soft)).await;
    }
    // Refused, and so kept and announced.
    daemon.send(&events::confirmed("reg-1")).await;
    daemon.wait_rejected(1).await;

    let refused = daemon.cli(&["registrations", "erase", "reg-1"]);
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("registration reg-1 is open (awaiting_da)"), "{said}");

    daemon
        .send(&events::da_denied("reg-1", "boss", "not one of ours"))
        .await;
    daemon.wait_state("reg-1", "denied").await;
    daemon.wait_kind("access_denied", "reg-1", 1).await;
    let words = ["reg-1", "joiner", "jo@globex.example", "10000001", "not one of ours"];
    assert!(!traces(&daemon, &words).await.is_empty());
    let lines = daemon.count("timeline WHERE registration_id = 'reg-1'").await;

    let done = daemon.cli_json(&["registrations", "erase", "reg-1"]);
    assert_eq!(done["timeline"], lines);
    assert_eq!(done["refused_events"], 1);
    assert!(done["mail_files"].as_u64() >= Some(3), "{done}");
    assert_eq!(traces(&daemon, &words).await, Vec::<String>::new());
    assert!(daemon.kinds_about("reg-1").is_empty(), "the files of mails are gone");
    // What happened, and when, under one pseudonym.
    let trail = daemon
        .rows("SELECT DISTINCT registration_id, detail FROM timeline WHERE registration_id <> 'reg-2'")
        .await;
    assert_eq!(trail.len(), 1, "{trail:?}");
    assert_eq!(trail[0]["detail"], "{}");
    assert_eq!(
        daemon.count("timeline WHERE event = 'registration.da_decided'").await,
        1
    );

    assert_eq!(daemon.find_view("reg-1").await, None);
    assert_eq!(daemon.wait_state("reg-2", "awaiting_organization").await["id"], "reg-2");
    let again = daemon.cli(&["registrations", "erase", "reg-1"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("no registration has the id"));
    // The person may come again, but not under the same id: what derives from it is known elsewhere.
    daemon.send(&JOINER.submitted("reg-1")).await;
    let refused = wait_rejected(&daemon, 1).await;
    assert_eq!(
        (refused[0].reason.as_str(), refused[0].code()),
        ("not_allowed", "erased")
    );
    daemon.send(&JOINER.submitted("reg-3")).await;
    daemon.wait_state("reg-3", "awaiting_confirmation").await;
}

async fn d24_access_that_is_active_stays(database: Database) {
    let daemon = TestDaemon::builder(database).start().await;
    let mail = select(&daemon, "reg-1", NEWBIE, "acme").await;
    press(&daemon, &mail).await;
    daemon.wait_state("reg-1", "active").await;
    daemon.wait_kind("da_terms", "reg-1", 1).await;
    daemon.cli_json(&["registrations", "erase", "reg-1"]);

    assert_eq!(
        traces(&daemon, &["reg-1", "newbie@acme.example"]).await,
        Vec::<String>::new()
    );
    let grants = daemon
        .rows("SELECT account_id, organization_id, access FROM grants ORDER BY access")
        .await;
    assert_eq!(grants.len(), 2, "{grants:?}");
    assert!(
        grants
            .iter()
            .all(|grant| grant["account_id"] == "newbie" && grant["organization_id"] == "acme")
    );
    // The terms are still reminded of (D15), and the access still counts (D19).
    assert_eq!(
        daemon.count("jobs WHERE kind = 'terms' AND state = 'scheduled'").await,
        1
    );
    daemon.send(&NEWBIE.submitted("reg-3")).await;
    let view = daemon.wait_state("reg-3", "needs_correction").await;
    assert_eq!(view["field_errors"][0]["code"], "already_registered");
}

/// Else it would be added to the stream, or written to the folder, after both were looked through.
async fn d24_what_is_just_being_told_or_sent_is_waited_for(database: Database) {
    let mut daemon = TestDaemon::builder(database).start().await;
    confirm(&daemon, "reg-1", JOINER).await;
    daemon
        .send(&events::da_denied("reg-1", "boss", "not one of ours"))
        .await;
    daemon.wait_kind("access_denied", "reg-1", 1).await;
    daemon.terminate();

    // A mail that is being sent, as far as anybody knows.
    daemon
        .rows("UPDATE jobs SET state = 'running' WHERE id = (SELECT id FROM mails WHERE kind = 'access_denied')")
        .await;
    let busy = daemon.cli(&["registrations", "erase", "reg-1"]);
    assert_eq!(busy.status.code(), Some(1));
    let said = String::from_utf8_lossy(&busy.stderr);
    assert!(said.contains("is being worked on at this moment; try again"), "{said}");
    assert_eq!(daemon.kinds_about("reg-1").len(), 3, "and nothing is gone");
    daemon
        .rows("UPDATE jobs SET state = 'succeeded' WHERE state = 'running'")
        .await;

    // Somebody is about to tell upstream of a change.
    daemon
        .rows("INSERT INTO notices (body) VALUES ('{\"subject\":\"reg-1\"}')")
        .await;
    let tells = "INSERT INTO leases (name, holder, epoch, expires_ms) VALUES ('notices', 'another', 99, 9000000000000) \
                 ON CONFLICT (name) DO UPDATE SET holder = 'another', expires_ms = 9000000000000";
    daemon.rows(tells).await;
    let busy = daemon.cli(&["registrations", "erase", "reg-1"]);
    assert_eq!(busy.status.code(), Some(1));
    // Nobody is: then nobody will be.
    daemon.rows("UPDATE leases SET expires_ms = 0").await;
    daemon.cli_json(&["registrations", "erase", "reg-1"]);
    assert_eq!(daemon.count("notices").await, 0);
    assert_eq!(
        traces(&daemon, &["reg-1", "jo@globex.example"]).await,
        Vec::<String>::new()
    );
    daemon.start().await;
    daemon.send(&NEWBIE.submitted("reg-2")).await;
    daemon.wait_state("reg-2", "awaiting_organization").await;
    let told = async || daemon.events().await.iter().any(|event| event["subject"] == "reg-2");
    let start = Instant::now();
    while !told().await {
        assert!(start.elapsed() < PATIENCE, "upstream is told no more");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
