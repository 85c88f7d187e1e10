//! Appointments and grants made here, and the epochs of the trees that they change.

use chrono::{DateTime, Utc};
use enrolld_jobs::values::{AccountId, OrganizationId};
use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder};

use super::{
    Store,
    entities::{appointment, failed_attempt, grant},
    error::StoreError,
    milliseconds,
};

impl Store {
    /// Open appointments made here for any of `organizations`, oldest first.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn appointments(&self, organizations: &[OrganizationId]) -> Result<Vec<appointment::Model>, StoreError> {
        let rows = appointment::Entity::find()
            .filter(appointment::Column::OrganizationId.is_in(organizations.iter().map(OrganizationId::as_str)))
            .filter(appointment::Column::EndedMs.is_null())
            .order_by_asc(appointment::Column::AppointedMs)
            .all(&self.reader)
            .await?;
        Ok(rows)
    }

    /// Whether the account holds access that was given here for any of `organizations` (D19).
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn holds_access(
        &self,
        account: &AccountId,
        organizations: &[OrganizationId],
    ) -> Result<bool, StoreError> {
        let number = grant::Entity::find()
            .filter(grant::Column::AccountId.eq(account.as_str()))
            .filter(grant::Column::OrganizationId.is_in(organizations.iter().map(OrganizationId::as_str)))
            .filter(grant::Column::EndedMs.is_null())
            .count(&self.reader)
            .await?;
        Ok(number > 0)
    }

    /// How often the account has failed verification since `since` (D9).
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn failed_attempts(&self, account: &AccountId, since: DateTime<Utc>) -> Result<u64, StoreError> {
        let number = failed_attempt::Entity::find()
            .filter(failed_attempt::Column::AccountId.eq(account.as_str()))
            .filter(failed_attempt::Column::AtMs.gte(milliseconds(since)))
            .count(&self.reader)
            .await?;
        Ok(number)
    }

    /// The epoch of a tree: facts about its DAs that were gathered afterwards hold as long as it stays the same.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn tree_epoch(&self, root: &OrganizationId) -> Result<i64, StoreError> {
        let read = "SELECT epoch FROM organization_roots WHERE id = $1";
        let make = "INSERT INTO organization_roots (id, epoch) VALUES ($1, 0) ON CONFLICT (id) DO NOTHING";
        let mut rows = self.execute_returning(read, [root.as_str().into()]).await?;
        if rows.is_empty() {
            self.execute(make, [root.as_str().into()]).await?;
            rows = self.execute_returning(read, [root.as_str().into()]).await?;
        }
        let row = rows
            .first()
            .ok_or_else(|| StoreError::refused("a tree's row that was just made is gone"))?;
        Ok(row.try_get("", "epoch")?)
    }
}
