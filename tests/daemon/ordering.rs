//! The events of one subject are applied in the order in which they were added (contract, section 1), and a crowd gets through.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::steps::{changes, timeline, wait_changes};
use crate::support::child::PATIENCE;
use crate::support::companies::{applicant, companies, submitted_at};
use crate::support::daemon::TestDaemon;
use crate::support::database::Database;
use crate::support::events;

crate::support::for_each_database!(
    the_events_of_a_subject_are_applied_in_their_order,
    three_hundred_at_once_all_get_through,
    a_hundred_of_one_company_all_get_through,
);

async fn the_events_of_a_subject_are_applied_in_their_order(database: Database) {
    const SUBJECTS: usize = 30;
    let daemon = TestDaemon::builder(database)
        .directory(&companies(SUBJECTS, 1, false))
        .start()
        .await;
    daemon.send_all(&in_rounds(SUBJECTS)).await;
    are_in_order(&daemon, SUBJECTS).await;
}

/// What happens to the daemon that takes in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    Killed,
    /// It goes on once another has its place.
    Stalled,
}

#[tokio::test]
async fn the_order_stays_when_the_one_of_two_daemons_that_takes_in_is_killed() {
    another_takes_in(Fault::Killed).await;
}

#[tokio::test]
async fn the_order_stays_when_the_one_of_two_daemons_that_takes_in_stalls_and_goes_on() {
    another_takes_in(Fault::Stalled).await;
}

