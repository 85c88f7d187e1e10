//! Mail records.

use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

use super::{Store, entities::mail, error::StoreError};

/// Which mails are listed.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only of this registration.
    pub registration_id: Option<String>,
    /// Only those in this state.
    pub state: Option<String>,
    /// At most so many, newest first.
    pub limit: u64,
}

impl Store {
    /// The record of a mail.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn mail(&self, id: Uuid) -> Result<Option<mail::Model>, StoreError> {
        Ok(mail::Entity::find_by_id(id.to_string()).one(&self.reader).await?)
    }

    /// Mail records, newest first.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn mails(&self, filter: &Filter) -> Result<Vec<mail::Model>, StoreError> {
        let mut query = mail::Entity::find();
        if let Some(registration) = &filter.registration_id {
            query = query.filter(mail::Column::RegistrationId.eq(registration.as_str()));
        }
        if let Some(state) = &filter.state {
            query = query.filter(mail::Column::State.eq(state.as_str()));
        }
        let query = query
            .order_by_desc(mail::Column::CreatedMs)
            .order_by_desc(mail::Column::Id);
        Ok(query.limit(filter.limit).all(&self.reader).await?)
    }
}
