//! Looks at an even pace at what waits, and for how long: for the gauges of `/metrics`, and to tell ops of what is beyond its limit.
//!
//! Every daemon looks for itself, so that each can be scraped alone; what they tell of database and Redis is the same. What is away is
//! told as away, and what was known of it fades ([`STALE_AFTER`](crate::metrics::STALE_AFTER)). Alerts go out once, whoever sees it.

mod alarm;
mod pace;

use std::{collections::HashMap, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use enrolld_jobs::{job::JobKind, registration::StateName};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

pub use self::alarm::AlarmLimits;
use self::{
    alarm::{REFUSED_WITHIN, alarms},
    pace::Pace,
};
use crate::{
    executor::Executor,
    metrics::{self, Exposition, names},
    pauses::Pauses,
    queue::{self, Redis, Unread, stream_name},
    store::{
        counts::{Failing, Waiting},
        error::StoreError,
    },
    ticks::Ticks,
};

/// How long a dependency may take to give a sign of life.
const SIGN_WITHIN: Duration = Duration::from_secs(2);

/// How late a timer is before it is overdue: `dispatcher.poll` may be as long.
const TIMERS_AFTER: Duration = Duration::from_mins(1);

/// See the module.
#[derive(Debug)]
pub struct Watch {
    /// Has the database and the time, and tells ops.
    pub executor: Executor,
    /// The queue.
    pub redis: Redis,
    /// `redis.prefix`.
    pub prefix: String,
    /// What is paused.
    pub pauses: Pauses,
    /// `metrics.every`.
    pub every: Duration,
    /// `heartbeat.dead_after`.
    pub dead_after: Duration,
    /// `review.sla`.
    pub review_sla: Duration,
    /// From where on ops are told.
    pub limits: AlarmLimits,
    /// What is shown.
    pub exposition: Exposition,
}

/// What the database says.
#[derive(Debug, Clone, Default)]
struct Seen {
    queues: Vec<(JobKind, Waiting)>,
    paused: Vec<JobKind>,
    failing: HashMap<JobKind, Failing>,
    timers: Waiting,
    reviews: Waiting,
    provisioning: Waiting,
    inbox: Waiting,
    notices: u64,
    daemons: usize,
    /// Events refused within [`REFUSED_WITHIN`], and in as long a span before.
    refused_lately: u64,
    refused_before: u64,
}

impl Watch {
    /// Looks until the stop. Neither of the two waits for the other.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let looking = async { tokio::join!(self.look_at_database(&stop), self.look_at_redis(&stop)) };
        // Nobody waits for the answer of what is away.
        let _ = stop.run_until_cancelled(Box::pin(looking)).await;
    }

    async fn look_at_database(&self, stop: &CancellationToken) {
        let mut ticks = Ticks::new(self.every, stop);
        let mut counting = Pace::default();
        let mut registrations = HashMap::new();
        while ticks.next().await {
            self.exposition.tidy_up();
            if !is_there("database", self.executor.store().ping()).await {
                continue;
            }
            let now = self.executor.now();
            match self.see(now).await {
                Ok(seen) => {
                    seen.show(now);
                    self.tell(&seen, now).await;
                }
                Err(error) => {
                    tracing::debug!(%error, "the gauges wait for the database");
                    continue;
                }
            }
            let begun = Instant::now();
            if counting.is_due(begun) {
                match self.executor.store().count_registrations().await {
                    Ok(counted) => registrations = counted,
                    Err(error) => tracing::debug!(%error, "counting registrations waits"),
                }
                counting.took(begun, Instant::now());
            }
            for state in StateName::ALL {
                let number = registrations.get(&state).copied().unwrap_or_default();
                metrics::set(names::REGISTRATIONS, "state", state.as_str(), number);
            }
            gathered("database", now);
        }
    }

    async fn see(&self, now: DateTime<Utc>) -> Result<Seen, StoreError> {
        let store = self.executor.store();
        let (lately, before) = (now - REFUSED_WITHIN, now - 2 * REFUSED_WITHIN);
        Ok(Seen {
            queues: store.queues().await?,
            paused: self.pauses.kinds(),
            failing: store.failing().await?,
            timers: store.overdue_timers(now - TIMERS_AFTER).await?,
            reviews: store
                .in_state_before(StateName::InReview, now - self.review_sla)
                .await?,
            provisioning: store
                .in_state_before(StateName::Provisioning, now - self.limits.provisioning_within)
                .await?,
            inbox: store.inbox_waiting().await?,
            notices: store.notices_waiting().await?,
            daemons: store.live_daemons(now, self.dead_after).await?.len(),
            refused_lately: store.refused_between(lately, now).await?,
            refused_before: store.refused_between(before, lately).await?,
        })
    }

    async fn tell(&self, seen: &Seen, now: DateTime<Utc>) {
        for alert in alarms(seen, &self.limits, now) {
            if let Err(error) = self.executor.alarm(&alert, self.dead_after).await {
                tracing::error!(code = alert.code.as_str(), %error, "ops could not be told");
            }
        }
    }

    async fn look_at_redis(&self, stop: &CancellationToken) {
        let mut ticks = Ticks::new(self.every, stop);
        while ticks.next().await {
            if !is_there("redis", self.redis.takes_writes(&self.prefix)).await {
                continue;
            }
            match self.see_streams().await {
                Ok(()) => gathered("redis", self.executor.now()),
                Err(error) => tracing::debug!(%error, "the gauges wait for Redis"),
            }
        }
    }

    async fn see_streams(&self) -> Result<(), queue::Error> {
        for kind in JobKind::ALL {
            let unread = queue::unread(&self.redis, &stream_name(&self.prefix, kind.as_str())).await?;
            metrics::set(names::QUEUE_UNREAD, "kind", kind.as_str(), unread.number);
        }
        let intake = queue::kept(&self.redis, &format!("{}:intake", self.prefix)).await?;
        metrics::set(names::INTAKE_WAITING, "stage", "stream", intake.number);
        metrics::set_span(names::INTAKE_LAG, "stage", "stream", waits(&intake));
        Ok(())
    }
}

