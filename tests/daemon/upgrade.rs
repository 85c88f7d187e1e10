//! What earlier releases left in the database, in `tests/fixtures/<release>/database.json`: a daemon of this release goes on with it.
//! `access.json` beside it has access and what is about it, and entries of Redis.
//!
//! A release adds its own with `WRITE_FIXTURES=1 cargo test --test daemon upgrade`. What is there is never changed.

mod access;
mod kept;

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::steps::{JOINER, NEWBIE, NOOR, confirm, select};
use crate::support::child::PATIENCE;
use crate::support::daemon::{Builder, TestDaemon};
use crate::support::database::Database;
use crate::support::events;

crate::support::for_each_database!(
    what_an_earlier_release_left_goes_on,
    the_first_schema_is_migrated_with_what_is_in_it,
    a_daemon_goes_on_beside_a_newer_release,
);

/// What is written and loaded; what is left out is the daemon's own, or has no rows on these roads.
const TABLES: [&str; 6] = ["registrations", "timeline", "jobs", "mails", "links", "secrets"];

/// Reminders that are due soon after they were set, so that those of a fixture are due whenever it is read; and ends that are years away, so
/// that none of it is over, however old the fixture is.
fn builder(database: Database) -> Builder {
    TestDaemon::builder(database)
        .setting("dispatcher.poll", "50ms")
        .setting("da_response.reminders", vec!["1h"])
        .setting("da_response.timeout", "87600h")
        .setting("applicant.reminder", "1h")
        .setting("applicant.expiry", "87600h")
}

/// Leads three registrations somewhere, and writes down what is in the database.
async fn write(file: &Path) {
    let mut daemon = builder(Database::Sqlite).start().await;
    select(&daemon, "reg-email", NEWBIE, "acme-utrecht").await;
    confirm(&daemon, "reg-da", JOINER).await;
    daemon.wait_kind("access_request", "reg-da", 1).await;
    daemon.send(&NOOR.submitted("reg-choice")).await;
    daemon.wait_state("reg-choice", "awaiting_organization").await;
    daemon.terminate();
    let mut tables = kept::dump(&daemon, &TABLES).await;
    // An event that was taken in, and not applied before the daemon was stopped; and a mail that was not sent.
    let body = events::organization_selected("reg-choice", None);
    let waiting = json!({
        "entry": "1795000000000-0", "source": body["source"], "event_id": body["id"], "subject": body["subject"],
        "type": body["type"], "body": body.to_string(), "state": "waiting", "crashes": 0, "received_ms": 1_795_000_000_000_u64,
    });
    tables.insert("inbox".to_owned(), json!([waiting]));
    let mails = tables["mails"].as_array_mut().expect("rows");
    let mail = mails
        .iter_mut()
        .find(|mail| mail["kind"] == "access_request")
        .expect("the DA was written to");
    (mail["state"], mail["sent_ms"]) = (json!("waiting"), Value::Null);
    let id = mail["id"].clone();
    let jobs = tables["jobs"].as_array_mut().expect("rows");
    let job = jobs
        .iter_mut()
        .find(|job| job["id"] == id)
        .expect("each mail has a job");
    (job["state"], job["attempts"], job["finished_ms"]) = (json!("queued"), json!(0), Value::Null);
    kept::write(file, &tables.into());
}

