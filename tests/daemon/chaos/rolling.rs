//! Two daemons are stopped and started one after the other, as an upgrade does it, while registrations walk all roads: nothing is lost,
//! nothing comes twice, not even a mail, and nobody is blamed.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::roads::{self, Roads};
use super::target::Target;
use super::{POLL, SETTLE_WITHIN, report};
use crate::support::child::ChildProcess;
use crate::support::daemon::TestDaemon;
use crate::support::database::Database;

/// How often each is restarted.
const ROUNDS: usize = 3;

/// Registrations begun around each restart.
const BEGUN: usize = 12;

/// How long an applicant's answer is waited for: nothing is away here.
const ANSWER_WITHIN: &str = "15s";

/// Above `shutdown.grace`, 25 s.
const GRACE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_rolling_restart_under_load_loses_nothing_and_repeats_nothing() {
    let most = BEGUN * 2 * ROUNDS;
    let target = Target::start();
    let builder = TestDaemon::builder(Database::Postgres)
        .smtp()
        .setting("provisioning.targets", target.setting());
    let builder = roads::settings(builder, most, ANSWER_WITHIN);
    let mut daemon = builder.start().await;
    let mut second = daemon.start_second().await;
    let mut roads = Roads::new(&daemon, most);
    for round in 0..ROUNDS {
        roads.begin(BEGUN * (2 * round + 1));
        roads.go_on(&daemon).await;
        daemon.begin_to_terminate();
        let start = Instant::now();
        let end = loop {
            roads.go_on(&daemon).await;
            if let Some(end) = daemon.ended() {
                break end;
            }
            assert!(start.elapsed() < GRACE, "it does not drain");
        };
        assert_eq!(end.code(), Some(0), "round {round}");
        daemon.start().await;

        roads.begin(BEGUN * (2 * round + 2));
        roads.go_on(&daemon).await;
        let end = drained(&mut second, &mut roads, &daemon).await;
        assert_eq!(end, Some(0), "round {round}");
        second = daemon.start_second().await;
    }
    let start = Instant::now();
    while !roads.are_done() {
        roads.go_on(&daemon).await;
        assert!(start.elapsed() < SETTLE_WITHIN, "lost: {}", roads.open());
        tokio::time::sleep(POLL).await;
    }
    let found = report::compare(&daemon, &mut roads, &target, SETTLE_WITHIN).await;
    eprintln!("rolling restart: {found}");
    assert!(found.is_good(), "{found}\n{}", found.details());
    assert_eq!(
        found.mails_twice(),
        0,
        "whoever stops well has sent what it recorded, and recorded what it sent"
    );
    // A stop is nobody's failure, and nothing has to be made good afterwards.
    assert_eq!(daemon.count("jobs WHERE crashes > 0").await, 0);
    assert_eq!(daemon.count("jobs WHERE attempts > 1").await, 0);
    let log = daemon.log();
    assert!(!log.contains("taking over"), "nothing is left for others");
    assert!(!log.contains("were not in their stream"), "nothing is lost on the way");
}

/// Stops the second while registrations go on; its exit status.
async fn drained(second: &mut ChildProcess, roads: &mut Roads, daemon: &TestDaemon) -> Option<i32> {
    second.signal(Signal::TERM);
    let start = Instant::now();
    loop {
        roads.go_on(daemon).await;
        if let Some(end) = second.exited() {
            return end.code();
        }
        assert!(start.elapsed() < GRACE, "it does not drain");
    }
}