impl Seen {
    fn show(&self, now: DateTime<Utc>) {
        for (kind, waiting) in &self.queues {
            let failing = self.failing.get(kind).copied().unwrap_or_default();
            let is_paused = self.paused.contains(kind);
            let kind = kind.as_str();
            metrics::set(names::QUEUE_PAUSED, "kind", kind, u64::from(is_paused));
            metrics::set(names::QUEUE_WAITING, "kind", kind, waiting.number);
            metrics::set_span(names::QUEUE_OLDEST_AGE, "kind", kind, age(waiting, now));
            metrics::set(names::JOBS_RETRYING, "kind", kind, failing.retrying);
            metrics::set(names::JOBS_DEAD, "kind", kind, failing.dead);
        }
        for (deadline, waiting) in [
            ("timers", &self.timers),
            ("reviews", &self.reviews),
            ("provisioning", &self.provisioning),
        ] {
            metrics::set(names::DEADLINES_OVERDUE, "deadline", deadline, waiting.number);
        }
        metrics::set(names::INTAKE_WAITING, "stage", "inbox", self.inbox.number);
        metrics::set_span(names::INTAKE_LAG, "stage", "inbox", age(&self.inbox, now));
        metrics::set_one(names::NOTICES_WAITING, self.notices);
        metrics::set_one(names::DAEMONS_ALIVE, self.daemons as u64);
    }
}

/// Whether a dependency gives a sign of life, which is noted.
async fn is_there<E>(name: &'static str, sign: impl Future<Output = Result<(), E>>) -> bool {
    let there = matches!(timeout(SIGN_WITHIN, sign).await, Ok(Ok(())));
    metrics::dependency(name, there);
    there
}

/// For how long the first has been waiting.
fn age(waiting: &Waiting, now: DateTime<Utc>) -> Duration {
    let since = waiting.oldest.unwrap_or(now);
    (now - since).to_std().unwrap_or_default()
}

/// For how long the first entry has been in its stream, by the clock of Redis.
fn waits(entries: &Unread) -> Duration {
    let oldest = entries.oldest_ms.unwrap_or(entries.now_ms);
    Duration::from_millis(entries.now_ms.saturating_sub(oldest))
}

fn gathered(source: &'static str, at: DateTime<Utc>) {
    let seconds = u64::try_from(at.timestamp()).unwrap_or_default();
    metrics::set(names::GATHERED, "source", source, seconds);
}
