//! Jobs: what is due, what is lost, what ended, and who runs what.
//!
//! Jobs are taken by a `MATERIALIZED` select: PostgreSQL might run a plain subselect once a row, and lock more than the
//! limit. The limit stands in the text: planned for an unknown one, PostgreSQL counts on a tenth of all that are due.

use std::time::Duration;

use chrono::{DateTime, Utc};
use enrolld_jobs::job::JobKind;
use sea_orm::EntityTrait;
use uuid::Uuid;

pub use super::selection::Filter;
use super::{
    Store,
    attempts::NewAttempt,
    entities::job,
    error::StoreError,
    milliseconds, span_ms,
    sql::{for_update_skip_locked, indexed_by},
};
use crate::queue::JobRef;

impl Store {
    /// The job.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn job(&self, id: Uuid) -> Result<Option<job::Model>, StoreError> {
        Ok(job::Entity::find_by_id(id.to_string()).one(&self.reader).await?)
    }

    /// Marks at most `limit` jobs that are due as queued, each with its next run number, and returns them. No two daemons
    /// get the same one.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn take_due(&self, now: DateTime<Utc>, limit: u64) -> Result<Vec<(JobKind, JobRef)>, StoreError> {
        let sql = format!(
            "WITH taken AS MATERIALIZED (SELECT id FROM jobs{} WHERE state IN ('scheduled', 'retrying') \
             AND run_at_ms <= $1 ORDER BY run_at_ms LIMIT {limit}{}) \
             UPDATE jobs SET state = 'queued', run_no = run_no + 1, queued_ms = $1, daemon_id = NULL \
             WHERE id IN (SELECT id FROM taken) RETURNING id, kind, run_no",
            indexed_by(self.backend(), "jobs_due"),
            for_update_skip_locked(self.backend())
        );
        let values = [milliseconds(now).into()];
        references(&self.writer.rows(&sql, values).await?)
    }

    /// As [`Store::take_due`], of one kind alone.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn take_due_of(
        &self,
        kind: JobKind,
        now: DateTime<Utc>,
        limit: u64,
    ) -> Result<Vec<(JobKind, JobRef)>, StoreError> {
        let sql = format!(
            "WITH taken AS MATERIALIZED (SELECT id FROM jobs{} WHERE kind = $2 AND state IN ('scheduled', 'retrying') \
             AND run_at_ms <= $1 ORDER BY run_at_ms LIMIT {limit}{}) \
             UPDATE jobs SET state = 'queued', run_no = run_no + 1, queued_ms = $1, daemon_id = NULL \
             WHERE id IN (SELECT id FROM taken) RETURNING id, kind, run_no",
            indexed_by(self.backend(), "jobs_due_of_kind"),
            for_update_skip_locked(self.backend())
        );
        let values = [milliseconds(now).into(), kind.as_str().into()];
        references(&self.writer.rows(&sql, values).await?)
    }

    /// Jobs of `kind` that have been queued since before `before`: where they are not in their stream any more they are
    /// lost, and must be added again. They count as queued `now`, so that they are not found again at once.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn take_queued_before(
        &self,
        kind: JobKind,
        before: DateTime<Utc>,
        now: DateTime<Utc>,
        limit: u64,
    ) -> Result<Vec<(JobKind, JobRef)>, StoreError> {
        let sql = format!(
            "WITH taken AS MATERIALIZED (SELECT id FROM jobs{} WHERE kind = $2 AND state = 'queued' AND queued_ms < $3 \
             ORDER BY queued_ms LIMIT {limit}{}) \
             UPDATE jobs SET queued_ms = $1 WHERE id IN (SELECT id FROM taken) RETURNING id, kind, run_no",
            indexed_by(self.backend(), "jobs_queued"),
            for_update_skip_locked(self.backend())
        );
        let values = [
            milliseconds(now).into(),
            kind.as_str().into(),
            milliseconds(before).into(),
        ];
        references(&self.writer.rows(&sql, values).await?)
    }

    /// How many jobs of `kind` are queued (since before `before`, where that is given), counted no further than `at_most`.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn count_queued(
        &self,
        kind: JobKind,
        before: Option<DateTime<Utc>>,
        at_most: u64,
    ) -> Result<u64, StoreError> {
        let sql = format!(
            "SELECT COUNT(*) AS number FROM (SELECT 1 FROM jobs{} WHERE kind = $1 AND state = 'queued' \
             AND queued_ms < $2 LIMIT $3) AS q",
            indexed_by(self.backend(), "jobs_queued")
        );
        let values = [
            kind.as_str().into(),
            before.map_or(i64::MAX, milliseconds).into(),
            i64::try_from(at_most).unwrap_or(i64::MAX).into(),
        ];
        let row = self.reader.row(&sql, values).await?;
        let number: i64 = row.map_or(Ok(0), |row| row.try_get("", "number"))?;
        Ok(number.cast_unsigned())
    }

    /// Begins another run of a job of which `daemon`, which is gone, had this one, and notes that the job may have been the daemon's
    /// end. Returns how many times that has happened, and the new run; `None` when the job is in another run by now, is at work
    /// elsewhere, or has ended.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn note_crash(
        &self,
        job: JobRef,
        daemon: &str,
        now: DateTime<Utc>,
    ) -> Result<Option<(i64, JobRef)>, StoreError> {
        let transaction = self.writer.begin().await?;
        let sql = "UPDATE jobs SET crashes = crashes + 1, run_no = run_no + 1 WHERE id = $1 AND run_no = $2 \
                   AND (state = 'queued' OR state = 'running' AND daemon_id = $3) \
                   RETURNING crashes, run_no, CASE WHEN state = 'running' THEN started_ms END AS started_ms";
        let values = [job.id.to_string().into(), i64::from(job.run_no).into(), daemon.into()];
        let Some(row) = transaction.row(sql, values).await? else {
            return Ok(None);
        };
        let run_no: i64 = row.try_get("", "run_no")?;
        let crashed = NewAttempt {
            started_ms: row.try_get("", "started_ms")?,
            daemon_id: Some(daemon.to_owned()),
            ..NewAttempt::crashed(job.id, i64::from(job.run_no), milliseconds(now))
        };
        self.add_attempts(&transaction, &[crashed]).await?;
        transaction.commit().await?;
        let run_no = u32::try_from(run_no).map_err(|_| StoreError::refused("a job has run too often"))?;
        Ok(Some((row.try_get("", "crashes")?, JobRef { run_no, ..job })))
    }

    /// Jobs that were running for `dead_after` on daemons which have been silent for as long: at most `limit`, made due
    /// again. Their entries may be lost with Redis, or be claimed as well; the next run number tells the two apart.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn take_abandoned(
        &self,
        now: DateTime<Utc>,
        dead_after: Duration,
        limit: u64,
    ) -> Result<u64, StoreError> {
        let sql = format!(
            "WITH taken AS MATERIALIZED (SELECT id FROM jobs{} WHERE state = 'running' AND started_ms < $2 \
             AND daemon_id NOT IN \
             (SELECT d.id FROM daemons d WHERE d.stopped_ms IS NULL AND d.heartbeat_ms >= $3) \
             LIMIT {limit}{}) \
             UPDATE jobs SET state = 'retrying', run_at_ms = $1, crashes = crashes + 1 \
             WHERE id IN (SELECT id FROM taken) RETURNING id, run_no, started_ms, daemon_id",
            indexed_by(self.backend(), "jobs_running"),
            for_update_skip_locked(self.backend())
        );
        // Moments of jobs are those of the daemons' clocks; only life is judged by the shared one.
        let span = span_ms(dead_after);
        let values = [
            milliseconds(now).into(),
            (milliseconds(now) - span).into(),
            (self.shared_now_ms(now).await? - span).into(),
        ];
        let transaction = self.writer.begin().await?;
        let taken = transaction.rows(&sql, values).await?;
        let crashed = taken.iter().map(|row| {
            let id: String = row.try_get("", "id")?;
            let id = Uuid::parse_str(&id).map_err(|_| StoreError::refused("a job's id is none"))?;
            Ok(NewAttempt {
                started_ms: row.try_get("", "started_ms")?,
                daemon_id: row.try_get("", "daemon_id")?,
                ..NewAttempt::crashed(id, row.try_get("", "run_no")?, milliseconds(now))
            })
        });
        let crashed = crashed.collect::<Result<Vec<_>, StoreError>>()?;
        if !crashed.is_empty() {
            self.add_attempts(&transaction, &crashed).await?;
        }
        transaction.commit().await?;
        Ok(crashed.len() as u64)
    }
}

fn references(rows: &[sea_orm::QueryResult]) -> Result<Vec<(JobKind, JobRef)>, StoreError> {
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        let (id, kind, run_no): (String, String, i64) = (
            row.try_get("", "id")?,
            row.try_get("", "kind")?,
            row.try_get("", "run_no")?,
        );
        if let (Some(kind), Ok(id), Ok(run_no)) =
            (JobKind::from_name(&kind), Uuid::parse_str(&id), u32::try_from(run_no))
        {
            found.push((kind, JobRef { id, run_no }));
        } else {
            // A later release's, running beside this one: its own daemons find it with their audit.
            tracing::warn!(
                id,
                kind,
                "a job of a kind that this release does not know is left alone"
            );
        }
    }
    Ok(found)
}
