//! Writes the directory as a file that gives the same tables again.

use std::{collections::HashMap, io, io::Write};

use enrolld_jobs::{
    directory::Contract,
    values::{AccountId, ContractNumber, OrganizationId, SerialNumber},
};
use sea_orm::{
    AccessMode, ColumnTrait, ConnectionTrait, DatabaseConnection, DbErr, EntityTrait, IsolationLevel, Iterable,
    PrimaryKeyToColumn, QueryFilter, QuerySelect, TransactionOptions, TransactionTrait,
};
use serde::Serialize;

use super::{
    entity::{account, administrator, contract, device, organization},
    read::{CHUNK, contract_lists, day, organization_record, valid},
    record::{AccountRecord, AdministratorRecord, DeviceRecord, Section},
};

/// Why an export is not whole.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The database failed.
    #[error("the directory cannot be read: {0}")]
    Database(#[from] DbErr),
    /// The file cannot be written.
    #[error("the directory file cannot be written: {0}")]
    Write(#[from] io::Error),
}

/// The types of records by their name in the file, and how many of each were written.
pub type Exported = Vec<(&'static str, u64)>;

/// Writes the directory in the JSON form of the contract's section 4, one record a line: records by id in the order of
/// bytes, `administrators` in order of appointment. Appointments made by registrations are not part of it.
///
/// # Errors
/// When the database or `writer` fails; what was written is not whole then.
pub async fn export<W: Write + Send>(db: &DatabaseConnection, writer: W) -> Result<Exported, ExportError> {
    let postgres = db.get_database_backend() == sea_orm::DbBackend::Postgres;
    let options = TransactionOptions {
        // One view over all statements; SQLite gives it anyway.
        isolation_level: postgres.then_some(IsolationLevel::RepeatableRead),
        access_mode: postgres.then_some(AccessMode::ReadOnly),
        ..TransactionOptions::default()
    };
    let transaction = db.begin_with_options(options).await?;
    let result = write_sections(&transaction, Lists::new(writer)).await;
    transaction.rollback().await?;
    result
}

async fn write_sections<W: Write + Send, C: ConnectionTrait>(
    db: &C,
    mut lists: Lists<W>,
) -> Result<Exported, ExportError> {
    lists.begin(Section::Organizations)?;
    for chunk in ids::<organization::Entity, C>(db).await?.chunks(CHUNK) {
        for model in rows::<organization::Entity, C>(db, chunk, |model| &model.id).await? {
            lists.record(&organization_record(model)?)?;
        }
    }
    lists.begin(Section::Accounts)?;
    for chunk in ids::<account::Entity, C>(db).await?.chunks(CHUNK) {
        let mut contracts = contract_lists(db, chunk.iter().map(String::as_str)).await?;
        for model in rows::<account::Entity, C>(db, chunk, |model| &model.id).await? {
            let contracts = contracts.remove(&model.id).unwrap_or_default();
            lists.record(&account_record(model, contracts)?)?;
        }
    }
    lists.begin(Section::Contracts)?;
    for chunk in ids::<contract::Entity, C>(db).await?.chunks(CHUNK) {
        for model in rows::<contract::Entity, C>(db, chunk, |model| &model.number).await? {
            lists.record(&contract_record(model)?)?;
        }
    }
    lists.begin(Section::Devices)?;
    for chunk in ids::<device::Entity, C>(db).await?.chunks(CHUNK) {
        for model in rows::<device::Entity, C>(db, chunk, |model| &model.serial_number).await? {
            lists.record(&DeviceRecord {
                serial_number: valid(SerialNumber::new(model.serial_number))?,
                contract_number: valid(ContractNumber::new(model.contract_number))?,
            })?;
        }
    }
    lists.begin(Section::Administrators)?;
    let mut appointments = administrator::Entity::find().all(db).await?;
    appointments.sort_by(|a, b| {
        let key = |row: &administrator::Model| (row.since_ms, row.position);
        let names = |row: &administrator::Model| (row.account_id.clone(), row.organization_id.clone());
        key(a).cmp(&key(b)).then_with(|| names(a).cmp(&names(b)))
    });
    for row in appointments {
        lists.record(&AdministratorRecord {
            account_id: valid(AccountId::new(row.account_id))?,
            organization_id: valid(OrganizationId::new(row.organization_id))?,
        })?;
    }
    Ok(lists.end()?)
}

/// The keys of a table in the order of bytes. Sorted here: each database has an order of its own.
async fn ids<E: EntityTrait, C: ConnectionTrait>(db: &C) -> Result<Vec<String>, DbErr> {
    let key = key::<E>();
    let mut ids: Vec<String> = E::find().select_only().column(key).into_tuple().all(db).await?;
    ids.sort_unstable();
    Ok(ids)
}

/// The rows with these keys, in their order.
async fn rows<E: EntityTrait, C: ConnectionTrait>(
    db: &C,
    ids: &[String],
    id: impl Fn(&E::Model) -> &str,
) -> Result<Vec<E::Model>, DbErr> {
    let order: HashMap<&str, usize> = ids.iter().enumerate().map(|(at, id)| (id.as_str(), at)).collect();
    let mut rows = E::find().filter(key::<E>().is_in(ids)).all(db).await?;
    rows.sort_by_key(|row| order.get(id(row)).copied());
    Ok(rows)
}

fn key<E: EntityTrait>() -> E::Column {
    E::PrimaryKey::iter()
        .next()
        .expect("every table has a primary key")
        .into_column()
}

fn account_record(model: account::Model, contracts: Vec<String>) -> Result<AccountRecord, DbErr> {
    Ok(AccountRecord {
        id: valid(AccountId::new(model.id))?,
        name: model.name,
        email: model.email,
        status: model.status,
        locale: model.locale,
        flagged: model.flagged,
        contracts: valid(contracts.into_iter().map(ContractNumber::new).collect())?,
    })
}

fn contract_record(model: contract::Model) -> Result<Contract, DbErr> {
    Ok(Contract {
        number: model.number,
        kind: model.kind,
        status: model.status,
        ends_on: model.ends_on.as_deref().map(day).transpose()?,
        organization_id: valid(OrganizationId::new(model.organization_id))?,
        flagged: model.flagged,
    })
}

/// The lists of the file, one record a line.
struct Lists<W> {
    writer: W,
    written: Exported,
}

impl<W: Write> Lists<W> {
    fn new(writer: W) -> Self {
        Self {
            writer,
            written: Vec::new(),
        }
    }

    fn begin(&mut self, section: Section) -> io::Result<()> {
        let before = if section == Section::Organizations { "{" } else { "],\n" };
        self.written.push((section.name(), 0));
        write!(self.writer, "{before}\"{}\":[", section.name())
    }

    fn record(&mut self, record: &impl Serialize) -> io::Result<()> {
        if let Some((_, count)) = self.written.last_mut() {
            self.writer.write_all(if *count == 0 { b"\n" } else { b",\n" })?;
            *count += 1;
        }
        serde_json::to_writer(&mut self.writer, record).map_err(io::Error::from)
    }

    fn end(mut self) -> io::Result<Exported> {
        self.writer.write_all(b"]}\n")?;
        self.writer.flush()?;
        Ok(self.written)
    }
}
