//! How much there is of what: for gauges and alerts.
//!
//! It is asked all day, so nothing here reads more than [`MOST_COUNTED`] rows of an index, whatever is stored;
//! [`Store::count_registrations`] is the exception, and its caller keeps to a pace.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use enrolld_jobs::{job::JobKind, registration::StateName};
use sea_orm::{QueryResult, Value};

use super::{Store, error::StoreError, milliseconds, moment, sql::indexed_by};

/// Where counting ends.
pub const MOST_COUNTED: u64 = 10_000;

/// Some that wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Waiting {
    /// How many, counted no further than [`MOST_COUNTED`].
    pub number: u64,
    /// Since when the first of them does.
    pub oldest: Option<DateTime<Utc>>,
}

/// Jobs of a kind that did not succeed, each counted no further than [`MOST_COUNTED`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Failing {
    /// Those to be tried again.
    pub retrying: u64,
    /// Those that wait for a person.
    pub dead: u64,
}

impl Store {
    /// The queued jobs of `kind`.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn queued(&self, kind: JobKind) -> Result<Waiting, StoreError> {
        let from = format!(
            "SELECT queued_ms AS since FROM jobs{} WHERE kind = $1 AND state = 'queued' ORDER BY queued_ms",
            indexed_by(self.backend(), "jobs_queued")
        );
        self.waiting(&from, [kind.as_str().into()]).await
    }

    /// As [`Store::queued`], of every kind.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn queues(&self) -> Result<Vec<(JobKind, Waiting)>, StoreError> {
        let mut queues = Vec::with_capacity(JobKind::ALL.len());
        for kind in JobKind::ALL.iter().copied() {
            queues.push((kind, self.queued(kind).await?));
        }
        Ok(queues)
    }

    /// Timers and retries that were due at `at` and are not queued, but for those of queues that are paused. Each kind is counted no
    /// further than [`MOST_COUNTED`].
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn overdue_timers(&self, at: DateTime<Utc>) -> Result<Waiting, StoreError> {
        let from = format!(
            "SELECT run_at_ms AS since FROM jobs{} WHERE kind = $1 AND state IN ('scheduled', 'retrying') \
             AND run_at_ms < $2 ORDER BY run_at_ms",
            indexed_by(self.backend(), "jobs_due_of_kind")
        );
        let paused = self.paused_queues().await?;
        let runs = |kind: &&JobKind| paused.iter().all(|queue| queue.kind != kind.as_str());
        let mut all = Waiting::default();
        for kind in JobKind::ALL.iter().filter(runs) {
            let of_kind = self
                .waiting(&from, [kind.as_str().into(), milliseconds(at).into()])
                .await?;
            all = Waiting {
                number: all.number + of_kind.number,
                oldest: all.oldest.into_iter().chain(of_kind.oldest).min(),
            };
        }
        Ok(all)
    }

    /// Registrations that have been in `state` since before `before`.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn in_state_before(&self, state: StateName, before: DateTime<Utc>) -> Result<Waiting, StoreError> {
        let from = format!(
            "SELECT since_ms AS since FROM registrations{} WHERE state = $1 AND since_ms < $2 ORDER BY since_ms",
            indexed_by(self.backend(), "registrations_state")
        );
        self.waiting(&from, [state.as_str().into(), milliseconds(before).into()])
            .await
    }

    /// Events that are taken in and not applied.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn inbox_waiting(&self) -> Result<Waiting, StoreError> {
        let from = format!(
            "SELECT received_ms AS since FROM inbox{} WHERE state = 'waiting' ORDER BY seq",
            indexed_by(self.backend(), "inbox_waiting")
        );
        self.waiting(&from, []).await
    }

    /// Events that were refused since `from` and before `until`.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn refused_between(&self, from: DateTime<Utc>, until: DateTime<Utc>) -> Result<u64, StoreError> {
        let sql = format!(
            "SELECT refused_ms AS since FROM refused{} WHERE refused_ms >= $1 AND refused_ms < $2 ORDER BY refused_ms",
            indexed_by(self.backend(), "refused_at")
        );
        let values = [milliseconds(from).into(), milliseconds(until).into()];
        Ok(self.waiting(&sql, values).await?.number)
    }

    /// Events on their way out.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn notices_waiting(&self) -> Result<u64, StoreError> {
        Ok(self
            .waiting("SELECT seq AS since FROM notices ORDER BY seq", [])
            .await?
            .number)
    }

    /// Retrying and dead jobs of every kind.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn failing(&self) -> Result<HashMap<JobKind, Failing>, StoreError> {
        let from = format!(
            "SELECT run_at_ms AS since FROM jobs{} WHERE state = $1 AND state IN ('retrying', 'dead') AND kind = $2",
            indexed_by(self.backend(), "jobs_failing")
        );
        let number = async |kind: JobKind, state: &str| -> Result<u64, StoreError> {
            Ok(self.waiting(&from, [state.into(), kind.as_str().into()]).await?.number)
        };
        let mut found = HashMap::new();
        for kind in JobKind::ALL.iter().copied() {
            let (retrying, dead) = (number(kind, "retrying").await?, number(kind, "dead").await?);
            found.insert(kind, Failing { retrying, dead });
        }
        Ok(found)
    }

    /// All registrations by state; states that none is in are left out. Reads the whole index: a million of them take a fraction of a
    /// second.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn count_registrations(&self) -> Result<HashMap<StateName, u64>, StoreError> {
        let sql = format!(
            "SELECT state, COUNT(*) AS number FROM registrations{} GROUP BY state",
            indexed_by(self.backend(), "registrations_state")
        );
        let mut found = HashMap::new();
        for row in self.reader.rows(&sql, []).await? {
            let state: String = row.try_get("", "state")?;
            if let Some(state) = StateName::ALL.into_iter().find(|known| known.as_str() == state) {
                found.insert(state, number(&row)?);
            }
        }
        Ok(found)
    }

    /// Counts the rows of `from`, which gives them in their order, by their column `since`. The limit stands in the text: see `jobs`.
    async fn waiting(&self, from: &str, values: impl IntoIterator<Item = Value> + Send) -> Result<Waiting, StoreError> {
        let sql = format!("SELECT COUNT(*) AS number, MIN(since) AS oldest FROM ({from} LIMIT {MOST_COUNTED}) AS q");
        let rows = self.reader.rows(&sql, values).await?;
        let Some(row) = rows.first() else {
            return Ok(Waiting::default());
        };
        let oldest: Option<i64> = row.try_get("", "oldest")?;
        Ok(Waiting {
            number: number(row)?,
            oldest: oldest.map(moment),
        })
    }
}

fn number(row: &QueryResult) -> Result<u64, StoreError> {
    let number: i64 = row.try_get("", "number")?;
    Ok(number.cast_unsigned())
}
