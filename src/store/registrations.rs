//! Reading registrations and their history.

use std::fmt;

use chrono::{DateTime, Utc};
use enrolld_jobs::{
    registration::{Registration, ReviewReason, StateName},
    values::{AccountId, RegistrationId},
    view::TimelineLine,
};
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::{
    Store,
    entities::{registration, timeline},
    error::StoreError,
    milliseconds, moment,
    sql::indexed_by,
};

/// Open registrations of one account that are looked at: whoever has more has them from a fault upstream.
const MOST_OPEN: u64 = 100;

/// Which registrations are listed.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only this account's.
    pub account_id: Option<AccountId>,
    /// Only those in this state.
    pub state: Option<StateName>,
    /// Only those behind this place in the list.
    pub before: Option<Place>,
    /// At most so many, newest first.
    pub limit: u64,
}

/// The place of a registration in the list of all, newest first. It stays the same, whatever comes to stand before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    created_ms: i64,
    id: RegistrationId,
}

/// The place of a registration among those in its state. Whoever comes to another state and back stands behind the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InState {
    since_ms: i64,
    /// Its id, as it is stored.
    pub id: String,
}

impl Place {
    /// Where `registration` stands.
    pub fn of(registration: &Registration) -> Self {
        Self {
            created_ms: milliseconds(registration.created_at),
            id: registration.id.clone(),
        }
    }

    /// Which registration stands there.
    pub fn id(&self) -> &RegistrationId {
        &self.id
    }

    /// Reads what `Display` wrote.
    pub fn parse(text: &str) -> Option<Self> {
        let (created_ms, id) = text.split_once('.')?;
        Some(Self {
            created_ms: created_ms.parse().ok()?,
            id: RegistrationId::new(id).ok()?,
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.created_ms, self.id)
    }
}

impl Store {
    /// The registration, as it is now.
    ///
    /// # Errors
    /// When the database cannot be asked, or the row was written by a release that this one does not know.
    pub async fn registration(&self, id: &RegistrationId) -> Result<Option<Registration>, StoreError> {
        let row = registration::Entity::find_by_id(id.as_str()).one(&self.reader).await?;
        row.as_ref().map(read).transpose()
    }

    /// Registrations, newest first.
    ///
    /// # Errors
    /// As [`Store::registration`].
    pub async fn registrations(&self, filter: &Filter) -> Result<Vec<Registration>, StoreError> {
        let mut query = registration::Entity::find();
        if let Some(account) = &filter.account_id {
            query = query.filter(registration::Column::AccountId.eq(account.as_str()));
        }
        if let Some(state) = filter.state {
            query = query.filter(registration::Column::State.eq(state.as_str()));
        }
        if let Some(place) = &filter.before {
            let (created, id) = (registration::Column::CreatedMs, registration::Column::Id);
            let same_moment = Condition::all()
                .add(created.eq(place.created_ms))
                .add(id.lt(place.id.as_str()));
            let behind = Condition::any().add(created.lt(place.created_ms)).add(same_moment);
            query = query.filter(behind);
        }
        let rows = query
            .order_by_desc(registration::Column::CreatedMs)
            .order_by_desc(registration::Column::Id)
            .limit(filter.limit)
            .all(&self.reader)
            .await?;
        rows.iter().map(read).collect()
    }

    /// The registrations created before `until` that have come to another state since `since`, the oldest first, at most `limit`: those
    /// behind the place `after`. Each has one place, however it changes meanwhile, so none is met twice.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn moved_since(
        &self,
        since: DateTime<Utc>,
        until: DateTime<Utc>,
        after: Option<&Place>,
        limit: u64,
    ) -> Result<Vec<Place>, StoreError> {
        let sql = format!(
            "SELECT created_ms, id FROM registrations{} WHERE (created_ms, id) > ($1, $2) AND created_ms < $3 \
             AND since_ms >= $4 ORDER BY created_ms, id LIMIT {limit}",
            indexed_by(self.backend(), "registrations_created")
        );
        let values = [
            after.map_or(i64::MIN, |place| place.created_ms).into(),
            after.map_or("", |place| place.id.as_str()).into(),
            milliseconds(until).into(),
            milliseconds(since).into(),
        ];
        let rows = self.reader.rows(&sql, values).await?;
        rows.iter()
            .map(|row| {
                let id: String = row.try_get("", "id")?;
                Ok(Place {
                    created_ms: row.try_get("", "created_ms")?,
                    id: RegistrationId::new(id.as_str())
                        .map_err(|error| StoreError::unreadable(format_args!("registration {id}"), error))?,
                })
            })
            .collect()
    }

