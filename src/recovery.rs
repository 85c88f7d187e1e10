//! Signs of life, and taking over what daemons that are gone had begun.
//!
//! A daemon that has been silent for `heartbeat.dead_after` is gone. Entries that it had read are claimed and run here, one at a
//! time: if one of them was what ended it, nothing else goes down with it, and after a few such ends the job is given up.

use std::{collections::HashMap, sync::Arc, time::Duration};

use enrolld_jobs::job::JobKind;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    environment::Environment,
    executor::{Executor, Gone},
    pauses::Pauses,
    progress,
    queue::{self, Redis, stream_name},
    store::{Store, daemons::Daemon, error::StoreError},
    ticks::Ticks,
};

/// Entries claimed in one go.
const CHUNK: usize = 10;

/// Jobs marked as running by a daemon that is gone are made due again, entry or no entry, after so many times
/// `heartbeat.dead_after`: their entries were lost with Redis, or they would have been claimed long before.
const LOST_AFTER_FACTOR: u32 = 3;

/// A consumer without entries is forgotten after this time.
const FORGET_AFTER: Duration = Duration::from_hours(1);

/// What a daemon appends to its id when it claims: a reader's own name is not claimed to. Nothing but the one task of
/// [`Recovery::take_over`] uses the name.
const CLAIMER: &str = ":recovery";

/// See the module.
#[derive(Debug)]
pub struct Recovery {
    /// The database.
    pub store: Store,
    /// The queue.
    pub redis: Redis,
    /// `redis.prefix`.
    pub prefix: String,
    /// Time.
    pub environment: Arc<dyn Environment>,
    /// Queues that are paused: what was begun there waits, too.
    pub pauses: Pauses,
    /// Who this is.
    pub daemon: Daemon,
    /// `heartbeat.every`.
    pub every: Duration,
    /// `heartbeat.dead_after`.
    pub dead_after: Duration,
    /// How long an entry that this daemon has read may be pending before nobody here has it any more; see [`stuck_after`].
    pub stuck_after: Duration,
}

/// Longer than any entry is at work or waits to be, given the longest time-out of a job: a handler has twice as many read ahead
/// as are at work, so that three runs may come before the end of one.
pub fn stuck_after(longest_timeout: Duration) -> Duration {
    longest_timeout * 4 + Duration::from_mins(1)
}

/// Since when nothing kept this daemon's own entries waiting: one that is pending for long is stuck only then.
#[derive(Debug)]
struct Steady {
    since: HashMap<JobKind, Instant>,
    long: Duration,
}

impl Steady {
    fn new(long: Duration) -> Self {
        let since = JobKind::ALL.iter().map(|kind| (*kind, Instant::now())).collect();
        Self { since, long }
    }

    fn disturbed(&mut self, kind: JobKind) {
        self.since.insert(kind, Instant::now());
    }

    fn is(&self, kind: JobKind) -> bool {
        self.since.get(&kind).is_some_and(|since| since.elapsed() >= self.long)
    }
}

impl Recovery {
    /// Gives signs of life until the stop.
    pub async fn beat(self: Arc<Self>, stop: CancellationToken) {
        let mut ticks = Ticks::new(self.every, &stop);
        while ticks.next().await {
            if let Err(error) = self.store.heartbeat(&self.daemon, self.environment.now()).await {
                tracing::warn!(%error, "signs of life wait for the database");
            }
        }
    }

    /// Takes over what daemons that are gone had begun, until the stop.
    pub async fn take_over(self: Arc<Self>, executor: Executor, stop: CancellationToken) {
        let mut ticks = Ticks::new(self.every, &stop);
        let mut steady = Steady::new(self.stuck_after);
        while ticks.next().await {
            // While a queue is paused its reader holds entries, too.
            for kind in self.pauses.kinds() {
                steady.disturbed(kind);
            }
            if let Err(error) = self.take_over_all(&executor, &steady, &stop).await {
                // While the database is away handlers wait for it, and hold their entries for as long as that takes.
                for kind in JobKind::ALL {
                    steady.disturbed(*kind);
                }
                tracing::warn!(%error, "recovery waits for the database");
            }
        }
    }

