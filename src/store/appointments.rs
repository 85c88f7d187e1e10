//! Appointments and grants made here, and the epochs of the trees that they change.

use chrono::{DateTime, Utc};
use enrolld_jobs::values::{AccountId, OrganizationId};
use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter};

use uuid::Uuid;

use super::{
    Store,
    entities::{appointment, failed_attempt, grant, removed_administrator},
    error::StoreError,
    milliseconds,
};

/// How many organizations one statement names.
const CHUNK: usize = 500;

impl Store {
    /// Open appointments made here for any of `organizations`, oldest first.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn appointments(&self, organizations: &[OrganizationId]) -> Result<Vec<appointment::Model>, StoreError> {
        let mut found = Vec::new();
        for chunk in organizations.chunks(CHUNK) {
            let rows = appointment::Entity::find()
                .filter(appointment::Column::OrganizationId.is_in(chunk.iter().map(OrganizationId::as_str)))
                .filter(appointment::Column::EndedMs.is_null())
                .all(&self.reader)
                .await?;
            found.extend(rows);
        }
        found.sort_by_key(|row| row.appointed_ms);
        Ok(found)
    }

    /// An appointment made here.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn appointment(&self, id: Uuid) -> Result<Option<appointment::Model>, StoreError> {
        let found = appointment::Entity::find_by_id(id.to_string());
        Ok(found.one(&self.reader).await?)
    }

    /// Whether the account has accepted the terms of its open appointment for the organization (D15).
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn has_accepted_terms(
        &self,
        account: &AccountId,
        organization: &OrganizationId,
    ) -> Result<bool, StoreError> {
        let query = appointment::Entity::find()
            .filter(appointment::Column::OrganizationId.eq(organization.as_str()))
            .filter(appointment::Column::AccountId.eq(account.as_str()))
            .filter(appointment::Column::EndedMs.is_null())
            .filter(appointment::Column::TermsAcceptedMs.is_not_null());
        Ok(query.one(&self.reader).await?.is_some())
    }

    /// The DAs of any of `organizations` who were removed here, each with the organization and when.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn removed_administrators(
        &self,
        organizations: &[OrganizationId],
    ) -> Result<Vec<removed_administrator::Model>, StoreError> {
        let mut removed = Vec::new();
        for chunk in organizations.chunks(CHUNK) {
            let ids = chunk.iter().map(OrganizationId::as_str);
            let query =
                removed_administrator::Entity::find().filter(removed_administrator::Column::OrganizationId.is_in(ids));
            removed.extend(query.all(&self.reader).await?);
        }
        Ok(removed)
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
        let mut rows = self.writer.rows(read, [root.as_str().into()]).await?;
        if rows.is_empty() {
            self.writer.change(make, [root.as_str().into()]).await?;
            rows = self.writer.rows(read, [root.as_str().into()]).await?;
        }
        let row = rows
            .first()
            .ok_or_else(|| StoreError::refused("a tree's row that was just made is gone"))?;
        Ok(row.try_get("", "epoch")?)
    }
}
