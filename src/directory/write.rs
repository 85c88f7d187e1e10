//! Writes the records of a file: only those that differ from what is stored, a chunk of them in one statement.

use std::collections::{HashMap, HashSet};

use enrolld_jobs::directory::{Contract, Organization};
use sea_orm::{
    ActiveModelBehavior, ActiveModelTrait, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, IdenStatic,
    IntoActiveModel, Iterable, PrimaryKeyToColumn, QueryFilter, QueryOrder, sea_query::OnConflict,
};

use super::{
    entity::{account, account_contract, administrator, contract, device, organization},
    read::{CHUNK, contract_lists},
    record::{AccountRecord, AdministratorRecord, DeviceRecord, Placed},
    summary::{Change, Counts},
};

/// Writes `models`, at most a [`CHUNK`] of them with different keys, and tells of each what it did.
async fn upsert<E, C>(db: &C, models: Vec<E::Model>, id: impl Fn(&E::Model) -> &str) -> Result<Vec<Change>, DbErr>
where
    E: EntityTrait,
    E::Model: PartialEq + IntoActiveModel<E::ActiveModel>,
    E::ActiveModel: ActiveModelTrait<Entity = E> + ActiveModelBehavior + Send,
    C: ConnectionTrait,
{
    let key = E::PrimaryKey::iter()
        .next()
        .expect("every table has a primary key")
        .into_column();
    let stored = E::find().filter(key.is_in(models.iter().map(&id))).all(db).await?;
    let stored: HashMap<&str, &E::Model> = stored.iter().map(|model| (id(model), model)).collect();
    let changes: Vec<Change> = models
        .iter()
        .map(|model| match stored.get(id(model)) {
            None => Change::Added,
            Some(stored) if *stored == model => Change::Unchanged,
            Some(_) => Change::Changed,
        })
        .collect();
    drop(stored);
    let differing = models
        .into_iter()
        .zip(&changes)
        .filter(|(_, change)| **change != Change::Unchanged);
    let differing: Vec<E::ActiveModel> = differing
        .map(|(model, _)| model.into_active_model().reset_all())
        .collect();
    if !differing.is_empty() {
        let others = E::Column::iter().filter(|column| column.as_str() != key.as_str());
        let replace = OnConflict::column(key).update_columns(others).to_owned();
        E::insert_many(differing)
            .on_conflict(replace)
            .exec_without_returning(db)
            .await?;
    }
    Ok(changes)
}

fn count(counts: &mut Counts, changes: Vec<Change>) {
    for change in changes {
        counts.count(change);
    }
}

pub(super) async fn organizations<C: ConnectionTrait>(
    db: &C,
    records: &[Placed<Organization>],
) -> Result<Counts, DbErr> {
    let mut counts = Counts::default();
    for chunk in records.chunks(CHUNK) {
        let models = chunk.iter().map(|placed| organization_model(&placed.record)).collect();
        count(
            &mut counts,
            upsert::<organization::Entity, C>(db, models, |model| &model.id).await?,
        );
    }
    Ok(counts)
}

fn organization_model(record: &Organization) -> organization::Model {
    organization::Model {
        id: record.id.to_string(),
        name: record.name.clone(),
        address: serde_json::Value::from(record.address.as_slice()).to_string(),
        country: record.country.clone(),
        parent_id: record.parent_id.as_ref().map(ToString::to_string),
        email_domains: serde_json::Value::from(record.email_domains.as_slice()).to_string(),
        flagged: record.flagged,
    }
}

pub(super) async fn contracts<C: ConnectionTrait>(db: &C, records: &[Placed<Contract>]) -> Result<Counts, DbErr> {
    let mut counts = Counts::default();
    for chunk in records.chunks(CHUNK) {
        let models = chunk.iter().map(|placed| contract_model(&placed.record)).collect();
        count(
            &mut counts,
            upsert::<contract::Entity, C>(db, models, |model| &model.number).await?,
        );
    }
    Ok(counts)
}

fn contract_model(record: &Contract) -> contract::Model {
    contract::Model {
        number: record.number.clone(),
        kind: record.kind.clone(),
        status: record.status.clone(),
        ends_on: record.ends_on.map(|day| day.to_string()),
        organization_id: record.organization_id.to_string(),
        flagged: record.flagged,
    }
}

pub(super) async fn devices<C: ConnectionTrait>(db: &C, records: &[Placed<DeviceRecord>]) -> Result<Counts, DbErr> {
    let mut counts = Counts::default();
    for chunk in records.chunks(CHUNK) {
        let models = chunk.iter().map(|placed| device::Model {
            serial_number: placed.record.serial_number.as_str().to_owned(),
            contract_number: placed.record.contract_number.to_string(),
        });
        let changes = upsert::<device::Entity, C>(db, models.collect(), |model| &model.serial_number).await?;
        count(&mut counts, changes);
    }
    Ok(counts)
}

