//! Addresses that mail came back from: nothing more is sent to them (D2, D22).
//!
//! An address is known by its digest alone: the table tells nobody whom we wrote to.

use std::collections::HashSet;

use enrolld_jobs::values::EmailAddress;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QuerySelect};

use super::{Store, entities::suppression, error::StoreError};
use crate::links::digest;

/// How many addresses one statement names.
const CHUNK: usize = 500;

/// What the database knows of an address. Mail servers do not tell capitals from small letters.
pub fn address_digest(address: &EmailAddress) -> String {
    digest(&address.expose().to_ascii_lowercase())
}

impl Store {
    /// Those of `addresses` that mail came back from.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn suppressed(&self, addresses: &[EmailAddress]) -> Result<HashSet<EmailAddress>, StoreError> {
        let mut found = HashSet::new();
        for chunk in addresses.chunks(CHUNK) {
            let digests = chunk.iter().map(address_digest);
            let rows: Vec<String> = suppression::Entity::find()
                .select_only()
                .column(suppression::Column::AddressDigest)
                .filter(suppression::Column::AddressDigest.is_in(digests))
                .into_tuple()
                .all(&self.reader)
                .await?;
            found.extend(
                chunk
                    .iter()
                    .filter(|address| rows.contains(&address_digest(address)))
                    .cloned(),
            );
        }
        Ok(found)
    }

    /// Has mail sent to the address again. Whether it was suppressed.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn unsuppress(&self, address: &EmailAddress) -> Result<bool, StoreError> {
        let delete = suppression::Entity::delete_by_id(address_digest(address));
        Ok(delete.exec(&self.writer).await?.rows_affected > 0)
    }
}
