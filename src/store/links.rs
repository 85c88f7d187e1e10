//! Links, and the key under which their tokens are derived when none is configured (D7).

use chrono::{DateTime, Utc};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use uuid::Uuid;

use super::{
    Store,
    entities::{link, secret},
    error::StoreError,
    milliseconds,
};

/// The name under which the key is kept.
const LINK_KEY: &str = "link_key";

impl Store {
    /// The link.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn link(&self, id: Uuid) -> Result<Option<link::Model>, StoreError> {
        Ok(link::Entity::find_by_id(id.to_string()).one(&self.reader).await?)
    }

    /// The link whose token has this digest.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn link_by_digest(&self, digest: &str) -> Result<Option<link::Model>, StoreError> {
        let query = link::Entity::find().filter(link::Column::TokenDigest.eq(digest));
        Ok(query.one(&self.reader).await?)
    }

    /// The key kept here; made from `fresh` when there is none yet.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn link_key(&self, fresh: &str, now: DateTime<Utc>) -> Result<String, StoreError> {
        let sql = "INSERT INTO secrets (name, value, created_ms) VALUES ($1, $2, $3) ON CONFLICT (name) DO NOTHING";
        self.writer
            .change(sql, [LINK_KEY.into(), fresh.into(), milliseconds(now).into()])
            .await?;
        let row = secret::Entity::find_by_id(LINK_KEY).one(&self.writer).await?;
        row.map(|row| row.value)
            .ok_or_else(|| StoreError::refused("the link key that was just kept is gone"))
    }
}
