//! Access, delegations, refusals and failed runs of an earlier release, with entries that were on their way through Redis.

use std::path::Path;

use enrolld::environment::{Environment as _, System};
use serde_json::{Value, json};

use super::{kept, wait_count};
use crate::steps::{JOINER, NEWBIE, NOOR, confirm, press, select, wait_rejected};
use crate::support::daemon::{Builder, TestDaemon};
use crate::support::database::Database;
use crate::support::events;
use crate::support::target::{Manner, Target};

crate::support::for_each_database!(access_that_an_earlier_release_gave_goes_on);

const TABLES: [&str; 14] = [
    "registrations",
    "timeline",
    "jobs",
    "attempts",
    "mails",
    "links",
    "secrets",
    "organization_roots",
    "appointments",
    "grants",
    "syncs",
    "delegations",
    "failed_attempts",
    "refused",
];

fn builder(database: Database, target: &Target) -> Builder {
    super::builder(database)
        .setting("provisioning.poll", "100ms")
        .setting("provisioning.targets", toml::Value::Array(vec![target.setting()]))
        .setting("terms.reminders", vec!["1h"])
}

/// What a DA does with a user of ACME.
fn delegated(kind: &str, by: &str) -> Value {
    let data = json!({"by": by, "organization_id": "acme"});
    events::event(&format!("delegation.{kind}"), NOOR.account, &data)
}

/// Somebody is DA, and has given a user access; a target refuses another's; a serial number was wrong; an event was refused.
async fn write(file: &Path) {
    let target = Target::start("collector");
    let mut daemon = builder(Database::Sqlite, &target).start().await;
    let mail = select(&daemon, "reg-da", NEWBIE, "acme").await;
    press(&daemon, &mail).await;
    daemon.wait_state("reg-da", "active").await;
    daemon.send(&delegated("user_associated", NEWBIE.account)).await;
    target.wait_roles(NOOR.account, &["customer_user"]).await;
    let mut wrong = JOINER.submitted("reg-wrong");
    wrong["data"]["serial_number"] = json!("NOT-COVERED");
    daemon.send(&wrong).await;
    daemon.wait_state("reg-wrong", "needs_correction").await;
    daemon.send(&events::confirmed("reg-wrong")).await;
    daemon.wait_rejected(1).await;
    target.always(JOINER.account, Manner::Status(503));
    confirm(&daemon, "reg-user", JOINER).await;
    daemon
        .send(&events::da_granted("reg-user", "boss", "customer_user"))
        .await;
    wait_count(&daemon, "attempts", 1).await;
    daemon.terminate();

    let mut tables = kept::dump(&daemon, &TABLES).await;
    // The job that was to try again was just queued, and its entry is in the stream; an event was added, and not read.
    let jobs = tables["jobs"].as_array_mut().expect("rows");
    let job = jobs.iter_mut().find(|job| job["state"] == "retrying");
    let job = job.expect("the target's job is to try again");
    job["state"] = json!("queued");
    let entry = json!({"job": job["id"], "run": job["run_no"].to_string()});
    let event = events::withdrawn("reg-wrong").to_string();
    let streams = json!({"jobs:provisioning_sync": [entry], "intake": [{"event": event}]});
    kept::write(file, &json!({"tables": tables, "streams": streams}));
}

async fn access_that_an_earlier_release_gave_goes_on(database: Database) {
    let file = kept::own("access.json");
    if database == Database::Sqlite && std::env::var_os("WRITE_FIXTURES").is_some() && !file.exists() {
        write(&file).await;
    }
    for left in kept::all("access.json") {
        let target = Target::start("collector");
        let mut daemon = builder(database, &target).install();
        daemon.prepare();
        kept::load(&daemon, &left["tables"]).await;
        kept::make_due(&daemon).await;
        daemon.rows("UPDATE appointments SET appointed_ms = 1").await;
        kept::add_entries(&daemon, &left["streams"]).await;
        // Just now: the audit, which would add a missing entry again, lets half a minute pass, longer than anything here is waited for.
        let now = System.now().timestamp_millis();
        daemon
            .rows(&format!("UPDATE jobs SET queued_ms = {now} WHERE state = 'queued'"))
            .await;
        daemon.start().await;

        // What was on its way through Redis arrives.
        daemon.wait_state("reg-user", "active").await;
        daemon.wait_state("reg-wrong", "withdrawn").await;
        // The DA of then is one: ops hear that the terms are not accepted, they decide, and take back.
        wait_count(&daemon, "appointments WHERE terms_sent = 2", 1).await;
        daemon.send(&delegated("user_disassociated", NEWBIE.account)).await;
        wait_count(&daemon, "syncs WHERE phase = 'absent'", 1).await;
        confirm(&daemon, "reg-new", NOOR).await;
        daemon
            .send(&events::da_granted("reg-new", NEWBIE.account, "partner_user"))
            .await;
        daemon.wait_state("reg-new", "active").await;
        still_told(&daemon).await;
        assert_eq!(daemon.count("jobs WHERE state = 'dead'").await, 0);
    }
}

/// Ops see what has happened then, and can put the refused event back.
async fn still_told(daemon: &TestDaemon) {
    let failed = daemon.rows("SELECT job_id FROM attempts").await;
    let id = failed[0]["job_id"].as_str().expect("an id");
    let job = daemon.cli_json(&["jobs", "show", id]);
    assert_eq!(job["runs"][0]["error_class"], "target_unavailable", "{job:#}");
    let replayed = daemon.cli(&["intake", "replay", "--all", "--reason", "not_allowed"]);
    assert!(
        replayed.status.success(),
        "{}",
        String::from_utf8_lossy(&replayed.stderr)
    );
    assert_eq!(wait_rejected(daemon, 1).await[0].reason, "not_allowed");
}
