//! Two daemons, a steady stream of registrations over all roads, and everything that they stand on killed at random. At the end every
//! accepted request is compared with states, appointments, mails and the calls of a target: nothing lost, nothing twice.
//!
//! `make chaos MINUTES=30` runs it for long, `CHAOS_SEED=7` with other dice; a plain test run takes the short form.

mod events_out;
mod faults;
mod report;
mod roads;
mod rolling;
mod target;
mod walker;

use std::time::{Duration, Instant};

use self::faults::{Dice, Faults};
use self::roads::Roads;
use self::target::Target;
use crate::support::daemon::TestDaemon;
use crate::support::database::Database;

/// How long faults happen in the short form.
const SHORT: Duration = Duration::from_secs(20);

/// How long everything may take to come to its end once all servers are well again.
const SETTLE_WITHIN: Duration = Duration::from_mins(2);

/// A registration is begun as often.
const BEGIN_EVERY: Duration = Duration::from_millis(150);

/// How long an applicant's answer is waited for: longer than one takes through any outage.
const ANSWER_WITHIN: &str = "40s";

/// Between two looks at what has become of the registrations.
const POLL: Duration = Duration::from_millis(100);

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[tokio::test]
async fn nothing_is_lost_and_nothing_happens_twice() {
    let seconds = number("CHAOS_SECONDS").map_or(SHORT, Duration::from_secs);
    let seed = number("CHAOS_SEED").unwrap_or(1);
    let begun_by =
        |passed: Duration| usize::try_from(passed.as_millis() / BEGIN_EVERY.as_millis()).unwrap_or(usize::MAX);
    let most = begun_by(seconds) + 1;

    let target = Target::start();
    let builder = TestDaemon::builder(Database::Postgres)
        .smtp()
        .durable_redis()
        .setting("provisioning.targets", target.setting())
        .setting("heartbeat.every", "500ms")
        .setting("heartbeat.dead_after", "5s");
    let builder = roads::settings(builder, most, ANSWER_WITHIN);
    let mut daemon = builder.start().await;
    let second = daemon.start_second().await;
    let mut roads = Roads::new(&daemon, most);
    let mut faults = Faults::new(second, Dice::new(seed), target);

    let start = Instant::now();
    while start.elapsed() < seconds {
        roads.begin(begun_by(start.elapsed()));
        roads.go_on(&daemon).await;
        faults.happen(&mut daemon, &mut roads).await;
        tokio::time::sleep(POLL).await;
    }
    faults.mend(&mut daemon);
    let mended = Instant::now();
    while !roads.are_done() {
        roads.go_on(&daemon).await;
        assert!(
            mended.elapsed() < SETTLE_WITHIN,
            "seed {seed}, {} faults: lost, since an accepted event had no effect: {}\n{}",
            faults.count(),
            roads.open(),
            report::of_open(&daemon, &roads).await
        );
        tokio::time::sleep(POLL).await;
    }
    let found = report::compare(&daemon, &mut roads, faults.target(), SETTLE_WITHIN).await;
    eprintln!("seed {seed}, {} faults: {found}", faults.count());
    assert!(found.is_good(), "seed {seed}: {found}\n{}", found.details());
}
