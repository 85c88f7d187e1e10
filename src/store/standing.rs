//! What is stuck, and why: for whoever asks how things stand. Nothing here reads more than [`MOST_COUNTED`] rows of an index.

use chrono::{DateTime, Utc};
use enrolld_jobs::registration::{Registration, StateName};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::{
    Store, counts::MOST_COUNTED, entities::registration, error::StoreError, milliseconds, moment, registrations::read,
    sql::indexed_by,
};

/// Jobs of one kind that failed for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedAlike {
    /// Their kind.
    pub kind: String,
    /// The class of their error.
    pub class: Option<String>,
    /// How many, counted no further than [`MOST_COUNTED`] with all others in their state.
    pub number: u64,
    /// When the first of them ended; `None` where they are tried again.
    pub since: Option<DateTime<Utc>>,
    /// Failures in a row of the one that has most.
    pub failures: u64,
}

/// Addresses that mail came back from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bounced {
    /// How many, counted no further than [`MOST_COUNTED`].
    pub number: u64,
    /// When the last of them was learnt of.
    pub newest: Option<DateTime<Utc>>,
}

impl Store {
    /// The jobs in `state` (`dead`, `retrying`) by kind and class of error, the most first.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn failed_alike(&self, state: &str) -> Result<Vec<FailedAlike>, StoreError> {
        let sql = format!(
            "SELECT kind, error_class, COUNT(*) AS number, MIN(finished_ms) AS since, MAX(failures) AS failures FROM \
             (SELECT kind, error_class, finished_ms, failures FROM jobs{} WHERE state = $1 ORDER BY created_ms \
             LIMIT {MOST_COUNTED}) AS q GROUP BY kind, error_class ORDER BY number DESC, kind, error_class",
            indexed_by(self.backend(), "jobs_listed")
        );
        let rows = self.reader.rows(&sql, [state.into()]).await?;
        rows.iter()
            .map(|row| {
                let (number, failures): (i64, i64) = (row.try_get("", "number")?, row.try_get("", "failures")?);
                let since: Option<i64> = row.try_get("", "since")?;
                Ok(FailedAlike {
                    kind: row.try_get("", "kind")?,
                    class: row.try_get("", "error_class")?,
                    number: number.cast_unsigned(),
                    since: since.map(moment),
                    failures: failures.cast_unsigned(),
                })
            })
            .collect()
    }

    /// The registrations that have been in `state` for longest, at most `limit`.
    ///
    /// # Errors
    /// As [`Store::registration`].
    pub async fn longest_in(&self, state: StateName, limit: u64) -> Result<Vec<Registration>, StoreError> {
        let query = registration::Entity::find()
            .filter(registration::Column::State.eq(state.as_str()))
            .order_by_asc(registration::Column::SinceMs)
            .limit(limit);
        let rows = query.all(&self.reader).await?;
        rows.iter().map(read).collect()
    }

    /// Addresses that mail has come back from since `since`.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn bounced_since(&self, since: DateTime<Utc>) -> Result<Bounced, StoreError> {
        let sql = format!(
            "SELECT COUNT(*) AS number, MAX(since_ms) AS newest FROM (SELECT since_ms FROM suppressions{} \
             WHERE since_ms >= $1 ORDER BY since_ms DESC LIMIT {MOST_COUNTED}) AS q",
            indexed_by(self.backend(), "suppressions_since")
        );
        let Some(row) = self.reader.row(&sql, [milliseconds(since).into()]).await? else {
            return Ok(Bounced::default());
        };
        let (number, newest): (i64, Option<i64>) = (row.try_get("", "number")?, row.try_get("", "newest")?);
        Ok(Bounced {
            number: number.cast_unsigned(),
            newest: newest.map(moment),
        })
    }
}
