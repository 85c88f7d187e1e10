//! The signs that the daemon gives of itself while it works: whether all its parts go round, what it waits for, and how far the
//! drain is. systemd gets them, and the log where they are news.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{systemd::Systemd, work::Tally};
use crate::{
    progress::{Progress, Standstill},
    queue::Redis,
    store::Store,
};

/// How often it is looked whether all parts go round; more often where the watchdog bites sooner.
const ROUND: Duration = Duration::from_secs(5);

/// How many times in its time the watchdog is fed.
const FEEDS: u32 = 4;

/// How often it is looked what is away: in the start, when systemd waits for it, and afterwards.
const LOOK_IN_START: Duration = Duration::from_millis(500);
const LOOK: Duration = Duration::from_secs(2);

/// How long the database may take to show that it is there.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// How often it is looked whether jobs have ended, during the drain.
const DRAIN_LOOK: Duration = Duration::from_millis(500);

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Signs {
    pub(super) systemd: Systemd,
    pub(super) progress: Progress,
    pub(super) store: Store,
    pub(super) redis: Redis,
    /// `redis.prefix`.
    pub(super) prefix: String,
    pub(super) tally: Arc<Tally>,
    /// Whether this daemon takes in events.
    pub(super) takes_in: Arc<AtomicBool>,
    pub(super) daemon_id: String,
    /// Cancelled once the daemon works.
    pub(super) works: CancellationToken,
}

impl Signs {
    /// Feeds the watchdog as long as every part goes round. Never ends.
    pub(super) async fn go_round(self) {
        let watchdog = sd_notify::watchdog_enabled();
        let mut rounds =
            interval(watchdog.map_or(ROUND, |within| (within / FEEDS).clamp(Duration::from_millis(10), ROUND)));
        // After a pause of the whole process one look tells as much as many.
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut known = BTreeSet::new();
        loop {
            rounds.tick().await;
            known = round(&self.systemd, &self.progress, &known, Instant::now());
        }
    }

    /// Says what is waited for, or that the daemon works, until the stop. The first time that it works is when it is ready.
    pub(super) async fn tell(self, stop: CancellationToken) {
        let (mut is_told, mut is_ready) = (false, false);
        while !stop.is_cancelled() {
            let (database, redis) = tokio::join!(
                timeout(ANSWER_WITHIN, self.store.ping()),
                self.redis.takes_writes(&self.prefix)
            );
            let away = missing(matches!(database, Ok(Ok(()))), redis.is_ok(), self.redis.address());
            match away {
                // Whoever stands still in the start is not to be waited for.
                Some(away) if self.progress.standing_still(Instant::now()).is_empty() => {
                    if !is_told && !is_ready {
                        tracing::warn!("the start waits for {away}");
                        is_told = true;
                    }
                    self.systemd.waits_for(&away);
                }
                Some(_) => {}
                None => {
                    if !is_ready {
                        tracing::info!(daemon = self.daemon_id, version = env!("CARGO_PKG_VERSION"), "ready");
                        is_ready = true;
                        self.works.cancel();
                    }
                    self.systemd
                        .works(working(self.takes_in.load(Ordering::Relaxed)).to_owned());
                }
            }
            tokio::select! {
                () = sleep(if is_ready { LOOK } else { LOOK_IN_START }) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// Asks for more time as long as jobs end. Never ends.
    pub(super) async fn drain(self) {
        let mut ended = self.tally.ended();
        self.systemd.stops(draining(self.tally.running()));
        loop {
            sleep(DRAIN_LOOK).await;
            let now = self.tally.ended();
            if now != ended {
                ended = now;
                self.systemd.drains(draining(self.tally.running()));
            }
        }
    }
}

/// Feeds the watchdog, unless parts stand still; tells the log of those that were not `known` to, and returns all that do.
fn round(systemd: &Systemd, progress: &Progress, known: &BTreeSet<String>, now: Instant) -> BTreeSet<String> {
    let still = progress.standing_still(now);
    if still.is_empty() {
        systemd.lives();
    }
    for Standstill { part, still } in still.iter().filter(|standstill| !known.contains(&standstill.part)) {
        tracing::error!(
            part,
            ?still,
            "a part of the daemon stands still; the watchdog is not fed any more"
        );
    }
    still.into_iter().map(|standstill| standstill.part).collect()
}

fn missing(has_database: bool, has_redis: bool, redis: &str) -> Option<String> {
    match (has_database, has_redis) {
        (true, true) => None,
        (false, true) => Some("the database".to_owned()),
        (true, false) => Some(format!("Redis at {redis}")),
        (false, false) => Some(format!("the database, and Redis at {redis}")),
    }
}

const fn working(takes_in: bool) -> &'static str {
    if takes_in {
        "working; takes in events"
    } else {
        "working; another daemon takes in events"
    }
}

fn draining(running: u64) -> String {
    match running {
        0 => "stopping".to_owned(),
        1 => "stopping; 1 job still runs".to_owned(),
        number => format!("stopping; {number} jobs still run"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::progress::STANDSTILL;

    #[test]
    fn the_watchdog_is_fed_while_all_parts_go_round() {
        let (told, telling) = mpsc::channel();
        let systemd = Systemd::told_by(move |news| told.send(news.to_vec()).expect("the test listens"));
        let fed = || telling.try_iter().flatten().filter(|line| line == "WATCHDOG=1").count();
        let progress = Progress::default();
        let (intake, timers) = (progress.part("intake", STANDSTILL), progress.part("timers", STANDSTILL));
        let (now, later) = (Instant::now(), Instant::now() + STANDSTILL * 2);
        let known = round(&systemd, &progress, &BTreeSet::new(), now);
        assert_eq!((known.len(), fed()), (0, 1));

        let known = round(&systemd, &progress, &known, later);
        assert_eq!((known.len(), fed()), (2, 0), "nobody has moved until then");
        drop(timers);
        let known = round(&systemd, &progress, &known, later);
        assert_eq!(
            (known, fed()),
            (BTreeSet::from(["intake".to_owned()]), 0),
            "one is enough"
        );
        drop(intake);
        let known = round(&systemd, &progress, &BTreeSet::new(), later);
        assert_eq!((known.len(), fed()), (0, 1));
    }

    #[test]
    fn what_is_waited_for_is_named() {
        assert_eq!(missing(true, true, "h:6379"), None);
        assert_eq!(missing(true, false, "h:6379").as_deref(), Some("Redis at h:6379"));
        assert_eq!(missing(false, true, "h:6379").as_deref(), Some("the database"));
        assert_eq!(
            missing(false, false, "h:6379").as_deref(),
            Some("the database, and Redis at h:6379")
        );
        assert_eq!(draining(1), "stopping; 1 job still runs");
    }
}
