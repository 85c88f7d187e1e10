//! Whether there is anything in the directory at all.

use sea_orm::{ConnectionTrait, EntityTrait as _};

use super::entity::{account, contract, device, organization};
use crate::store::error::StoreError;

/// How many tables must have something in them before anybody can register.
pub(crate) const NEEDED_TABLES: usize = 4;

/// Those tables among the needed that are empty.
///
/// # Errors
/// When the database cannot be asked.
pub(crate) async fn empty_tables(db: &impl ConnectionTrait) -> Result<Vec<&'static str>, StoreError> {
    let has: [(&str, bool); NEEDED_TABLES] = [
        ("organizations", organization::Entity::find().one(db).await?.is_some()),
        ("accounts", account::Entity::find().one(db).await?.is_some()),
        ("contracts", contract::Entity::find().one(db).await?.is_some()),
        ("devices", device::Entity::find().one(db).await?.is_some()),
    ];
    Ok(has.into_iter().filter(|(_, has)| !has).map(|(name, _)| name).collect())
}
