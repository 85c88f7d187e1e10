//! Refused events: listed, put back on the intake, discarded (contract, section 1).

use chrono::{DateTime, Utc};
use enrolld_jobs::refusal::Reason;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::{Store, entities::refused, error::StoreError, milliseconds};

/// Which refused events are meant.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only those that were refused for one of these reasons; any, if there are none.
    pub reasons: Vec<Reason>,
    /// Only those that have not been replayed.
    pub fresh: bool,
}

impl Store {
    /// Refused events, newest first.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn refused_events(&self, limit: u64) -> Result<Vec<refused::Model>, StoreError> {
        let query = refused::Entity::find().order_by_desc(refused::Column::Seq).limit(limit);
        Ok(query.all(&self.reader).await?)
    }

    /// Those of these numbers that there are, oldest first.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn refused_of(&self, seqs: &[i64]) -> Result<Vec<refused::Model>, StoreError> {
        let query = refused::Entity::find()
            .filter(refused::Column::Seq.is_in(seqs.iter().copied()))
            .order_by_asc(refused::Column::Seq);
        Ok(query.all(&self.reader).await?)
    }

    /// The refused event of this entry of the stream.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn refused_at(&self, entry: &str) -> Result<Option<refused::Model>, StoreError> {
        let query = refused::Entity::find().filter(refused::Column::Entry.eq(entry));
        Ok(query.one(&self.reader).await?)
    }

    /// Refused events with numbers above `after` and up to `until`, oldest first, at most `limit`.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn refused_page(
        &self,
        filter: &Filter,
        after: i64,
        until: i64,
        limit: u64,
    ) -> Result<Vec<refused::Model>, StoreError> {
        let mut query = refused::Entity::find()
            .filter(refused::Column::Seq.gt(after))
            .filter(refused::Column::Seq.lte(until));
        if !filter.reasons.is_empty() {
            let names = filter.reasons.iter().map(|reason| reason.as_str());
            query = query.filter(refused::Column::Reason.is_in(names));
        }
        if filter.fresh {
            query = query.filter(refused::Column::ReplayedMs.is_null());
        }
        let query = query.order_by_asc(refused::Column::Seq).limit(limit);
        Ok(query.all(&self.reader).await?)
    }

    /// Notes that refused events were put back on the intake, and by whom.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn note_replayed(&self, seqs: &[i64], by: &str, now: DateTime<Utc>) -> Result<(), StoreError> {
        let noted = refused::Entity::update_many()
            .col_expr(refused::Column::ReplayedMs, milliseconds(now).into())
            .col_expr(refused::Column::ReplayedBy, by.into())
            .filter(refused::Column::Seq.is_in(seqs.iter().copied()));
        noted.exec(&self.writer).await?;
        Ok(())
    }

    /// Deletes refused events, and tells how many there were. Those that have not been announced yet stay: upstream is to
    /// hear of them first.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn discard_refused(&self, seqs: &[i64]) -> Result<u64, StoreError> {
        let discarded = refused::Entity::delete_many()
            .filter(refused::Column::Seq.is_in(seqs.iter().copied()))
            .filter(refused::Column::AnnouncedMs.is_not_null());
        Ok(discarded.exec(&self.writer).await?.rows_affected)
    }
}
