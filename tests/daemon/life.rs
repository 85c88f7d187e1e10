//! Stops, kills and outages: nothing is lost, nothing is mailed twice, nobody is blamed (ARCHITECTURE, "Recovery").

mod outages;
mod take_over;

use std::collections::BTreeMap;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::companies::{companies, submitted_at};
use crate::support::daemon::{Builder, TestDaemon};
use crate::support::database::Database;
use crate::support::events;

/// Companies with a DA, each with one applicant: every registration ends with three mails.
const COMPANIES: usize = 60;

/// Longer than for one thing: a whole crowd, after a take-over.
const PATIENCE: Duration = Duration::from_mins(1);

crate::support::for_each_database!(
    a_stop_while_busy_finishes_what_runs_and_the_next_start_does_the_rest,
    after_a_kill_the_next_start_takes_over,
);

fn busy(database: Database) -> Builder {
    TestDaemon::builder(database)
        .directory(&companies(COMPANIES, 1, true))
        .setting("heartbeat.every", "200ms")
        .setting("heartbeat.dead_after", "2s")
}

async fn submit_all(daemon: &TestDaemon) {
    let submitted: Vec<_> = (0..COMPANIES).map(|n| submitted_at(&name(n), n, "a")).collect();
    daemon.send_all(&submitted).await;
}

/// Waits until the confirmation is waited for, and confirms.
async fn confirm_all(daemon: &TestDaemon) {
    for n in 0..COMPANIES {
        wait(daemon, n, "awaiting_confirmation").await;
    }
    let confirmed: Vec<_> = (0..COMPANIES).map(|n| events::confirmed(&name(n))).collect();
    daemon.send_all(&confirmed).await;
}

/// Grants all, and waits until everybody is in and everything is mailed, once.
async fn grant_all(daemon: &TestDaemon) {
    for n in 0..COMPANIES {
        wait(daemon, n, "awaiting_da").await;
    }
    let granted: Vec<_> = (0..COMPANIES)
        .map(|n| events::da_granted(&name(n), &format!("c{n}-da"), "customer_user"))
        .collect();
    daemon.send_all(&granted).await;
}

async fn all_are_in_and_told_once(daemon: &TestDaemon) {
    for n in 0..COMPANIES {
        wait(daemon, n, "active").await;
        daemon.wait_kind("access_approved", &name(n), 1).await;
    }
    // A mail is out before its job has ended, and what a killed daemon had read may be applied before it is acknowledged.
    let start = std::time::Instant::now();
    let open = "jobs WHERE state NOT IN ('succeeded', 'cancelled')";
    while daemon.count(open).await > 0 || daemon.intake_backlog().await != (0, 0) {
        assert!(start.elapsed() < PATIENCE, "something is left over");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut by_mail: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for mail in daemon.mails() {
        let id = mail.header("Message-ID").expect("a mail has an id").to_owned();
        by_mail
            .entry((mail.registration().to_owned(), mail.kind().to_owned()))
            .or_default()
            .push(id);
    }
    for (mail, ids) in &by_mail {
        assert_eq!(ids.len(), 1, "{mail:?} once: {ids:?}");
    }
    // The mail of a daemon killed over it may be out without being recorded: then it is not sent again once it is of no use.
    let sent = daemon.count("mails WHERE state = 'sent'").await;
    assert!(
        sent <= by_mail.len(),
        "{sent} are recorded as sent, of {}",
        by_mail.len()
    );
    assert_eq!(
        daemon.count("jobs WHERE attempts > 1").await,
        0,
        "no attempt is spent on stops and kills"
    );
    assert!(daemon.rejected().await.is_empty());
}

async fn wait(daemon: &TestDaemon, n: usize, state: &str) {
    daemon
        .wait_view_for(PATIENCE, &name(n), state, |view| view["state"] == state)
        .await;
}

fn name(n: usize) -> String {
    format!("reg-{n}")
}

async fn a_stop_while_busy_finishes_what_runs_and_the_next_start_does_the_rest(database: Database) {
    let mut daemon = busy(database).start().await;
    submit_all(&daemon).await;
    daemon.wait_state(&name(0), "awaiting_confirmation").await;
    let start = std::time::Instant::now();
    let status = daemon.terminate();
    assert_eq!(status.code(), Some(0), "a clean end");
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "it drains, and does not sit out shutdown.grace"
    );
    assert_eq!(
        daemon.count("jobs WHERE state = 'running'").await,
        0,
        "what ran has finished"
    );
    assert_eq!(daemon.count("daemons WHERE stopped_ms IS NULL").await, 0);

    daemon.start().await;
    confirm_all(&daemon).await;
    daemon.restart().await;
    grant_all(&daemon).await;
    daemon.restart().await;
    all_are_in_and_told_once(&daemon).await;
    assert_eq!(
        daemon.count("mails WHERE state = 'sent'").await,
        daemon.mails().len(),
        "every mail is recorded"
    );
    let crashed = daemon.count("jobs WHERE crashes > 0").await;
    assert_eq!(crashed, 0, "a stop is no crash");
}

async fn after_a_kill_the_next_start_takes_over(database: Database) {
    let mut daemon = busy(database).start().await;
    submit_all(&daemon).await;
    daemon.wait_state(&name(0), "awaiting_confirmation").await;
    daemon.kill();
    daemon.start().await;
    confirm_all(&daemon).await;
    daemon.wait_state(&name(0), "awaiting_da").await;
    daemon.kill();
    daemon.start().await;
    grant_all(&daemon).await;
    daemon.wait_state(&name(0), "active").await;
    daemon.kill();
    daemon.start().await;
    all_are_in_and_told_once(&daemon).await;
}

#[tokio::test]
async fn of_two_daemons_on_postgres_one_does_the_work_of_the_one_that_is_killed() {
    let mut daemon = busy(Database::Postgres).start().await;
    let mut second = daemon.start_second().await;
    submit_all(&daemon).await;
    confirm_all(&daemon).await;
    daemon.wait_state(&name(0), "awaiting_da").await;
    second.kill();
    grant_all(&daemon).await;
    daemon.wait_state(&name(0), "active").await;
    // The other way round: the first goes, a new second stays, and is asked for nothing but to go on.
    let mut third = daemon.start_second().await;
    daemon.kill();
    daemon.start().await;
    all_are_in_and_told_once(&daemon).await;
    third.signal(Signal::TERM);
    let end = third
        .wait_within(Duration::from_secs(30))
        .expect("it ends within its grace");
    assert_eq!(end.code(), Some(0));
}

#[tokio::test]
async fn sqlite_serves_one_daemon_and_says_so_to_a_second() {
    let mut daemon = TestDaemon::builder(Database::Sqlite).start().await;
    let second = daemon.cli(&["run"]);
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains("another daemon runs on the database sqlite://"), "{said}");
    assert!(said.contains("use PostgreSQL for several"), "{said}");
    // Commands go on, and whoever comes after a kill starts at once.
    daemon.cli_json(&["registrations", "list"]);
    daemon.kill();
    daemon.start().await;
}