    /// The registrations in `state` that are behind `after`, the longest in it first; at most `limit`.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn next_in_state(
        &self,
        state: StateName,
        after: Option<&InState>,
        limit: u64,
    ) -> Result<Vec<InState>, StoreError> {
        let sql = format!(
            "SELECT since_ms, id FROM registrations{} WHERE state = $1 AND (since_ms, id) > ($2, $3) \
             ORDER BY since_ms, id LIMIT {limit}",
            indexed_by(self.backend(), "registrations_state")
        );
        let values = [
            state.as_str().into(),
            after.map_or(i64::MIN, |place| place.since_ms).into(),
            after.map_or("", |place| place.id.as_str()).into(),
        ];
        let rows = self.reader.rows(&sql, values).await?;
        rows.iter()
            .map(|row| {
                Ok(InState {
                    since_ms: row.try_get("", "since_ms")?,
                    id: row.try_get("", "id")?,
                })
            })
            .collect()
    }

    /// The account's registrations that are open, but for `except`; no more than can stand in each other's way (D18).
    ///
    /// # Errors
    /// As [`Store::registration`].
    pub async fn open_requests(
        &self,
        account: &AccountId,
        except: &RegistrationId,
    ) -> Result<Vec<Registration>, StoreError> {
        let open = StateName::ALL.into_iter().filter(|state| !state.is_final());
        let query = registration::Entity::find()
            .filter(registration::Column::AccountId.eq(account.as_str()))
            .filter(registration::Column::State.is_in(open.map(StateName::as_str)))
            .filter(registration::Column::Id.ne(except.as_str()))
            .order_by_desc(registration::Column::CreatedMs)
            .limit(MOST_OPEN);
        let rows = query.all(&self.reader).await?;
        rows.iter().map(read).collect()
    }

    /// The ids of registrations that wait for the DA `account`, in their order, after `after`; at most `limit`.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn ids_waiting_for(
        &self,
        account: &AccountId,
        after: &str,
        limit: u64,
    ) -> Result<Vec<String>, StoreError> {
        let ids = registration::Entity::find()
            .select_only()
            .column(registration::Column::Id)
            .filter(registration::Column::DaAccountId.eq(account.as_str()))
            .filter(registration::Column::Id.gt(after))
            .order_by_asc(registration::Column::Id)
            .limit(limit)
            .into_tuple()
            .all(&self.reader)
            .await?;
        Ok(ids)
    }

    /// What agents have as cases, oldest first; only those with `reason` where that is given (contract, section 3).
    ///
    /// # Errors
    /// As [`Store::registration`].
    pub async fn cases(&self, reason: Option<ReviewReason>, limit: u64) -> Result<Vec<Registration>, StoreError> {
        let mut query = registration::Entity::find().filter(registration::Column::ReviewReason.is_not_null());
        if let Some(reason) = reason {
            query = query.filter(registration::Column::ReviewReason.eq(reason.as_str()));
        }
        let query = query
            .order_by_asc(registration::Column::SinceMs)
            .order_by_asc(registration::Column::Id)
            .limit(limit);
        let rows = query.all(&self.reader).await?;
        rows.iter().map(read).collect()
    }

    /// What has happened to these registrations, oldest first: lines in the order of their registrations' ids.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn timelines(&self, ids: &[&RegistrationId]) -> Result<Vec<(String, TimelineLine)>, StoreError> {
        let rows = timeline::Entity::find()
            .filter(timeline::Column::RegistrationId.is_in(ids.iter().map(|id| id.as_str())))
            .order_by_asc(timeline::Column::RegistrationId)
            .order_by_asc(timeline::Column::Version)
            .all(&self.reader)
            .await?;
        Ok(rows
            .into_iter()
            .map(|row| (row.registration_id.clone(), line(row)))
            .collect())
    }
}

pub(super) fn read(row: &registration::Model) -> Result<Registration, StoreError> {
    serde_json::from_str(&row.data)
        .map_err(|error| StoreError::unreadable(format_args!("registration {}", row.id), error))
}

fn line(row: timeline::Model) -> TimelineLine {
    TimelineLine {
        at: moment(row.at_ms),
        event: row.event,
        actor: row.actor,
        detail: serde_json::from_str(&row.detail).unwrap_or_default(),
    }
}
