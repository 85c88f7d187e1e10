//! The questions to the directory's tables, on a connection or inside a transaction: a decision that depends on who is DA
//! reads these facts in the transaction that writes it.
//!
//! Errors are the database's, or `DbErr::Type` for a row that no import wrote.

use std::collections::HashMap;

use chrono::{DateTime, NaiveDate, Utc};
use enrolld_jobs::{
    da_routing::Appointment,
    directory::{Account, AccountStatus, ApplicantFacts, Contract, Organization},
    values::{AccountId, ContractNumber, OrganizationId, SerialNumber},
};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, FromQueryResult, QueryFilter, QueryOrder, QueryResult, Statement,
};

use super::entity::{account, account_contract, administrator, organization};

/// The most levels that a tree of organizations may have; import refuses more.
pub const MAX_LEVELS: usize = 64;

/// How many keys one statement names. SQLite takes 32,766 parameters.
pub(super) const CHUNK: usize = 500;

/// Profile, contract and device in one row. The contract is found only through the profile's list (R24, D14), the device only under
/// that contract (R25).
const APPLICANT: &str = "\
    SELECT a.id, a.name, a.email, a.status, a.locale, a.flagged, \
           c.number, c.type, c.status AS contract_status, c.ends_on, c.organization_id, c.flagged AS contract_flagged, \
           d.serial_number \
    FROM directory_accounts a \
    LEFT JOIN directory_account_contracts held ON held.account_id = a.id AND held.contract_number = $2 \
    LEFT JOIN directory_contracts c ON c.number = held.contract_number \
    LEFT JOIN directory_devices d ON d.serial_number = $3 AND d.contract_number = c.number \
    WHERE a.id = $1";

/// From the site up to the root; `level` is bounded, so that a cycle cannot hold it up.
const CHAIN: &str = "\
    WITH RECURSIVE chain (id, parent_id, level) AS ( \
        SELECT id, parent_id, 1 FROM directory_organizations WHERE id = $1 \
        UNION ALL \
        SELECT above.id, above.parent_id, chain.level + 1 \
        FROM chain JOIN directory_organizations above ON above.id = chain.parent_id WHERE chain.level <= 64 \
    ) \
    SELECT o.id, o.name, o.address, o.country, o.parent_id, o.email_domains, o.flagged \
    FROM chain JOIN directory_organizations o ON o.id = chain.id ORDER BY chain.level DESC";

/// From the organization down to the leaves; `level` is bounded, so that a cycle cannot hold it up.
const BELOW: &str = "\
    WITH RECURSIVE below (id, level) AS ( \
        SELECT id, 1 FROM directory_organizations WHERE id = $1 \
        UNION ALL \
        SELECT child.id, below.level + 1 \
        FROM below JOIN directory_organizations child ON child.parent_id = below.id WHERE below.level <= 64 \
    ) \
    SELECT DISTINCT id FROM below";

/// The profile; the contract, only if it is associated with the profile; whether that contract covers the device (D14).
pub async fn applicant<C: ConnectionTrait>(
    db: &C,
    account: &AccountId,
    contract: Option<&ContractNumber>,
    serial: Option<&SerialNumber>,
) -> Result<ApplicantFacts, DbErr> {
    let values = [
        account.as_str().into(),
        contract.map(ContractNumber::as_str).into(),
        serial.map(SerialNumber::as_str).into(),
    ];
    let statement = Statement::from_sql_and_values(db.get_database_backend(), APPLICANT, values);
    let Some(row) = db.query_one_raw(statement).await? else {
        return Ok(ApplicantFacts {
            account: None,
            contract: None,
            covered: false,
        });
    };
    let profile = account::Model::from_query_result(&row, "")?;
    let contract = held_contract(&row)?;
    let covered = row.try_get::<Option<String>>("", "serial_number")?.is_some();
    let mut profiles = with_contracts(db, vec![profile]).await?;
    Ok(ApplicantFacts {
        account: profiles.pop(),
        contract,
        covered,
    })
}

fn held_contract(row: &QueryResult) -> Result<Option<Contract>, DbErr> {
    let Some(number) = row.try_get("", "number")? else {
        return Ok(None);
    };
    let ends_on: Option<String> = row.try_get("", "ends_on")?;
    Ok(Some(Contract {
        number,
        kind: row.try_get("", "type")?,
        status: row.try_get("", "contract_status")?,
        ends_on: ends_on.as_deref().map(day).transpose()?,
        organization_id: valid(OrganizationId::new(row.try_get::<String>("", "organization_id")?))?,
        flagged: row.try_get("", "contract_flagged")?,
    }))
}

/// The organizations from the tree's root down to `site` (D6); empty when there is no such organization.
pub async fn chain<C: ConnectionTrait>(db: &C, site: &OrganizationId) -> Result<Vec<Organization>, DbErr> {
    let statement = Statement::from_sql_and_values(db.get_database_backend(), CHAIN, [site.as_str().into()]);
    let rows = db.query_all_raw(statement).await?;
    if rows.len() > MAX_LEVELS {
        // Without its root the chain would name the wrong DAs.
        return Err(DbErr::Custom(format!(
            "organization {site} has more than {MAX_LEVELS} levels or stands above itself; import its parents anew"
        )));
    }
    rows.iter()
        .map(|row| organization::Model::from_query_result(row, "").and_then(organization_record))
        .collect()
}

