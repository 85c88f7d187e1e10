//! What is done by the clock. Each tick of a schedule is carried out once, however many daemons there are: one of them claims
//! it in the database.
//!
//! - Of the ticks that nobody was there for the latest is made up for, if it is no older than a day.
//! - A tick whose daemon is gone before it is through is taken over.
//! - A clock that is put back comes to ticks that are claimed already, and they are not carried out again.
//! - `enrolld schedules run` asks for one between the ticks.

mod when;

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use tokio_util::sync::CancellationToken;

pub use self::when::{Calendar, When};
use crate::{
    environment::Environment,
    settings::Settings,
    store::{Store, error::StoreError},
    ticks::Ticks,
};

/// How often the clock is looked at, at least.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How far back a tick is made up for.
pub const MADE_UP_FOR: TimeDelta = TimeDelta::days(1);

/// How often what is finished for long is looked for.
const RETENTION_EVERY: Duration = Duration::from_mins(10);

/// The schedules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    /// Asks the targets about every grant (D11).
    Reconciliation,
    /// Looks whether the DAs who are asked can be reached (D2).
    Recheck,
    /// Deletes what has been finished for long (D24).
    Retention,
}

impl Name {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Reconciliation, Self::Recheck, Self::Retention];

    /// As the database and the command line name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reconciliation => "provisioning.reconcile",
            Self::Recheck => "da_response.recheck",
            Self::Retention => "retention",
        }
    }

    /// The schedule of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == name)
    }

    /// What it does, for people.
    pub const fn purpose(self) -> &'static str {
        match self {
            Self::Reconciliation => "asks the targets about every grant",
            Self::Recheck => "looks whether the administrators who are asked can be reached",
            Self::Retention => "deletes what has been finished for long",
        }
    }

    /// When it is done.
    pub fn when(self, settings: &Settings) -> When {
        match self {
            Self::Reconciliation => When::Calendar(Box::new(settings.provisioning.reconcile_at.clone())),
            Self::Recheck => When::Every(settings.da_response.recheck),
            Self::Retention => When::Every(RETENTION_EVERY),
        }
    }
}

/// What a schedule has done.
pub trait Task: Send + Sync + 'static {
    /// Carries out a tick; returns early, with no error, at the stop. A tick may be carried out again from the start when that
    /// failed, or its daemon ended: that must do no harm.
    ///
    /// # Errors
    /// When the database cannot be asked: it is tried again.
    fn carry_out(
        &self,
        tick: DateTime<Utc>,
        stop: &CancellationToken,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// Carries out the ticks of one schedule.
#[derive(Debug)]
pub struct Schedule {
    /// Which.
    pub name: Name,
    /// When its ticks come.
    pub when: When,
    /// The database.
    pub store: Store,
    /// Time.
    pub environment: Arc<dyn Environment>,
    /// This daemon's id.
    pub daemon_id: String,
    /// `heartbeat.dead_after`
    pub dead_after: Duration,
}

impl Schedule {
    /// Carries out what is due, until the stop.
    pub async fn run(self, task: impl Task, stop: CancellationToken) {
        let period = match self.when {
            When::Every(period) => period.min(LOOK_EVERY),
            When::Calendar(_) => LOOK_EVERY,
        };
        let mut ticks = Ticks::new(period, &stop);
        let mut seen = None;
        while ticks.next().await {
            if let Err(error) = self.look(&task, &mut seen, &stop).await {
                tracing::warn!(schedule = self.name.as_str(), %error, "a schedule waits for the database");
            }
        }
    }

    /// `seen` is the latest tick that was claimed, by whomever.
    async fn look(
        &self,
        task: &impl Task,
        seen: &mut Option<DateTime<Utc>>,
        stop: &CancellationToken,
    ) -> Result<(), StoreError> {
        let now = self.environment.now();
        let due = self.when.latest(now).filter(|tick| now - tick <= MADE_UP_FOR);
        if let Some(tick) = due.filter(|tick| Some(*tick) != *seen) {
            let claimed = self.store.claim_tick(self.name.as_str(), tick, &self.daemon_id, now);
            let claimed = claimed.await?;
            *seen = Some(tick);
            if claimed {
                self.carry_out(task, tick, stop).await?;
            }
        }
        let since = now - MADE_UP_FOR;
        let open = self
            .store
            .take_open_ticks(self.name.as_str(), &self.daemon_id, since, now, self.dead_after);
        for tick in open.await? {
            self.carry_out(task, tick, stop).await?;
        }
        Ok(())
    }

    /// A tick that is not through stays open, and is this daemon's: it looks for it again, as others do once this one is gone.
    async fn carry_out(
        &self,
        task: &impl Task,
        tick: DateTime<Utc>,
        stop: &CancellationToken,
    ) -> Result<(), StoreError> {
        tracing::debug!(schedule = self.name.as_str(), %tick, "a tick");
        match task.carry_out(tick, stop).await {
            Ok(()) if stop.is_cancelled() => Ok(()),
            Err(error) if error.is_temporary() => Err(error),
            ended => {
                let error = ended.as_ref().err().map(ToString::to_string);
                self.store
                    .end_tick(self.name.as_str(), tick, error.as_deref(), self.environment.now())
                    .await?;
                ended
            }
        }
    }
}