    async fn take_over_all(
        &self,
        executor: &Executor,
        steady: &Steady,
        stop: &CancellationToken,
    ) -> Result<(), StoreError> {
        // Whoever could not reach Redis may have been unable to give signs of life either, and be alive.
        if self.redis.health().reachable_for(self.dead_after) {
            for kind in JobKind::ALL.iter().filter(|kind| !self.pauses.is_paused(**kind)) {
                progress::goes_round();
                self.take_over_kind(executor, *kind, steady.is(*kind), stop).await?;
            }
        }
        let now = self.environment.now();
        let taking = self.store.take_abandoned(now, self.dead_after * LOST_AFTER_FACTOR, 500);
        let lost = Box::pin(taking).await?;
        if lost > 0 {
            tracing::warn!(
                number = lost,
                "running jobs of daemons that are gone, whose entries are lost, are due again"
            );
        }
        Ok(())
    }

    async fn take_over_kind(
        &self,
        executor: &Executor,
        kind: JobKind,
        steady: bool,
        stop: &CancellationToken,
    ) -> Result<(), StoreError> {
        let stream = stream_name(&self.prefix, kind.as_str());
        let Ok(mut consumers) = queue::pending_consumers(&self.redis, &stream).await else {
            return Ok(());
        };
        let claimer = format!("{}{CLAIMER}", self.daemon.id);
        // What was claimed before and is still here first: the answer to the claim was lost, or the entry could not be taken off.
        consumers.sort_by_key(|(consumer, _)| *consumer != claimer);
        for (consumer, _) in consumers {
            progress::goes_round();
            let idle = if consumer == self.daemon.id {
                // Whoever had it here has panicked, or never got it.
                if !steady {
                    continue;
                }
                self.stuck_after
            } else {
                Duration::ZERO
            };
            let daemon = consumer.strip_suffix(CLAIMER).unwrap_or(&consumer);
            if daemon != self.daemon.id {
                let live = self.store.live_daemons(self.environment.now(), self.dead_after).await?;
                if live.contains(daemon) {
                    continue;
                }
            }
            if !self
                .take_over_from(executor, kind, &stream, (&consumer, &claimer), idle, stop)
                .await
            {
                return Ok(());
            }
        }
        if let Err(error) = queue::delete_idle_consumers(&self.redis, &stream, queue::GROUP, FORGET_AFTER).await {
            tracing::debug!(%error, stream, "consumers of daemons that are gone are forgotten later");
        }
        Ok(())
    }

    /// Runs the entries that have been pending for `idle` with the first of two consumers, in the name of the second. `false` when
    /// Redis is away or it is time to stop: the rest is for the next tick.
    async fn take_over_from(
        &self,
        executor: &Executor,
        kind: JobKind,
        stream: &str,
        (consumer, own_name): (&str, &str),
        idle: Duration,
        stop: &CancellationToken,
    ) -> bool {
        let taken_over = consumer.strip_suffix(CLAIMER);
        let gone = Gone {
            daemon: taken_over.unwrap_or(consumer),
            // What stands under our own name has not been run, or is through.
            is_rescuer: taken_over.is_some() && consumer != own_name,
        };
        loop {
            let Ok(claimed) = queue::claim_idle(&self.redis, stream, consumer, own_name, idle, CHUNK).await else {
                return false;
            };
            if claimed.is_empty() {
                return true;
            }
            tracing::warn!(
                stream,
                consumer,
                number = claimed.len(),
                "taking over entries that nobody is working on"
            );
            for entry in claimed {
                // What is claimed and not run stands under our own name until the next tick.
                if stop.is_cancelled() || self.pauses.is_paused(kind) {
                    return false;
                }
                progress::with_an_end(Box::pin(executor.rescue_job(kind, entry.job, gone))).await;
                if let Err(error) = queue::acknowledge(&self.redis, stream, &[entry.entry_id]).await {
                    // Claimed again at once it would run in circles. At the next tick it is found under our own name, and dropped,
                    // as its job has another state by now.
                    tracing::debug!(%error, stream, "a claimed entry could not be acknowledged");
                    return false;
                }
            }
        }
    }
}
