//! Do the records of a file refer only to what is in the file or the database, and do trees stay trees?

use std::collections::{BTreeSet, HashMap, HashSet};

use enrolld_jobs::values::OrganizationId;
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QuerySelect};

use super::{
    entity::{account, contract, organization},
    file::DirectoryFile,
    problem::{Problems, quoted},
    read::{CHUNK, MAX_LEVELS},
    record::{Place, Section, Spot},
};

/// Every organization, stored or in the file, and the one above it.
pub(super) type Parents = HashMap<String, Option<String>>;

/// The parents of the stored organizations.
pub(super) async fn stored_parents<C: ConnectionTrait>(db: &C) -> Result<Parents, DbErr> {
    let rows: Vec<(String, Option<String>)> = organization::Entity::find()
        .select_only()
        .columns([organization::Column::Id, organization::Column::ParentId])
        .into_tuple()
        .all(db)
        .await?;
    Ok(rows.into_iter().collect())
}

/// Notes every reference of `file` that leads nowhere. `parents` comes with the stored organizations, and is given back
/// with the file's as well.
pub(super) async fn check<C: ConnectionTrait>(
    db: &C,
    file: &DirectoryFile,
    parents: &mut Parents,
    problems: &mut Problems,
) -> Result<(), DbErr> {
    for id in file.organization_ids.keys() {
        parents.entry(id.clone()).or_default();
    }
    for placed in &file.organizations {
        let parent = placed.record.parent_id.as_ref().map(ToString::to_string);
        parents.insert(placed.record.id.to_string(), parent);
    }
    organizations(file, parents, problems);
    accounts_and_devices(file, &unknown_contracts(db, file).await?, problems);
    for placed in &file.contracts {
        let organization = placed.record.organization_id.as_str();
        if !parents.contains_key(organization) {
            let label = label(Section::Contracts, placed.spot, &[("number", &placed.record.number)]);
            problems.add(format_args!(
                "{label}: organization_id: {}",
                missing("organization", organization)
            ));
        }
    }
    administrators(file, parents, &unknown_accounts(db, file).await?, problems);
    Ok(())
}

fn organizations(file: &DirectoryFile, parents: &Parents, problems: &mut Problems) {
    for placed in &file.organizations {
        let Some(parent) = placed.record.parent_id.as_ref().map(OrganizationId::as_str) else {
            continue;
        };
        if !parents.contains_key(parent) {
            let label = label(
                Section::Organizations,
                placed.spot,
                &[("id", placed.record.id.as_str())],
            );
            problems.add(format_args!("{label}: parent_id: {}", missing("organization", parent)));
        }
    }
    // A stored organization may come to lie too deep when one above it is moved; in the order of the ids, for the reader.
    let ids: BTreeSet<&String> = parents.keys().collect();
    for id in ids {
        let Some(fault) = fault_above(id, parents) else {
            continue;
        };
        let label = match file.organization_ids.get(id) {
            Some(&spot) => label(Section::Organizations, spot, &[("id", id)]),
            None => format!("organization {} (stored)", quoted(id)),
        };
        problems.add(format_args!("{label}: parent_id: {fault}"));
    }
}

/// What is wrong with the line of organizations above `id`.
fn fault_above(id: &str, parents: &Parents) -> Option<String> {
    let mut line = vec![id];
    let mut current = id;
    while let Some(parent) = parents.get(current).and_then(Option::as_deref) {
        if parent == id {
            line.push(id);
            return Some(format!("the organization stands above itself ({})", line.join(" → ")));
        }
        if line.contains(&parent) {
            // Under a cycle: told of its members.
            return None;
        }
        line.push(parent);
        if line.len() > MAX_LEVELS {
            return Some(format!("lies more than {MAX_LEVELS} levels deep"));
        }
        current = parent;
    }
    None
}

