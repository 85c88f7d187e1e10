//! The daemons and their signs of life.
//!
//! Signs of life are written and judged by one clock, `Store::shared_now_ms`: those of two hosts may differ by more than the
//! silence that counts as an end.

use std::{collections::HashSet, time::Duration};

use chrono::{DateTime, Utc};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::{Store, entities::daemon, error::StoreError, milliseconds, span_ms};

/// A daemon as it announces itself.
#[derive(Debug, Clone)]
pub struct Daemon {
    /// Made new at each start; also its consumer name in the streams.
    pub id: String,
    /// The machine's name.
    pub host: String,
    /// The process.
    pub pid: u32,
}

impl Store {
    /// Gives a sign of life; the first one announces the daemon.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn heartbeat(&self, daemon: &Daemon, now: DateTime<Utc>) -> Result<(), StoreError> {
        let sql = "INSERT INTO daemons (id, host, pid, version, started_ms, heartbeat_ms) \
                   VALUES ($1, $2, $3, $4, $5, $5) ON CONFLICT (id) DO UPDATE SET heartbeat_ms = $5";
        let values = [
            daemon.id.as_str().into(),
            daemon.host.as_str().into(),
            i64::from(daemon.pid).into(),
            env!("CARGO_PKG_VERSION").into(),
            self.shared_now_ms(now).await?.into(),
        ];
        self.writer.change(sql, values).await?;
        Ok(())
    }

    /// Says that the daemon has stopped: nobody needs to wait for its silence.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn stopped(&self, id: &str, now: DateTime<Utc>) -> Result<(), StoreError> {
        let sql = "UPDATE daemons SET stopped_ms = $2 WHERE id = $1";
        self.writer.change(sql, [id.into(), milliseconds(now).into()]).await?;
        Ok(())
    }

    /// The ids of the daemons that have given a sign of life within `dead_after`.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn live_daemons(&self, now: DateTime<Utc>, dead_after: Duration) -> Result<HashSet<String>, StoreError> {
        let silent_since = self.shared_now_ms(now).await? - span_ms(dead_after);
        let live = daemon::Entity::find()
            .filter(daemon::Column::StoppedMs.is_null())
            .filter(daemon::Column::HeartbeatMs.gte(silent_since));
        let rows = live.all(&self.reader).await?;
        Ok(rows.into_iter().map(|row| row.id).collect())
    }

    /// The daemons heard of last, at most `limit`.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn daemons_heard_of(&self, limit: u64) -> Result<Vec<daemon::Model>, StoreError> {
        let query = daemon::Entity::find().order_by_desc(daemon::Column::HeartbeatMs);
        Ok(query.limit(limit).all(&self.reader).await?)
    }

    /// All daemons known, the newest first.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn daemons(&self) -> Result<Vec<daemon::Model>, StoreError> {
        Ok(daemon::Entity::find()
            .order_by_desc(daemon::Column::StartedMs)
            .all(&self.reader)
            .await?)
    }
}
