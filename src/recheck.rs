//! Looks again, every now and then, whether the DAs whom requests wait for can still be reached (D2). It is looked at when a request is
//! routed and confirmed; accounts are switched off and DAs go at any time.

use std::{sync::Arc, time::Duration};

use enrolld_jobs::registration::StateName;
use tokio_util::sync::CancellationToken;

use crate::{
    executor::{Executor, Trouble},
    store::error::StoreError,
    ticks::Ticks,
};

/// Registrations looked at in one go.
const CHUNK: u64 = 200;

/// See the module.
#[derive(Debug)]
pub struct Recheck {
    /// Decides.
    pub executor: Executor,
    /// This daemon's id.
    pub daemon_id: String,
    /// `da_response.recheck`.
    pub every: Duration,
}

impl Recheck {
    /// Looks until the stop. Of several daemons one does it in each period: whoever holds the lease, which lasts until the next.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut ticks = Ticks::new(self.every, &stop);
        while ticks.next().await {
            if let Err(error) = self.look(&stop).await {
                tracing::warn!(%error, "looking for DAs who cannot be reached waits");
            }
        }
    }

    async fn look(&self, stop: &CancellationToken) -> Result<(), StoreError> {
        let store = self.executor.store();
        let holds = store.hold_lease("recheck", &self.daemon_id, self.executor.now(), self.every);
        if holds.await?.is_none() {
            return Ok(());
        }
        let mut after = String::new();
        while !stop.is_cancelled() {
            let ids = store.ids_in_state(StateName::AwaitingDa, &after, CHUNK).await?;
            let Some(last) = ids.last() else {
                return Ok(());
            };
            after.clone_from(last);
            for id in ids {
                self.look_at(&id).await?;
            }
        }
        Ok(())
    }

    async fn look_at(&self, id: &str) -> Result<(), StoreError> {
        match self.executor.recheck(id).await {
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