async fn another_takes_in(fault: Fault) {
    const SUBJECTS: usize = 60;
    let mut daemon = TestDaemon::builder(Database::Postgres)
        .directory(&companies(SUBJECTS, 1, false))
        .setting("intake.batch", 3)
        .setting("heartbeat.every", "200ms")
        .setting("heartbeat.dead_after", "2s")
        .start()
        .await;
    let mut second = daemon.start_second().await;
    // The doors of the test are the first's: it is the second that is to take in.
    let holder = "SELECT d.pid FROM leases l JOIN daemons d ON d.id = l.holder WHERE l.name = 'intake'";
    let start = Instant::now();
    while daemon.number(holder).await != Some(second.id().into()) {
        assert!(start.elapsed() < PATIENCE, "the second never takes in");
        daemon.restart().await;
    }
    let events = in_rounds(SUBJECTS);
    daemon.send_all(&events).await;
    let start = Instant::now();
    while daemon.count("inbox").await < events.len() / 5 {
        assert!(start.elapsed() < PATIENCE, "nobody takes in");
    }
    match fault {
        Fault::Killed => drop(second.kill()),
        Fault::Stalled => second.signal(Signal::STOP),
    }
    assert!(daemon.intake_backlog().await.0 > 0, "in the middle");
    let start = Instant::now();
    while daemon.intake_backlog().await != (0, 0) {
        assert!(start.elapsed() < PATIENCE, "nobody takes over");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    if fault == Fault::Stalled {
        // What it had in hand when it was stopped, it tries to commit now.
        second.signal(Signal::CONT);
    }
    are_in_order(&daemon, SUBJECTS).await;
    assert_eq!(daemon.count("inbox").await, events.len(), "each is taken in once");
    assert_eq!(daemon.count("inbox WHERE state = 'waiting'").await, 0);
}

/// The first event of every subject, then the second of every subject, and so on.
fn in_rounds(subjects: usize) -> Vec<serde_json::Value> {
    let mut events = Vec::new();
    for round in 0..3 {
        for n in 0..subjects {
            events.push(match round {
                // Refused: there is nothing to withdraw yet.
                0 if n % 3 == 0 => events::withdrawn(&name(n)),
                0 => submitted_at(&name(n), n, "a"),
                1 if n % 3 == 0 => submitted_at(&name(n), n, "a"),
                1 => events::withdrawn(&name(n)),
                // Refused where it is withdrawn already, or submitted already.
                _ if n % 3 == 2 => events::withdrawn(&name(n)),
                _ => submitted_at(&name(n), n, "a"),
            });
        }
    }
    events
}

fn name(n: usize) -> String {
    format!("reg-{n}")
}

/// Each event had the effect that it has in its place.
async fn are_in_order(daemon: &TestDaemon, subjects: usize) {
    // A daemon that is killed may have announced what it could not note: then it is announced twice, as it may be.
    let wanted = subjects + subjects.div_ceil(3);
    let start = Instant::now();
    let rejected = loop {
        let mut known = std::collections::BTreeSet::new();
        let mut rejected: Vec<_> = daemon.rejected().await.iter().map(super::steps::rejected).collect();
        rejected.retain(|refusal| known.insert(refusal.entry.clone()));
        if rejected.len() >= wanted {
            break rejected;
        }
        assert!(start.elapsed() < PATIENCE, "{} of {wanted} are refused", rejected.len());
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(rejected.len(), wanted);
    for n in 0..subjects {
        let codes: Vec<_> = rejected
            .iter()
            .filter(|refusal| String::from_utf8_lossy(&refusal.event).contains(&format!("\"{}\"", name(n))))
            .map(super::steps::Rejected::code)
            .collect();
        let last = if n % 3 == 0 {
            assert_eq!(codes, ["unknown_registration", "already_submitted"], "{}", name(n));
            daemon.wait_state(&name(n), "awaiting_organization").await
        } else {
            let code = if n % 3 == 2 { "wrong_state" } else { "already_submitted" };
            assert_eq!(codes, [code], "{}", name(n));
            daemon.wait_state(&name(n), "withdrawn").await
        };
        let events = timeline(&last);
        assert_eq!(events[0], "registration.submitted");
        let end = if n % 3 == 0 {
            "registration.routed"
        } else {
            "registration.withdrawn"
        };
        assert_eq!(events.last(), Some(&end), "{events:?}");
        let changes = wait_changes(daemon, &name(n), events.len()).await;
        for (change, version) in changes.iter().zip(1..) {
            assert_eq!(change["id"], format!("{}:{version}", name(n)));
        }
    }
}

async fn three_hundred_at_once_all_get_through(database: Database) {
    const COMPANIES: usize = 100;
    let daemon = TestDaemon::builder(database)
        .directory(&companies(COMPANIES, 3, false))
        .start()
        .await;
    let all: Vec<_> = (0..COMPANIES)
        .flat_map(|n| ["a", "b", "c"].map(|who| (n, who)))
        .collect();
    let name = |n: usize, who: &str| format!("reg-{n}-{who}");
    let submitted: Vec<_> = all
        .iter()
        .map(|(n, who)| submitted_at(&name(*n, who), *n, who))
        .collect();
    daemon.send_all(&submitted).await;
    for (n, who) in &all {
        let view = daemon.wait_state(&name(*n, who), "awaiting_organization").await;
        assert_eq!(
            timeline(&view),
            ["registration.submitted", "registration.verified", "registration.routed"]
        );
    }
    let (last, who) = all[all.len() - 1];
    wait_changes(&daemon, &name(last, who), 3).await;
    assert_eq!(changes(&daemon, &name(0, "a")).await.len(), 3);
    assert_eq!(
        daemon.count("jobs WHERE state NOT IN ('succeeded', 'scheduled')").await,
        0
    );
    let timers = "jobs WHERE state = 'scheduled' AND kind = 'applicant_idle'";
    assert_eq!(daemon.count(timers).await, all.len(), "one for each");
    assert_eq!(daemon.number("SELECT max(attempts) FROM jobs").await, Some(1));
}

/// Each decision rests on who is DA and who has access in the tree, so none can be made beside another (ARCHITECTURE, "Order, and happening once").
async fn a_hundred_of_one_company_all_get_through(database: Database) {
    const PEOPLE: usize = 100;
    let daemon = TestDaemon::builder(database)
        .directory(&companies(1, PEOPLE, true))
        .start()
        .await;
    let name = |n: usize| format!("reg-{n}");
    let each = |event: &dyn Fn(usize) -> serde_json::Value| (0..PEOPLE).map(event).collect::<Vec<_>>();
    daemon
        .send_all(&each(&|n| submitted_at(&name(n), 0, &applicant(n))))
        .await;
    for n in 0..PEOPLE {
        daemon.wait_state(&name(n), "awaiting_confirmation").await;
    }
    daemon.send_all(&each(&|n| events::confirmed(&name(n)))).await;
    for n in 0..PEOPLE {
        daemon.wait_state(&name(n), "awaiting_da").await;
    }
    let decided = |n: usize| match n % 2 {
        0 => events::da_granted(&name(n), "c0-da", "customer_user"),
        _ => events::da_denied(&name(n), "c0-da", "enough"),
    };
    daemon.send_all(&each(&decided)).await;
    for n in 0..PEOPLE {
        let state = if n % 2 == 0 { "active" } else { "denied" };
        daemon.wait_state(&name(n), state).await;
    }
    assert_eq!(daemon.count("grants").await, PEOPLE / 2);
    assert!(daemon.rejected().await.is_empty());
}
