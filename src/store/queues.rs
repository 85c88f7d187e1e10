//! Queues: which are paused, and how much waits in each.

use chrono::{DateTime, Utc};
use enrolld_jobs::job::JobKind;
use sea_orm::{ConnectionTrait, EntityTrait, QueryOrder, Statement};

use super::{Store, entities::queue, error::StoreError, interventions::Order, milliseconds};

/// How much of a kind there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Load {
    /// Jobs that are due and have not begun. A job without outside effect that is at work is among them.
    pub waiting: u64,
    /// When the first of them was due.
    pub waiting_since_ms: Option<i64>,
    /// Mails and calls of targets that are under way.
    pub running: u64,
    /// Timers and retries that are not due yet.
    pub scheduled: u64,
    /// Jobs that wait for a person.
    pub dead: u64,
}

/// What is counted, each by an index of its own. `$1` is the time.
const LOADS: &str = "SELECT kind, 'waiting' AS part, COUNT(*) AS number, MIN(run_at_ms) AS oldest FROM jobs \
     WHERE state = 'queued' GROUP BY kind \
     UNION ALL SELECT kind, 'waiting', COUNT(*), MIN(run_at_ms) FROM jobs \
     WHERE state IN ('scheduled', 'retrying') AND run_at_ms <= $1 GROUP BY kind \
     UNION ALL SELECT kind, 'scheduled', COUNT(*), MIN(run_at_ms) FROM jobs \
     WHERE state IN ('scheduled', 'retrying') AND run_at_ms > $1 GROUP BY kind \
     UNION ALL SELECT kind, 'running', COUNT(*), MIN(run_at_ms) FROM jobs WHERE state = 'running' GROUP BY kind \
     UNION ALL SELECT kind, 'dead', COUNT(*), MIN(run_at_ms) FROM jobs WHERE state = 'dead' GROUP BY kind";

impl Store {
    /// The queues that are paused.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn paused_queues(&self) -> Result<Vec<queue::Model>, StoreError> {
        let query = queue::Entity::find().order_by_asc(queue::Column::Kind);
        Ok(query.all(&self.reader).await?)
    }

    /// Pauses a queue; `false` when it is paused already, and stays as it is.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn pause_queue(&self, kind: JobKind, order: &Order) -> Result<bool, StoreError> {
        let sql = "INSERT INTO queues (kind, paused_ms, paused_by, reason) VALUES ($1, $2, $3, $4) \
                   ON CONFLICT (kind) DO NOTHING";
        let values = [
            kind.as_str().into(),
            milliseconds(order.at).into(),
            order.by.as_str().into(),
            order.reason.as_str().into(),
        ];
        Ok(self.writer.change(sql, values).await? > 0)
    }

    /// Lets a queue go on; `false` when it is not paused.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn resume_queue(&self, kind: JobKind) -> Result<bool, StoreError> {
        let sql = "DELETE FROM queues WHERE kind = $1";
        Ok(self.writer.change(sql, [kind.as_str().into()]).await? > 0)
    }

    /// How much of each kind there is, in the order of the kinds.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn queue_loads(&self, now: DateTime<Utc>) -> Result<Vec<(JobKind, Load)>, StoreError> {
        let statement = Statement::from_sql_and_values(self.backend(), LOADS, [milliseconds(now).into()]);
        let mut loads: Vec<_> = JobKind::ALL.iter().map(|kind| (*kind, Load::default())).collect();
        for row in self.reader.unbounded().query_all_raw(statement).await? {
            let (kind, part): (String, String) = (row.try_get("", "kind")?, row.try_get("", "part")?);
            let (number, oldest): (i64, Option<i64>) = (row.try_get("", "number")?, row.try_get("", "oldest")?);
            let number = number.cast_unsigned();
            // One of a later release's kinds is that release's business.
            let Some((_, load)) = loads.iter_mut().find(|(of, _)| of.as_str() == kind) else {
                continue;
            };
            match part.as_str() {
                "waiting" => {
                    load.waiting += number;
                    load.waiting_since_ms = load.waiting_since_ms.into_iter().chain(oldest).min();
                }
                "running" => load.running = number,
                "scheduled" => load.scheduled = number,
                _ => load.dead = number,
            }
        }
        Ok(loads)
    }
}