pub(super) async fn accounts<C: ConnectionTrait>(db: &C, records: &[Placed<AccountRecord>]) -> Result<Counts, DbErr> {
    let mut counts = Counts::default();
    for chunk in records.chunks(CHUNK) {
        let models = chunk.iter().map(|placed| account_model(&placed.record)).collect();
        let changes = upsert::<account::Entity, C>(db, models, |model| &model.id).await?;
        let other_lists = replace_lists(db, chunk).await?;
        let changes = changes.into_iter().zip(chunk).map(|(change, placed)| match change {
            Change::Unchanged if other_lists.contains(placed.record.id.as_str()) => Change::Changed,
            change => change,
        });
        count(&mut counts, changes.collect());
    }
    Ok(counts)
}

fn account_model(record: &AccountRecord) -> account::Model {
    account::Model {
        id: record.id.to_string(),
        name: record.name.clone(),
        email: record.email.clone(),
        status: record.status.clone(),
        locale: record.locale.clone(),
        flagged: record.flagged,
    }
}

/// Replaces the lists of contracts that are not as stored, and tells whose.
async fn replace_lists<'a, C: ConnectionTrait>(
    db: &C,
    chunk: &'a [Placed<AccountRecord>],
) -> Result<HashSet<&'a str>, DbErr> {
    let records = || chunk.iter().map(|placed| &placed.record);
    let mut stored = contract_lists(db, records().map(|record| record.id.as_str())).await?;
    let mut outdated = Vec::new();
    let mut differing = HashSet::new();
    let mut rows = Vec::new();
    for record in records() {
        let id = record.id.as_str();
        let stored = stored.remove(id).unwrap_or_default();
        let same = stored.len() == record.contracts.len()
            && stored
                .iter()
                .zip(&record.contracts)
                .all(|(stored, given)| stored == given.as_str());
        if same {
            continue;
        }
        differing.insert(id);
        if !stored.is_empty() {
            outdated.push(id);
        }
        rows.extend(
            (0..)
                .zip(&record.contracts)
                .map(|(position, number)| account_contract::Model {
                    account_id: id.to_owned(),
                    contract_number: number.to_string(),
                    position,
                }),
        );
    }
    if !outdated.is_empty() {
        let rows = account_contract::Entity::delete_many();
        rows.filter(account_contract::Column::AccountId.is_in(outdated))
            .exec(db)
            .await?;
    }
    for rows in rows.chunks(CHUNK) {
        let rows = rows.iter().cloned().map(|row| row.into_active_model().reset_all());
        account_contract::Entity::insert_many(rows)
            .exec_without_returning(db)
            .await?;
    }
    Ok(differing)
}

/// Appends the appointments that are not stored yet; those stored keep their place in the order (D4).
pub(super) async fn administrators<C: ConnectionTrait>(
    db: &C,
    records: &[Placed<AdministratorRecord>],
    now_ms: i64,
) -> Result<Counts, DbErr> {
    let mut counts = Counts::default();
    if records.is_empty() {
        return Ok(counts);
    }
    let last = administrator::Entity::find()
        .order_by_desc(administrator::Column::SinceMs)
        .one(db)
        .await?;
    // A clock that was set back does not let new ones overtake.
    let since_ms = last.map_or(now_ms, |last| last.since_ms.max(now_ms));
    let last = administrator::Entity::find()
        .order_by_desc(administrator::Column::Position)
        .one(db)
        .await?;
    let mut position = last.map_or(0, |last| last.position + 1);
    for chunk in records.chunks(CHUNK) {
        let accounts = chunk.iter().map(|placed| placed.record.account_id.as_str());
        let organizations = chunk.iter().map(|placed| placed.record.organization_id.as_str());
        let stored: HashSet<(String, String)> = administrator::Entity::find()
            .filter(administrator::Column::OrganizationId.is_in(organizations))
            .filter(administrator::Column::AccountId.is_in(accounts))
            .all(db)
            .await?
            .into_iter()
            .map(|row| (row.account_id, row.organization_id))
            .collect();
        let mut rows = Vec::new();
        for Placed { record, .. } in chunk {
            let (account_id, organization_id) = (record.account_id.to_string(), record.organization_id.to_string());
            if stored.contains(&(account_id.clone(), organization_id.clone())) {
                counts.count(Change::Unchanged);
                continue;
            }
            counts.count(Change::Added);
            let row = administrator::Model {
                organization_id,
                account_id,
                since_ms,
                position,
            };
            rows.push(row.into_active_model().reset_all());
            position += 1;
        }
        if !rows.is_empty() {
            administrator::Entity::insert_many(rows)
                .exec_without_returning(db)
                .await?;
        }
    }
    Ok(counts)
}
