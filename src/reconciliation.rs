//! The daily look whether every target still has what was granted, and nothing that was taken back (D11): the jobs of
//! `provisioning_sync` are queued again, and ask.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use tokio_util::sync::CancellationToken;

use crate::{
    environment::Environment,
    progress,
    schedule::Task,
    store::{Store, error::StoreError},
};

/// Pause between tries while the database is away.
const PAUSE: Duration = Duration::from_secs(1);

/// Grants looked at in one transaction.
const CHUNK: u64 = 200;

/// For how long targets are asked about what was taken back.
const ENDED_FOR: TimeDelta = TimeDelta::days(90);

/// See the module.
#[derive(Debug)]
pub struct Reconciliation {
    /// The database.
    pub store: Store,
    /// Time.
    pub environment: Arc<dyn Environment>,
    /// The names of the targets.
    pub targets: Vec<String>,
}

impl Task for Reconciliation {
    async fn carry_out(&self, tick: DateTime<Utc>, stop: &CancellationToken) -> Result<(), StoreError> {
        if self.targets.is_empty() {
            return Ok(());
        }
        tracing::info!(%tick, "asking the targets about every grant");
        let ended_since = tick - ENDED_FOR;
        let mut after = String::new();
        while !stop.is_cancelled() {
            progress::goes_round();
            let now = self.environment.now();
            let queued = self.store.reconcile(&self.targets, &after, ended_since, CHUNK, now);
            match queued.await {
                Ok(Some(last)) => after = last,
                Ok(None) => return Ok(()),
                // Going on saves asking again about those who were asked.
                Err(error) if error.is_temporary() => {
                    tracing::warn!(%error, "the look at what the targets have waits");
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
