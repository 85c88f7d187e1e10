//! Tells ops of what is no registration's and no job's.

use std::time::Duration;

use chrono::DurationRound as _;
use enrolld_jobs::effect::{Alert, alert_event_id};

use super::{Executor, write::Origin};
use crate::store::{error::StoreError, transition::Transition};

impl Executor {
    /// Tells ops of `alert`, by an event and a mail: of a code and group once an hour, whichever daemon is the first to see it. Where
    /// it did not come to that, since its database was away or it has been silent for `dead_after`, whoever sees it next does.
    ///
    /// # Errors
    /// When the database cannot be asked, or refuses it.
    pub async fn alarm(&self, alert: &Alert, dead_after: Duration) -> Result<(), StoreError> {
        let now = self.now();
        let hour = now.duration_trunc(chrono::TimeDelta::hours(1)).unwrap_or(now);
        let schedule = format!("alert.{}.{}", alert.code.as_str(), alert.group);
        let (store, daemon) = (&self.0.store, &self.0.daemon_id);
        let is_ours = store.claim_tick(&schedule, hour, daemon, now).await?
            || !store
                .take_open_ticks(&schedule, daemon, hour, now, dead_after)
                .await?
                .is_empty();
        if !is_ours {
            return Ok(());
        }
        tracing::warn!(code = alert.code.as_str(), "{}", alert.message);
        let mut transition = Transition::default();
        // Should it be told twice, it is known by its id.
        let id = alert_event_id(alert, now);
        let origin = Origin::alone(self.new_trace());
        self.0.write_alert(&mut transition, id, alert, &origin, now);
        let queued = self.0.dispatch.admit(&mut transition);
        store.commit(transition).await?;
        store.end_tick(&schedule, hour, None, self.now()).await?;
        self.0.dispatch.send(queued);
        self.0.committed.notify_one();
        Ok(())
    }
}
