//! Tells ops of what is no registration's and no job's.

use chrono::DurationRound as _;
use enrolld_jobs::effect::Alert;

use super::{Executor, write::Origin};
use crate::store::{error::StoreError, transition::Transition};

impl Executor {
    /// Tells ops of `alert`, by an event and a mail: of a code and group once an hour, whichever daemon is the first to see it.
    ///
    /// # Errors
    /// When the database cannot be asked, or refuses it.
    pub async fn alarm(&self, alert: &Alert) -> Result<(), StoreError> {
        let now = self.now();
        let hour = now.duration_trunc(chrono::TimeDelta::hours(1)).unwrap_or(now);
        let schedule = format!("alert.{}.{}", alert.code.as_str(), alert.group);
        let claimed = self.0.store.claim_tick(&schedule, hour, &self.0.daemon_id, now);
        if !claimed.await? {
            return Ok(());
        }
        tracing::warn!(code = alert.code.as_str(), "{}", alert.message);
        let mut transition = Transition::default();
        let id = self.0.environment.random_id();
        let origin = Origin::alone(self.new_trace());
        self.0.write_alert(&mut transition, id, alert, &origin, now);
        let queued = self.0.dispatch.admit(&mut transition);
        self.0.store.commit(transition).await?;
        self.0.store.end_tick(&schedule, hour, None, self.now()).await?;
        self.0.dispatch.send(queued);
        self.0.committed.notify_one();
        Ok(())
    }
}
