//! What the log tells of people.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::steps::{JOINER, NEWBIE, confirm, first, select, wait_rejected};
use crate::support::child::PATIENCE;
use crate::support::daemon::TestDaemon;
use crate::support::database::Database;
use crate::support::events;

/// D24: journals are outside of what is erased, so that ids are all that they may have of a person.
#[tokio::test]
async fn d24_the_log_has_ids_and_nothing_else_of_a_person() {
    let daemon = TestDaemon::builder(Database::Sqlite)
        .smtp()
        .setting("log.filter", "info,enrolld=trace")
        .start()
        .await;
    // A mail server that says whom it does not know; a mail that goes out, and comes back.
    daemon.smtp.as_ref().expect("it was asked for").fail_next(1, 451);
    let mail = select(&daemon, "reg-1", NEWBIE, "acme").await;
    let bounce = json!({"kind": "hard", "detail": "550 <newbie@acme.example>: no such user"});
    let id = mail.header("Message-ID").expect("a mail has an id");
    daemon.send(&events::event("mail.bounced", id, &bounce)).await;
    daemon.wait_state("reg-1", "needs_correction").await;
    // A DA who decides by link, with a reason; an event that is refused; a queue that somebody has paused.
    confirm(&daemon, "reg-2", JOINER).await;
    let request = first(daemon.wait_kind("access_request", "reg-2", 1).await);
    let link = request.link_path().expect("it has one");
    let fields = [("decision", "deny"), ("reason", "Jo Joiner has left us")];
    let page = daemon.http().post(daemon.at(link)).form(&fields).send().await;
    assert!(page.expect("the daemon answers").status().is_success());
    daemon.wait_kind("access_denied", "reg-2", 1).await;
    daemon
        .send(&events::da_denied("reg-2", "boss", "Jo Joiner has left us"))
        .await;
    wait_rejected(&daemon, 1).await;
    let paused = daemon.cli(&["queues", "pause", "terms", "--reason", "Bea Boss has asked for it"]);
    assert!(paused.status.success());
    let start = Instant::now();
    while !daemon.log().contains("a queue is paused") {
        assert!(start.elapsed() < PATIENCE, "it is not told");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    let log = daemon.log();
    for told in [
        "registration changed",
        "a job is tried again",
        "mail sent",
        "an event is refused",
    ] {
        assert!(log.contains(told), "nothing tells that {told}: {log}");
    }
    let personal = ["acme.example", "globex.example", "Newbie", "Joiner", "Boss"];
    let lines: Vec<_> = log
        .lines()
        .filter(|line| personal.iter().any(|word| line.contains(word)))
        .collect();
    assert!(lines.is_empty(), "{}", lines.join("\n"));
}
