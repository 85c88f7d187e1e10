//! Jobs and queues.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::delegation::role_event;
use crate::provisioning::builder;
use crate::steps::{JOINER, confirm};
use crate::support::child::PATIENCE;
use crate::support::companies::{applicant, companies};
use crate::support::daemon::TestDaemon;
use crate::support::database::Database;
use crate::support::runbook::{commands, filled};
use crate::support::target::{Manner, Target};

crate::support::for_each_database!(
    many_jobs_that_died_of_a_target_are_queued_again,
    mail_is_paused_and_goes_on,
);

/// People of each company: changes in one tree come one after the other.
const USERS: usize = 5;

async fn wait_count(daemon: &TestDaemon, rows: &str, count: usize) {
    let start = Instant::now();
    while daemon.count(rows).await != count {
        assert!(start.elapsed() < 3 * PATIENCE, "there are never {count} {rows}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn many_jobs_that_died_of_a_target_are_queued_again(database: Database) {
    // As many as an operator may meet, at the pace of the runbook; and once more with few.
    let trees = if database == Database::Postgres { 100 } else { 5 };
    let number = trees * USERS;
    let target = Target::start("collector");
    let people: Vec<_> = (0..trees)
        .flat_map(|tree| (0..USERS).map(move |user| (format!("c{tree}"), format!("c{tree}-{}", applicant(user)))))
        .collect();
    let accounts: Vec<_> = people.iter().map(|(_, account)| account.clone()).collect();
    for account in &accounts {
        target.always(account, Manner::Status(422));
    }
    let daemon = builder(database, &[&target])
        .directory(&companies(trees, USERS, true))
        .start()
        .await;
    let assigned: Vec<_> = people
        .iter()
        .map(|(company, account)| {
            let mut event = role_event("role_assigned", account, &format!("{company}-da"));
            event["data"]["organization_id"] = json!(company);
            event
        })
        .collect();
    daemon.send_all(&assigned).await;
    let dead = "jobs WHERE kind = 'provisioning_sync' AND state = 'dead'";
    wait_count(&daemon, dead, number).await;

    for account in &accounts {
        target.always(account, Manner::Well);
    }
    let commands = commands("Requeue many");
    let [dry, requeue, list, retrying] = commands[..] else {
        panic!("four commands: {commands:?}");
    };
    let told = daemon.typed(&filled(dry, &[]));
    assert!(
        told.starts_with(&format!("{number} jobs are to be queued again\n")),
        "{told}"
    );
    assert_eq!(daemon.count(dead).await, number, "nothing is done yet");

    let start = Instant::now();
    let told = daemon.typed(&filled(requeue, &[]));
    let took = start.elapsed();
    assert_eq!(told, format!("{number} jobs are queued again\n"));
    let least = Duration::from_millis(100) * u32::try_from(number - 1).expect("a small number");
    assert!(took >= least, "no more than 10 a second: {took:?}");
    for account in &accounts {
        target.wait_roles(account, &["api_developer"]).await;
    }
    wait_count(
        &daemon,
        "jobs WHERE kind = 'provisioning_sync' AND state = 'succeeded'",
        number,
    )
    .await;
    let left = daemon.type_in(&filled(list, &[]));
    let said = [left.stdout, left.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert_eq!(said, ["", "no jobs\n"], "none is left");
    assert_eq!(daemon.typed(&filled(retrying, &[])), "0 jobs are queued again\n");
    // Each was tried once more, with the key that it had.
    for account in &accounts {
        let heard = target.heard_as("PUT", account);
        assert_eq!(heard.len(), 2, "{account}");
        assert_eq!(heard[0].key, heard[1].key, "{account}");
    }
    let one = daemon.rows("SELECT job_id FROM interventions LIMIT 1").await;
    let job = daemon.cli_json(&["jobs", "show", one[0]["job_id"].as_str().expect("an id")]);
    assert_eq!(
        (&job["interventions"][0]["reason"], &job["runs"][0]["error_class"]),
        (&json!("the target was mended"), &json!("target_refused"))
    );
}

async fn mail_is_paused_and_goes_on(database: Database) {
    let daemon = TestDaemon::builder(database).start().await;
    let paused = commands("Pause a queue");
    let [pause, list, resume] = paused[..] else {
        panic!("three commands: {paused:?}");
    };
    daemon.typed(&filled(pause, &[]));
    let start = Instant::now();
    while daemon.log().matches("a queue is paused").count() < 2 {
        assert!(start.elapsed() < PATIENCE, "the daemon does not see it");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    confirm(&daemon, "reg-1", JOINER).await;
    let listed = daemon.typed(&filled(list, &[]));
    let line = listed.lines().find(|line| line.starts_with("notification"));
    let line: Vec<_> = line.unwrap_or_default().split_whitespace().collect();
    assert_eq!(line[..3], ["notification", "paused", "2"], "{listed}");
    assert!(daemon.mails().is_empty());
    daemon.typed(&filled(resume, &[]));
    daemon.wait_kind("access_request", "reg-1", 1).await;
    daemon.wait_kind("access_request_notice", "reg-1", 1).await;
    wait_count(&daemon, "mails WHERE state = 'sent'", 2).await;

    // And one that did not arrive is sent again.
    let arrived = commands("A mail that did not arrive");
    let [mails, resend] = arrived[..] else {
        panic!("two commands: {arrived:?}");
    };
    assert_eq!(daemon.typed(&filled(mails, &[])).matches("sent").count(), 2);
    let id = daemon.rows("SELECT id FROM mails WHERE kind = 'access_request'").await;
    let id = id[0].get("id").and_then(Value::as_str).expect("an id").to_owned();
    daemon.typed(&filled(resend, &[("ID", &id)]));
    let job = daemon.cli_json(&["jobs", "show", &id]);
    assert_eq!(job["interventions"][0]["reason"], "lost by the mail server");
    wait_count(&daemon, "mails WHERE state = 'sent'", 2).await;
}