fn accounts_and_devices(file: &DirectoryFile, unknown: &HashSet<String>, problems: &mut Problems) {
    if unknown.is_empty() {
        return;
    }
    for placed in &file.accounts {
        for (at, number) in placed.record.contracts.iter().enumerate() {
            if unknown.contains(number.as_str()) {
                let label = label(Section::Accounts, placed.spot, &[("id", placed.record.id.as_str())]);
                problems.add(format_args!(
                    "{label}: contracts[{at}]: {}",
                    missing("contract", number.as_str())
                ));
            }
        }
    }
    for placed in &file.devices {
        let number = placed.record.contract_number.as_str();
        if unknown.contains(number) {
            let serial = placed.record.serial_number.as_str();
            let label = label(Section::Devices, placed.spot, &[("serial_number", serial)]);
            problems.add(format_args!(
                "{label}: contract_number: {}",
                missing("contract", number)
            ));
        }
    }
}

fn administrators(file: &DirectoryFile, parents: &Parents, unknown: &HashSet<String>, problems: &mut Problems) {
    for placed in &file.administrators {
        let account = placed.record.account_id.as_str();
        let organization = placed.record.organization_id.as_str();
        let key = [("account_id", account), ("organization_id", organization)];
        if unknown.contains(account) {
            let label = label(Section::Administrators, placed.spot, &key);
            problems.add(format_args!("{label}: account_id: {}", missing("account", account)));
        }
        if !parents.contains_key(organization) {
            let label = label(Section::Administrators, placed.spot, &key);
            problems.add(format_args!(
                "{label}: organization_id: {}",
                missing("organization", organization)
            ));
        }
    }
}

/// The contracts that the file names, and that neither it nor the database has.
async fn unknown_contracts<C: ConnectionTrait>(db: &C, file: &DirectoryFile) -> Result<HashSet<String>, DbErr> {
    let of_accounts = file.accounts.iter().flat_map(|placed| &placed.record.contracts);
    let of_devices = file.devices.iter().map(|placed| &placed.record.contract_number);
    let mut unknown: HashSet<String> = of_accounts
        .chain(of_devices)
        .filter(|number| !file.contract_numbers.contains_key(number.as_str()))
        .map(ToString::to_string)
        .collect();
    let asked: Vec<String> = unknown.iter().cloned().collect();
    for chunk in asked.chunks(CHUNK) {
        let found: Vec<String> = contract::Entity::find()
            .select_only()
            .column(contract::Column::Number)
            .filter(contract::Column::Number.is_in(chunk))
            .into_tuple()
            .all(db)
            .await?;
        for number in found {
            unknown.remove(&number);
        }
    }
    Ok(unknown)
}

/// The accounts that the file appoints, and that neither it nor the database has.
async fn unknown_accounts<C: ConnectionTrait>(db: &C, file: &DirectoryFile) -> Result<HashSet<String>, DbErr> {
    let mut unknown: HashSet<String> = file
        .administrators
        .iter()
        .map(|placed| placed.record.account_id.as_str())
        .filter(|id| !file.account_ids.contains_key(*id))
        .map(ToOwned::to_owned)
        .collect();
    let asked: Vec<String> = unknown.iter().cloned().collect();
    for chunk in asked.chunks(CHUNK) {
        let found: Vec<String> = account::Entity::find()
            .select_only()
            .column(account::Column::Id)
            .filter(account::Column::Id.is_in(chunk))
            .into_tuple()
            .all(db)
            .await?;
        for id in found {
            unknown.remove(&id);
        }
    }
    Ok(unknown)
}

fn label(section: Section, spot: Spot, key: &[(&'static str, &str)]) -> String {
    let place = Place { section, spot };
    place.named(|field| key.iter().find(|(name, _)| *name == field).map(|(_, text)| *text))
}

fn missing(what: &str, id: &str) -> String {
    format!(
        "{what} {} does not exist; add it to {what}s or correct it here",
        quoted(id)
    )
}