async fn wait_count(daemon: &TestDaemon, rows: &str, number: usize) {
    let start = Instant::now();
    while daemon.count(rows).await != number {
        assert!(start.elapsed() < PATIENCE, "there are no {number} of {rows}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn what_an_earlier_release_left_goes_on(database: Database) {
    let file = kept::own("database.json");
    if database == Database::Sqlite && std::env::var_os("WRITE_FIXTURES").is_some() && !file.exists() {
        write(&file).await;
    }
    for tables in kept::all("database.json") {
        let mut daemon = builder(database).install();
        daemon.prepare();
        kept::load(&daemon, &tables).await;
        kept::make_due(&daemon).await;
        daemon.start().await;
        goes_on(&daemon).await;
    }
}

/// The database of the first release is filled before the migrations of all later ones: each has rows to carry over.
async fn the_first_schema_is_migrated_with_what_is_in_it(database: Database) {
    for tables in kept::all("database.json") {
        let mut daemon = builder(database).install();
        kept::first_schema(&daemon).await;
        kept::load(&daemon, &tables).await;
        kept::make_due(&daemon).await;
        daemon.prepare();
        daemon.start().await;
        goes_on(&daemon).await;
    }
}

/// The event that waited is applied, the mail is sent, the timers go off, and nothing dies of it; then the registrations go on.
async fn goes_on(daemon: &TestDaemon) {
    daemon.wait_state("reg-choice", "in_review").await;
    daemon.wait_kind("access_request", "reg-da", 1).await;
    wait_count(daemon, "mails WHERE state = 'waiting'", 0).await;
    wait_count(daemon, "jobs WHERE state = 'scheduled' AND run_at_ms = 1", 0).await;
    wait_count(daemon, "jobs WHERE state IN ('queued', 'running')", 0).await;
    assert_eq!(daemon.count("jobs WHERE state = 'dead'").await, 0);
    for registration in ["reg-email", "reg-da", "reg-choice"] {
        daemon.view(registration).await;
    }
    daemon.send(&events::withdrawn("reg-email")).await;
    daemon.wait_state("reg-email", "withdrawn").await;
    daemon.send(&events::da_granted("reg-da", "boss", "partner_user")).await;
    daemon.wait_state("reg-da", "active").await;
}

/// What the next release may have added: its migrations, columns with defaults, kinds of jobs, states.
const NEWER: [&str; 5] = [
    "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m20990101_000001_newer', 1)",
    "ALTER TABLE registrations ADD COLUMN newer TEXT NOT NULL DEFAULT 'x'",
    "ALTER TABLE jobs ADD COLUMN newer BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE inbox ADD COLUMN newer TEXT",
    "INSERT INTO jobs (id, kind, step, step_bound, state, run_no, attempts, failures, crashes, run_at_ms, created_ms) \
     VALUES ('6f6e3a1c-5d0b-5c55-9d4e-3c1f8a2b7e90', 'newer', 0, false, 'scheduled', 0, 0, 0, 0, 1, 1)",
];

async fn a_daemon_goes_on_beside_a_newer_release(database: Database) {
    let mut daemon = builder(database).start().await;
    daemon.send(&NOOR.submitted("reg-known")).await;
    daemon.wait_state("reg-known", "awaiting_organization").await;
    daemon.send(&JOINER.submitted("reg-unknown")).await;
    daemon.wait_state("reg-unknown", "awaiting_confirmation").await;
    for sql in NEWER {
        daemon.rows(sql).await;
    }
    // One that the newer release has written: with a field, and one with a state that this release does not know.
    let field = r#"UPDATE registrations SET data = '{"newer":{"a":[1]},' || substr(data, 2) WHERE id = 'reg-known'"#;
    daemon.rows(field).await;
    let state = r#"UPDATE registrations SET data = replace(data, '"awaiting_confirmation"', '"newer"') WHERE id = 'reg-unknown'"#;
    daemon.rows(state).await;

    // It goes on, and it starts.
    for round in 0..2 {
        let id = format!("reg-{round}");
        daemon.send(&NEWBIE.submitted(&id)).await;
        daemon.wait_state(&id, "awaiting_organization").await;
        daemon.send(&events::withdrawn(&id)).await;
        daemon.wait_state(&id, "withdrawn").await;
        daemon.restart().await;
    }
    // What it does not know it leaves alone, and refuses nobody for it.
    daemon.send(&events::withdrawn("reg-unknown")).await;
    daemon.send(&events::organization_selected("reg-known", None)).await;
    daemon.wait_state("reg-known", "in_review").await;
    wait_count(&daemon, "inbox WHERE state = 'waiting'", 1).await;
    assert_eq!(daemon.count("refused").await, 0);
    assert_eq!(daemon.count("jobs WHERE state = 'dead'").await, 0);
    // What it does not understand it keeps.
    let kept = r#"registrations WHERE id = 'reg-known' AND data LIKE '%"newer":{"a":[1]}%'"#;
    assert_eq!(
        daemon.count(kept).await,
        1,
        "{:?}",
        daemon.rows("SELECT data FROM registrations").await
    );
    // The newer one goes on with it.
    daemon
        .rows(&state.replace(
            r#"'"awaiting_confirmation"', '"newer"'"#,
            r#"'"newer"', '"awaiting_confirmation"'"#,
        ))
        .await;
    daemon.wait_state("reg-unknown", "withdrawn").await;
}
