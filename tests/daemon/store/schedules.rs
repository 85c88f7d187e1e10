//! What is done by the clock is done once for each tick, by one of the daemons, whatever the clock does.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::{Duration, Instant};

use enrolld::environment::Environment;
use enrolld::schedule::{Name, Schedule, Task, When};
use enrolld::store::daemons::Daemon;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::support::child::PATIENCE;

crate::support::for_each_database!(
    a_tick_is_claimed_once,
    of_two_daemons_one_carries_out_each_tick_whatever_the_clock_does,
    a_tick_whose_daemon_is_gone_is_taken_over,
    a_tick_that_fails_is_tried_again,
    a_tick_can_be_asked_for,
);

/// Shorter than any silence in these tests.
const DEAD_AFTER: Duration = Duration::from_secs(20);

/// A clock that stands until it is set.
#[derive(Debug, Default)]
struct Clock(AtomicI64);

impl Clock {
    fn set(&self, now: DateTime<Utc>) {
        self.0.store(now.timestamp_millis(), Ordering::SeqCst);
    }
}

impl Environment for Clock {
    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.0.load(Ordering::SeqCst)).expect("within range")
    }

    fn random(&self) -> [u8; 32] {
        [7; 32]
    }
}

/// Tells what it is to carry out, and ends as it is told.
struct Told {
    daemon: &'static str,
    ticks: mpsc::UnboundedSender<(&'static str, DateTime<Utc>)>,
    failures: AtomicI64,
}

impl Task for Told {
    async fn carry_out(&self, tick: DateTime<Utc>, _: &CancellationToken) -> Result<(), StoreError> {
        self.ticks.send((self.daemon, tick)).expect("the test listens");
        if self.failures.fetch_sub(1, Ordering::SeqCst) > 0 {
            return Err(StoreError::Unavailable("it was restarted".to_owned()));
        }
        Ok(())
    }
}

struct Daemons {
    clock: Arc<Clock>,
    ticks: mpsc::UnboundedReceiver<(&'static str, DateTime<Utc>)>,
    sender: mpsc::UnboundedSender<(&'static str, DateTime<Utc>)>,
    stop: CancellationToken,
}

impl Daemons {
    fn new(now: DateTime<Utc>) -> Self {
        let (sender, ticks) = mpsc::unbounded_channel();
        let clock = Arc::<Clock>::default();
        clock.set(now);
        Self {
            clock,
            ticks,
            sender,
            stop: CancellationToken::new(),
        }
    }

    async fn start(&self, daemon: &'static str, store: &Store, when: When, failures: i64) {
        let alive = Daemon {
            id: daemon.to_owned(),
            host: "host".to_owned(),
            pid: 1,
        };
        let beat = store.heartbeat(&alive, self.clock.now()).await;
        beat.expect("the database answers");
        let schedule = Schedule {
            name: Name::Retention,
            when,
            store: store.clone(),
            environment: Arc::clone(&self.clock) as Arc<dyn Environment>,
            daemon_id: daemon.to_owned(),
            dead_after: DEAD_AFTER,
        };
        let task = Told {
            daemon,
            ticks: self.sender.clone(),
            failures: AtomicI64::new(failures),
        };
        tokio::spawn(schedule.run(task, self.stop.clone()));
    }

    async fn next(&mut self) -> (&'static str, DateTime<Utc>) {
        let next = tokio::time::timeout(PATIENCE, self.ticks.recv()).await;
        next.expect("a tick is carried out").expect("the daemons run")
    }
}

/// A short period: the clock is looked at as often.
fn often() -> When {
    When::Every(Duration::from_millis(20))
}

/// The retention's name: any would do.
const NAME: &str = "retention";

async fn claim(store: &Store, schedule: &str, tick: DateTime<Utc>, daemon: &str) -> bool {
    let claimed = store.claim_tick(schedule, tick, daemon, tick).await;
    claimed.expect("the database answers")
}

async fn a_tick_is_claimed_once(database: Database) {
    let (server, store) = open(database).await;
    let other = open_again(&server).await;
    for tick in 0..10 {
        let (here, there) = tokio::join!(
            claim(&store, "a", at(tick), "here"),
            claim(&other, "a", at(tick), "there")
        );
        assert!(here != there, "one of them: {here}, {there}");
        assert!(!claim(&store, "a", at(tick), "here").await, "and nobody again");
    }
    assert!(
        claim(&store, "b", at(0), "here").await,
        "another schedule has ticks of its own"
    );
    // Only a month is kept.
    assert!(claim(&store, "a", at(9) + TimeDelta::days(31), "here").await);
    assert_eq!(count(&store, "schedule_ticks WHERE schedule = 'a'").await, 2);
    assert_eq!(count(&store, "schedule_ticks WHERE schedule = 'b'").await, 1);
}

async fn of_two_daemons_one_carries_out_each_tick_whatever_the_clock_does(database: Database) {
    let (server, store) = open(database).await;
    let mut daemons = Daemons::new(at(0));
    let first = at(0);
    daemons.start("here", &store, often(), 0).await;
    daemons.start("there", &open_again(&server).await, often(), 0).await;
    assert_eq!(daemons.next().await.1, first);
    let step = async |daemons: &mut Daemons, now: DateTime<Utc>, tick: Option<DateTime<Utc>>| {
        daemons.clock.set(now);
        if let Some(tick) = tick {
            assert_eq!(daemons.next().await.1, tick, "at {now}");
        }
        // Both have had several looks at the new time.
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(daemons.ticks.try_recv().is_err(), "nothing else at {now}");
    };
    let periods = |number: i64| TimeDelta::milliseconds(20 * number);
    step(&mut daemons, first + periods(1), Some(first + periods(1))).await;
    // Put forward far: of those left out the latest is made up for.
    step(&mut daemons, first + periods(180), Some(first + periods(180))).await;
    // Put back: what was carried out is not carried out again, until the clock is where it was.
    step(&mut daemons, first + periods(1), None).await;
    step(&mut daemons, first, None).await;
    step(&mut daemons, first + periods(2), Some(first + periods(2))).await;
    step(&mut daemons, first + periods(180), None).await;
    step(&mut daemons, first + periods(181), Some(first + periods(181))).await;
    daemons.stop.cancel();
    let ended = "schedule_ticks WHERE ended_ms IS NOT NULL AND error IS NULL";
    assert_eq!(count(&store, ended).await, 5);
}

async fn a_tick_whose_daemon_is_gone_is_taken_over(database: Database) {
    let (_server, store) = open(database).await;
    let now = enrolld::environment::System.now();
    let alive = |id: &str| Daemon {
        id: id.to_owned(),
        host: "host".to_owned(),
        pid: 1,
    };
    for id in ["gone", "busy"] {
        store.heartbeat(&alive(id), now).await.expect("the database answers");
    }
    store.stopped("gone", now).await.expect("the database answers");
    // One that another is at, one that was left, one of the first release, and one that is too old to matter.
    assert!(claim(&store, NAME, now - TimeDelta::seconds(3), "busy").await);
    assert!(claim(&store, NAME, now - TimeDelta::seconds(2), "gone").await);
    let old = "INSERT INTO schedule_ticks (schedule, tick_ms) VALUES";
    let first_release = now - TimeDelta::seconds(1);
    execute(
        &store,
        &format!("{old} ('{NAME}', {})", first_release.timestamp_millis()),
    )
    .await;
    assert!(claim(&store, NAME, now - TimeDelta::days(2), "gone").await);

    let mut daemons = Daemons::new(now);
    let never = When::Calendar(Box::new(enrolld::schedule::Calendar {
        expression: "0 0 0 1 1 * 2000".parse().expect("a cron expression"),
        zone: chrono_tz::Tz::UTC,
    }));
    daemons.start("here", &store, never, 0).await;
    assert_eq!(daemons.next().await, ("here", now - TimeDelta::seconds(2)));
    // With none alive but the one that looks, and that one not yet either: what belongs to nobody stays with nobody.
    store.stopped("here", now).await.expect("the database answers");
    store.stopped("busy", now).await.expect("the database answers");
    assert_eq!(daemons.next().await, ("here", now - TimeDelta::seconds(3)));
    wait_open(&store, 2).await;
    daemons.stop.cancel();
}

async fn a_tick_that_fails_is_tried_again(database: Database) {
    let (_server, store) = open(database).await;
    let mut daemons = Daemons::new(at(0));
    daemons.start("here", &store, often(), 2).await;
    for _ in 0..3 {
        assert_eq!(daemons.next().await, ("here", at(0)));
    }
    wait_open(&store, 0).await;
    daemons.stop.cancel();
}

async fn a_tick_can_be_asked_for(database: Database) {
    let (_server, store) = open(database).await;
    let mut daemons = Daemons::new(at(0));
    daemons
        .start("here", &store, When::Every(Duration::from_mins(1)), 0)
        .await;
    daemons.next().await;
    let asked = store.ask_tick(NAME, at(7), "mona").await.expect("the database answers");
    assert_eq!(daemons.next().await, ("here", asked));
    wait_open(&store, 0).await;
    let tick = store.tick(NAME, asked).await.expect("the database answers");
    let tick = tick.expect("it is kept");
    assert_eq!(
        (tick.daemon_id.as_deref(), tick.asked_by.as_deref()),
        (Some("here"), Some("mona"))
    );
    daemons.stop.cancel();
}

async fn wait_open(store: &Store, number: i64) {
    let start = Instant::now();
    while count(store, "schedule_ticks WHERE ended_ms IS NULL").await != number {
        assert!(
            start.elapsed() < PATIENCE,
            "there are never {number} open ticks: {:?}",
            rows::<enrolld::store::entities::schedule_tick::Entity>(store).await
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
