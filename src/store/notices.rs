//! Events on their way out: written with the change that they announce, deleted once they are in the stream.

use chrono::{DateTime, Utc};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::{
    Store,
    entities::{notice, refused},
    error::StoreError,
    milliseconds,
};

impl Store {
    /// The oldest notices, at most `limit`, in the order in which they must go out.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn notices(&self, limit: u64) -> Result<Vec<notice::Model>, StoreError> {
        Ok(notice::Entity::find()
            .order_by_asc(notice::Column::Seq)
            .limit(limit)
            .all(&self.reader)
            .await?)
    }

    /// Deletes notices that are in the stream.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn delete_notices(&self, seqs: &[i64]) -> Result<(), StoreError> {
        let delete = notice::Entity::delete_many().filter(notice::Column::Seq.is_in(seqs.iter().copied()));
        delete.exec(&self.writer).await?;
        Ok(())
    }

    /// The oldest refused events that have not been announced, at most `limit`.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn unannounced(&self, limit: u64) -> Result<Vec<refused::Model>, StoreError> {
        let query = refused::Entity::find().filter(refused::Column::AnnouncedMs.is_null());
        Ok(query
            .order_by_asc(refused::Column::Seq)
            .limit(limit)
            .all(&self.reader)
            .await?)
    }

    /// Notes that refused events are announced.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn announced(&self, seqs: &[i64], now: DateTime<Utc>) -> Result<(), StoreError> {
        refused::Entity::update_many()
            .col_expr(refused::Column::AnnouncedMs, milliseconds(now).into())
            .filter(refused::Column::Seq.is_in(seqs.iter().copied()))
            .exec(&self.writer)
            .await?;
        Ok(())
    }
}
