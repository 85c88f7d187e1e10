//! The daily look whether every target still has what was granted, and nothing that was taken back (D11).
//!
//! At each tick of `provisioning.reconcile_at` the jobs of `provisioning_sync` are queued again, and ask. Of several daemons one
//! claims the tick. A tick that nobody was there for is made up for at the start, once, if it is no older than a day.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use cron::Schedule;
use tokio_util::sync::CancellationToken;

use crate::{
    environment::Environment,
    store::{Store, error::StoreError},
    ticks::Ticks,
};

/// The schedule's name in the database.
const NAME: &str = "provisioning.reconcile";

/// How often the clock is looked at.
const EVERY: Duration = Duration::from_secs(1);

/// Grants looked at in one transaction.
const CHUNK: u64 = 200;

/// How far back a tick is made up for.
const MADE_UP_FOR: TimeDelta = TimeDelta::days(1);

/// For how long targets are asked about what was taken back.
const ENDED_FOR: TimeDelta = TimeDelta::days(90);

/// See the module.
#[derive(Debug)]
pub struct Reconciliation {
    /// The database.
    pub store: Store,
    /// Time.
    pub environment: Arc<dyn Environment>,
    /// `provisioning.reconcile_at`, in UTC.
    pub schedule: Schedule,
    /// The names of the targets.
    pub targets: Vec<String>,
}

impl Reconciliation {
    /// Looks until the stop.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        if self.targets.is_empty() {
            stop.cancelled().await;
            return;
        }
        let mut since = self.environment.now() - MADE_UP_FOR;
        let mut ticks = Ticks::new(EVERY, &stop);
        while ticks.next().await {
            let now = self.environment.now();
            let Some(tick) = latest(&self.schedule, since, now) else {
                continue;
            };
            match self.look(tick, &stop).await {
                Ok(()) => since = tick,
                Err(error) => tracing::warn!(%error, "the look at what the targets have waits"),
            }
        }
    }

    async fn look(&self, tick: DateTime<Utc>, stop: &CancellationToken) -> Result<(), StoreError> {
        if !self.store.claim_tick(NAME, tick).await? {
            return Ok(());
        }
        tracing::info!(%tick, "asking the targets about every grant");
        let ended_since = tick - ENDED_FOR;
        let mut after = String::new();
        while !stop.is_cancelled() {
            let now = self.environment.now();
            let queued = self.store.reconcile(&self.targets, &after, ended_since, CHUNK, now);
            match queued.await {
                Ok(Some(last)) => after = last,
                Ok(None) => return Ok(()),
                // The tick is claimed: nobody else would go on.
                Err(error) if error.is_temporary() => {
                    tracing::warn!(%error, "the look at what the targets have waits");
                    tokio::time::sleep(EVERY).await;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// The latest tick after `since`, up to `now`.
fn latest(schedule: &Schedule, since: DateTime<Utc>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    schedule.after(&since).take_while(|tick| *tick <= now).last()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("a moment")
    }

    #[test]
    fn d11_of_the_ticks_that_were_missed_the_latest_counts() {
        let daily: Schedule = "0 30 3 * * *".parse().expect("a schedule");
        let found = latest(&daily, at("2026-11-20T12:00:00Z"), at("2026-11-23T12:00:00Z"));
        assert_eq!(found, Some(at("2026-11-23T03:30:00Z")));
        assert_eq!(
            latest(&daily, at("2026-11-23T03:30:00Z"), at("2026-11-24T03:29:59Z")),
            None
        );
    }
}
