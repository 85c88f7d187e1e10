//! Signs of life, and taking over what daemons that are gone had begun.
//!
//! A daemon that has been silent for `heartbeat.dead_after` is gone. Entries that it had read are claimed and run here, one at a
//! time: if one of them was what ended it, nothing else goes down with it, and after a few such ends the job is given up.

use std::{sync::Arc, time::Duration};

use enrolld_jobs::job::JobKind;
use tokio_util::sync::CancellationToken;

use crate::{
    environment::Environment,
    executor::Executor,
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

/// What a daemon appends to its id when it claims: a reader's own name is not claimed to.
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
    /// Who this is.
    pub daemon: Daemon,
    /// `heartbeat.every`.
    pub every: Duration,
    /// `heartbeat.dead_after`.
    pub dead_after: Duration,
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
        while ticks.next().await {
            if let Err(error) = self.take_over_all(&executor, &stop).await {
                tracing::warn!(%error, "recovery waits for the database");
            }
        }
    }

    async fn take_over_all(&self, executor: &Executor, stop: &CancellationToken) -> Result<(), StoreError> {
        // Whoever could not reach Redis may have been unable to give signs of life either, and be alive.
        if self.redis.health().reachable_for(self.dead_after) {
            for kind in JobKind::ALL {
                self.take_over_kind(executor, *kind, stop).await?;
            }
        }
        let now = self.environment.now();
        let lost = self
            .store
            .take_abandoned(now - self.dead_after * LOST_AFTER_FACTOR, now, 500)
            .await?;
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
        stop: &CancellationToken,
    ) -> Result<(), StoreError> {
        let stream = stream_name(&self.prefix, kind.as_str());
        let Ok(consumers) = queue::pending_consumers(&self.redis, &stream).await else {
            return Ok(());
        };
        let claimer = format!("{}{CLAIMER}", self.daemon.id);
        for (consumer, pending) in consumers {
            let daemon = consumer.trim_end_matches(CLAIMER);
            let live = self
                .store
                .live_daemons(self.environment.now() - self.dead_after)
                .await?;
            if daemon == self.daemon.id || live.contains(daemon) {
                continue;
            }
            tracing::warn!(stream, consumer, pending, "a daemon is gone; taking over its entries");
            while let Ok(claimed) = queue::claim(&self.redis, &stream, &consumer, &claimer, CHUNK).await {
                if claimed.is_empty() || stop.is_cancelled() {
                    break;
                }
                for entry in claimed {
                    executor.rescue_job(kind, entry.job).await;
                    if let Err(error) = queue::acknowledge(&self.redis, &stream, &[entry.entry_id]).await {
                        // Its job has another state by now: whoever reads it again drops it.
                        tracing::debug!(%error, stream, "a claimed entry could not be acknowledged");
                    }
                }
            }
        }
        if let Err(error) = queue::delete_idle_consumers(&self.redis, &stream, queue::GROUP, FORGET_AFTER).await {
            tracing::debug!(%error, stream, "consumers of daemons that are gone are forgotten later");
        }
        Ok(())
    }
}
