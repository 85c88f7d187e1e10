//! Looks again, every now and then, whether the DAs whom requests wait for can still be reached (D2). It is looked at when a request is
//! routed and confirmed; accounts are switched off and DAs go at any time.

use chrono::{DateTime, Utc};
use enrolld_jobs::registration::StateName;
use tokio_util::sync::CancellationToken;

use crate::{
    executor::{Executor, Trouble},
    progress,
    schedule::Task,
    store::error::StoreError,
};

/// Registrations looked at in one go.
const CHUNK: u64 = 200;

/// See the module.
#[derive(Debug)]
pub struct Recheck {
    /// Decides.
    pub executor: Executor,
}

impl Task for Recheck {
    async fn carry_out(&self, _: DateTime<Utc>, stop: &CancellationToken) -> Result<(), StoreError> {
        let store = self.executor.store();
        let mut after = None;
        while !stop.is_cancelled() {
            let found = store
                .next_in_state(StateName::AwaitingDa, after.as_ref(), CHUNK)
                .await?;
            for registration in &found {
                progress::goes_round();
                self.look_at(&registration.id).await?;
            }
            after = found.into_iter().last();
            if after.is_none() {
                break;
            }
        }
        Ok(())
    }
}

impl Recheck {
    async fn look_at(&self, id: &str) -> Result<(), StoreError> {
        match self.executor.recheck(id, self.executor.new_trace()).await {
            Ok(()) => Ok(()),
            // Without the database there is no going on; with anything else the next one may do.
            Err(Trouble::Store(error)) => Err(error),
            Err(trouble) => {
                tracing::warn!(registration = id, %trouble, "whether its DA can be reached is looked at later");
                Ok(())
            }
        }
    }
}
