//! Deleting what has been finished for long, a chunk at a time: no transaction holds up others.

use chrono::{DateTime, Utc};
use enrolld_jobs::{registration::StateName, values::RegistrationId};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

use super::{
    Store,
    entities::{mail, registration},
    error::StoreError,
    milliseconds, moment,
};

/// What can be deleted once it is old.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finished {
    /// Events that were applied, refused or repeated. A refused one stays in its own table until somebody discards it.
    Events,
    /// Jobs that succeeded, or were cancelled or discarded. Dead ones wait for a person.
    Jobs,
    /// Records of mails that wait no more, and whose job is not dead.
    Mails,
    /// Verifications that failed.
    FailedAttempts,
    /// Daemons that have stopped, or were last seen then.
    Daemons,
}

impl Finished {
    /// All kinds.
    pub const ALL: [Self; 5] = [
        Self::Events,
        Self::Jobs,
        Self::Mails,
        Self::FailedAttempts,
        Self::Daemons,
    ];

    /// What they are, in the plural, for the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Jobs => "jobs",
            Self::Mails => "mails",
            Self::FailedAttempts => "failed attempts",
            Self::Daemons => "daemons",
        }
    }

    /// `$1` is the moment before which it was finished, `$2` how many are deleted at most.
    ///
    /// A job may be queued again, and a daemon be heard of, between the look and the deletion: PostgreSQL waits for who changes the
    /// row, and looks again only at what stands outside of the subselect.
    const fn statement(self) -> &'static str {
        match self {
            Self::Events => {
                "DELETE FROM inbox WHERE seq IN (SELECT seq FROM inbox WHERE done_ms IS NOT NULL AND done_ms < $1 \
                 ORDER BY done_ms LIMIT $2)"
            }
            Self::Jobs => {
                "DELETE FROM jobs WHERE id IN (SELECT id FROM jobs WHERE finished_ms IS NOT NULL AND finished_ms < $1 \
                 AND state || '' IN ('succeeded', 'cancelled', 'discarded') ORDER BY finished_ms LIMIT $2) \
                 AND state || '' IN ('succeeded', 'cancelled', 'discarded')"
            }
            Self::Mails => {
                "DELETE FROM mails WHERE id IN (SELECT id FROM mails WHERE created_ms < $1 \
                 AND state IN ('sent', 'skipped') ORDER BY created_ms, id LIMIT $2)"
            }
            Self::FailedAttempts => {
                "DELETE FROM failed_attempts WHERE id IN (SELECT id FROM failed_attempts WHERE at_ms < $1 \
                 ORDER BY at_ms LIMIT $2)"
            }
            Self::Daemons => {
                "DELETE FROM daemons WHERE id IN (SELECT id FROM daemons WHERE heartbeat_ms < $1 LIMIT $2) \
                 AND heartbeat_ms < $1"
            }
        }
    }
}

impl Finished {
    /// The moments of what is finished, the newest first.
    const fn newest_first(self) -> Option<&'static str> {
        match self {
            Self::Events => Some("SELECT done_ms AS at_ms FROM inbox WHERE done_ms IS NOT NULL ORDER BY done_ms DESC"),
            Self::Jobs => {
                Some("SELECT finished_ms AS at_ms FROM jobs WHERE finished_ms IS NOT NULL ORDER BY finished_ms DESC")
            }
            Self::Mails => Some("SELECT created_ms AS at_ms FROM mails ORDER BY created_ms DESC, id DESC"),
            Self::FailedAttempts | Self::Daemons => None,
        }
    }
}

impl Store {
    /// When the oldest of the newest `number` was finished: what is older is beyond them. `None` where there are no more than these,
    /// or nobody counts.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn newest(&self, what: Finished, number: u64) -> Result<Option<DateTime<Utc>>, StoreError> {
        let Some(moments) = what.newest_first() else {
            return Ok(None);
        };
        // Only the index is read; should that take too long, so would counting.
        let sql = format!("{moments} LIMIT 2 OFFSET $1");
        let skipped = i64::try_from(number.saturating_sub(1)).unwrap_or(i64::MAX);
        let rows = self.reader.rows(&sql, [skipped.into()]).await?;
        match rows.as_slice() {
            [oldest, _] => Ok(Some(moment(oldest.try_get("", "at_ms")?))),
            _ => Ok(None),
        }
    }

    /// Deletes at most `limit` of what was finished before `before`, and tells how many it were.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn prune(&self, what: Finished, before: DateTime<Utc>, limit: u64) -> Result<u64, StoreError> {
        let values = [milliseconds(before).into(), limit.cast_signed().into()];
        self.writer.change(what.statement(), values).await
    }

    /// Mails that wait no more, and were made before `before`: the oldest first, at most `limit`.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn old_mails(&self, before: DateTime<Utc>, limit: u64) -> Result<Vec<Uuid>, StoreError> {
        let query = mail::Entity::find()
            .select_only()
            .column(mail::Column::Id)
            .filter(mail::Column::CreatedMs.lt(milliseconds(before)))
            .filter(mail::Column::State.is_in(["sent", "skipped"]))
            .order_by_asc(mail::Column::CreatedMs)
            .order_by_asc(mail::Column::Id)
            .limit(limit)
            .into_tuple::<String>();
        let ids = query.all(&self.reader).await?;
        Ok(ids.iter().filter_map(|id| Uuid::parse_str(id).ok()).collect())
    }

    /// Registrations that were closed before `before`: of each final state the longest first, at most `limit` in all.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn closed_before(&self, before: DateTime<Utc>, limit: u64) -> Result<Vec<RegistrationId>, StoreError> {
        let mut closed = Vec::new();
        // One state at a time: the index has them in this order, and nothing need be sorted.
        for state in StateName::ALL.into_iter().filter(|state| state.is_final()) {
            let query = registration::Entity::find()
                .select_only()
                .column(registration::Column::Id)
                .filter(registration::Column::State.eq(state.as_str()))
                .filter(registration::Column::SinceMs.lt(milliseconds(before)))
                .order_by_asc(registration::Column::SinceMs)
                .limit(limit.saturating_sub(closed.len() as u64))
                .into_tuple::<String>();
            closed.extend(query.all(&self.reader).await?);
        }
        Ok(closed
            .into_iter()
            .filter_map(|id| RegistrationId::new(id).ok())
            .collect())
    }
}
