//! Ticks of schedules: who carries them out, and what came of it.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::{Store, entities::schedule_tick, error::StoreError, milliseconds, moment, span_ms};

/// Claimed ticks are kept for this time: far longer than any is made up for, since a clock may be put back.
const KEPT: TimeDelta = TimeDelta::days(31);

impl Store {
    /// Claims a tick of a schedule. Of several daemons one gets it; whoever asks again does not.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn claim_tick(
        &self,
        schedule: &str,
        tick: DateTime<Utc>,
        daemon_id: &str,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let sql = "INSERT INTO schedule_ticks (schedule, tick_ms, daemon_id, started_ms) VALUES ($1, $2, $3, $4) \
                   ON CONFLICT (schedule, tick_ms) DO NOTHING";
        let values = [
            schedule.into(),
            milliseconds(tick).into(),
            daemon_id.into(),
            milliseconds(now).into(),
        ];
        let claimed = self.writer.change(sql, values).await? > 0;
        if claimed {
            let old = "DELETE FROM schedule_ticks WHERE schedule = $1 AND tick_ms < $2";
            self.writer
                .change(old, [schedule.into(), milliseconds(tick - KEPT).into()])
                .await?;
        }
        Ok(claimed)
    }

    /// Asks for a tick between those that come by themselves: the next daemon that looks carries it out.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn ask_tick(&self, schedule: &str, now: DateTime<Utc>, by: &str) -> Result<DateTime<Utc>, StoreError> {
        let sql = "INSERT INTO schedule_ticks (schedule, tick_ms, asked_by) VALUES ($1, $2, $3) \
                   ON CONFLICT (schedule, tick_ms) DO UPDATE SET asked_by = $3";
        let tick_ms = milliseconds(now);
        self.writer
            .change(sql, [schedule.into(), tick_ms.into(), by.into()])
            .await?;
        Ok(moment(tick_ms))
    }

    /// Takes the open ticks since `since` that were asked for by hand, or whose daemon has been silent for `dead_after`, and tells
    /// them with those that the daemon has already, the oldest first.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn take_open_ticks(
        &self,
        schedule: &str,
        daemon_id: &str,
        since: DateTime<Utc>,
        now: DateTime<Utc>,
        dead_after: Duration,
    ) -> Result<Vec<DateTime<Utc>>, StoreError> {
        // Most of the time there are none, and nothing need be written.
        let open = "SELECT 1 FROM schedule_ticks WHERE schedule = $1 AND ended_ms IS NULL AND tick_ms >= $2 LIMIT 1";
        let values = [schedule.into(), milliseconds(since).into()];
        if self.reader.row(open, values).await?.is_none() {
            return Ok(Vec::new());
        }
        // Nothing is also not in an empty set.
        let sql = "UPDATE schedule_ticks SET daemon_id = $2, started_ms = $3 \
                   WHERE schedule = $1 AND ended_ms IS NULL AND tick_ms >= $4 \
                   AND (daemon_id = $2 OR daemon_id IS NULL AND asked_by IS NOT NULL \
                   OR daemon_id IS NOT NULL AND daemon_id NOT IN \
                   (SELECT d.id FROM daemons d WHERE d.stopped_ms IS NULL AND d.heartbeat_ms >= $5)) RETURNING tick_ms";
        let values = [
            schedule.into(),
            daemon_id.into(),
            milliseconds(now).into(),
            milliseconds(since).into(),
            (self.shared_now_ms(now).await? - span_ms(dead_after)).into(),
        ];
        let mut taken = Vec::new();
        for row in self.writer.rows(sql, values).await? {
            taken.push(moment(row.try_get("", "tick_ms")?));
        }
        taken.sort_unstable();
        Ok(taken)
    }

    /// A tick is through: well, or with an error that trying again does not mend.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn end_tick(
        &self,
        schedule: &str,
        tick: DateTime<Utc>,
        error: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE schedule_ticks SET ended_ms = $3, error = $4 WHERE schedule = $1 AND tick_ms = $2";
        let values = [
            schedule.into(),
            milliseconds(tick).into(),
            milliseconds(now).into(),
            error.map(str::to_owned).into(),
        ];
        self.writer.change(sql, values).await?;
        Ok(())
    }

    /// A tick, as far as it has come.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn tick(&self, schedule: &str, tick: DateTime<Utc>) -> Result<Option<schedule_tick::Model>, StoreError> {
        let key = (schedule.to_owned(), milliseconds(tick));
        Ok(schedule_tick::Entity::find_by_id(key).one(&self.reader).await?)
    }

    /// The latest tick of a schedule.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn latest_tick(&self, schedule: &str) -> Result<Option<schedule_tick::Model>, StoreError> {
        let query = schedule_tick::Entity::find()
            .filter(schedule_tick::Column::Schedule.eq(schedule))
            .order_by_desc(schedule_tick::Column::TickMs)
            .limit(1);
        Ok(query.one(&self.reader).await?)
    }
}