/// The organization and all below it, in no certain order; empty when there is no such organization.
pub async fn below<C: ConnectionTrait>(db: &C, organization: &OrganizationId) -> Result<Vec<OrganizationId>, DbErr> {
    let statement = Statement::from_sql_and_values(db.get_database_backend(), BELOW, [organization.as_str().into()]);
    let rows = db.query_all_raw(statement).await?;
    rows.iter()
        .map(|row| valid(OrganizationId::new(row.try_get::<String>("", "id")?)))
        .collect()
}

/// The directory's own DAs of these organizations, in no certain order.
pub async fn appointments<C: ConnectionTrait>(
    db: &C,
    organizations: &[OrganizationId],
) -> Result<Vec<Appointment>, DbErr> {
    let mut rows = Vec::new();
    for chunk in organizations.chunks(CHUNK) {
        let ids = chunk.iter().map(OrganizationId::as_str);
        let found = administrator::Entity::find().filter(administrator::Column::OrganizationId.is_in(ids));
        rows.extend(found.all(db).await?);
    }
    let mut ids: Vec<&str> = rows.iter().map(|row| row.account_id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    let profiles: HashMap<String, Account> = profiles(db, &ids)
        .await?
        .into_iter()
        .map(|account| (account.id.to_string(), account))
        .collect();
    let appointments = rows.into_iter().filter_map(|row| {
        let account = profiles.get(&row.account_id)?.clone();
        Some(
            OrganizationId::new(row.organization_id).map(|organization_id| Appointment {
                account,
                organization_id,
                since: moment(row.since_ms),
                position: row.position,
                // What came back is known to us, not to the directory.
                undeliverable: false,
            }),
        )
    });
    appointments.map(valid).collect()
}

/// One profile.
pub async fn account<C: ConnectionTrait>(db: &C, id: &AccountId) -> Result<Option<Account>, DbErr> {
    Ok(profiles(db, &[id.as_str()]).await?.pop())
}

/// The profiles with these ids, as far as they are there, in no certain order.
pub async fn accounts<C: ConnectionTrait>(db: &C, ids: &[AccountId]) -> Result<Vec<Account>, DbErr> {
    let ids: Vec<&str> = ids.iter().map(AccountId::as_str).collect();
    profiles(db, &ids).await
}

async fn profiles<C: ConnectionTrait>(db: &C, ids: &[&str]) -> Result<Vec<Account>, DbErr> {
    let mut accounts = Vec::with_capacity(ids.len());
    for chunk in ids.chunks(CHUNK) {
        let found = account::Entity::find().filter(account::Column::Id.is_in(chunk.iter().copied()));
        accounts.extend(with_contracts(db, found.all(db).await?).await?);
    }
    Ok(accounts)
}

async fn with_contracts<C: ConnectionTrait>(db: &C, models: Vec<account::Model>) -> Result<Vec<Account>, DbErr> {
    let mut contracts = contract_lists(db, models.iter().map(|model| model.id.as_str())).await?;
    models
        .into_iter()
        .map(|model| {
            let contracts = contracts.remove(&model.id).unwrap_or_default();
            account_record(model, contracts)
        })
        .collect()
}

/// The lists of contracts of these accounts, at most a [`CHUNK`] of them, each in its order.
pub(super) async fn contract_lists<C: ConnectionTrait>(
    db: &C,
    ids: impl Iterator<Item = &str>,
) -> Result<HashMap<String, Vec<String>>, DbErr> {
    let mut lists: HashMap<String, Vec<String>> = HashMap::new();
    let ids: Vec<&str> = ids.collect();
    if ids.is_empty() {
        return Ok(lists);
    }
    let rows = account_contract::Entity::find()
        .filter(account_contract::Column::AccountId.is_in(ids))
        .order_by_asc(account_contract::Column::AccountId)
        .order_by_asc(account_contract::Column::Position)
        .all(db)
        .await?;
    for row in rows {
        lists.entry(row.account_id).or_default().push(row.contract_number);
    }
    Ok(lists)
}

fn account_record(model: account::Model, contracts: Vec<String>) -> Result<Account, DbErr> {
    Ok(Account {
        id: valid(AccountId::new(model.id))?,
        name: model.name,
        email: model.email,
        status: match model.status.as_str() {
            "active" => AccountStatus::Active,
            "incomplete" => AccountStatus::Incomplete,
            // A status that we do not know gives no access.
            _ => AccountStatus::Inactive,
        },
        locale: model.locale,
        flagged: model.flagged,
        contracts,
    })
}

pub(super) fn organization_record(model: organization::Model) -> Result<Organization, DbErr> {
    Ok(Organization {
        id: valid(OrganizationId::new(model.id))?,
        name: model.name,
        address: texts(&model.address)?,
        country: model.country,
        parent_id: model.parent_id.map(OrganizationId::new).map(valid).transpose()?,
        email_domains: texts(&model.email_domains)?,
        flagged: model.flagged,
    })
}

pub(super) fn day(text: &str) -> Result<NaiveDate, DbErr> {
    valid(text.parse())
}

fn texts(json: &str) -> Result<Vec<String>, DbErr> {
    valid(serde_json::from_str(json))
}

pub(super) fn valid<T, E: std::fmt::Display>(value: Result<T, E>) -> Result<T, DbErr> {
    value.map_err(|error| {
        DbErr::Type(format!(
            "a row of the directory is damaged: {error}; import its record anew"
        ))
    })
}

fn moment(ms: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(ms).unwrap_or_default()
}
