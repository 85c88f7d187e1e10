//! Gathers the present facts about a registration: the directory's, and our own appointments and grants.

use std::{collections::HashMap, time::Duration};

use chrono::{DateTime, Utc};
use enrolld_jobs::{
    da_routing::{Appointment, administrators},
    directory::{Account, Contract, SiteFacts},
    event::Present,
    ports::{Directory, Unavailable},
    registration::Registration,
    values::{AccountId, ContractNumber, OrganizationId, SerialNumber},
};

use super::Trouble;
use crate::store::{Store, milliseconds, moment};

/// The tree that gathered facts belong to, and the epoch under which they hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// The root.
    pub root: OrganizationId,
    /// The epoch.
    pub epoch: i64,
}

/// What was gathered about a registration.
#[derive(Debug, Clone)]
pub struct Gathered {
    /// The facts.
    pub present: Present,
    /// Their tree; none without a site.
    pub tree: Option<Tree>,
}

/// How far back failed verifications count (D9).
const ATTEMPTS_COUNT_FOR: Duration = Duration::from_hours(30 * 24);

/// Gathers the present facts. The epoch is read before anything that it vouches for, so that a change in between is noticed when
/// the decision is committed.
///
/// # Errors
/// When the directory or the database cannot be asked now.
pub async fn gather(
    store: &Store,
    directory: &impl Directory,
    registration: &Registration,
    now: DateTime<Utc>,
) -> Result<Gathered, Trouble> {
    let contract = ContractNumber::new(registration.contract_number.as_str()).ok();
    let serial = SerialNumber::new(registration.serial_number.as_str()).ok();
    let account = &registration.account_id;
    let before = directory.applicant(account, contract.as_ref(), serial.as_ref()).await?;
    let tree = match site_of(registration, before.contract.as_ref()) {
        Some(site) => tree_of(store, directory, &site).await?,
        None => None,
    };
    let applicant = directory.applicant(account, contract.as_ref(), serial.as_ref()).await?;
    let site = match site_of(registration, applicant.contract.as_ref()) {
        Some(site) => site_facts(store, directory, &site).await?,
        None => None,
    };
    if site.as_ref().and_then(|site| site.chain.first()).map(|root| &root.id) != tree.as_ref().map(|tree| &tree.root) {
        return Err(moved());
    }
    let organizations: Vec<_> = site.iter().flat_map(|site| &site.chain).map(|o| o.id.clone()).collect();
    let holds_access = !organizations.is_empty() && store.holds_access(account, &organizations).await?;
    let failed_attempts = store.failed_attempts(account, now - ATTEMPTS_COUNT_FOR).await?;
    let address = applicant.account.as_ref().and_then(Account::deliverable_email);
    let undeliverable = !store.suppressed(address.as_slice()).await?.is_empty();
    Ok(Gathered {
        present: Present {
            undeliverable,
            open_requests: store.open_requests(account, &registration.id).await?,
            applicant,
            site,
            holds_access,
            failed_attempts: u32::try_from(failed_attempts).unwrap_or(u32::MAX),
        },
        tree,
    })
}

/// Gathers the facts about an organization that an agent chose; `None` when there is no such organization.
///
/// # Errors
/// As [`gather`].
pub async fn gather_chosen(
    store: &Store,
    directory: &impl Directory,
    organization: &OrganizationId,
) -> Result<(Option<SiteFacts>, Option<Tree>), Trouble> {
    let tree = tree_of(store, directory, organization).await?;
    let site = site_facts(store, directory, organization).await?;
    if site.as_ref().and_then(|site| site.chain.first()).map(|root| &root.id) != tree.as_ref().map(|tree| &tree.root) {
        return Err(moved());
    }
    Ok((site, tree))
}

/// Where an agent sent the request, else where the contract belongs, else, of a contract that is gone, the site known before.
fn site_of(registration: &Registration, contract: Option<&Contract>) -> Option<OrganizationId> {
    registration
        .routed_to
        .clone()
        .or_else(|| contract.map(|contract| contract.organization_id.clone()))
        .or_else(|| registration.site.as_ref().map(|site| site.organization_id.clone()))
}

fn moved() -> Trouble {
    let message = "an organization moved to another company while it was being looked up".to_owned();
    Unavailable {
        service: "directory",
        message,
    }
    .into()
}

async fn tree_of(store: &Store, directory: &impl Directory, site: &OrganizationId) -> Result<Option<Tree>, Trouble> {
    let Some(root) = directory.chain(site).await?.into_iter().next().map(|root| root.id) else {
        return Ok(None);
    };
    Ok(Some(Tree {
        epoch: store.tree_epoch(&root).await?,
        root,
    }))
}

async fn site_facts(
    store: &Store,
    directory: &impl Directory,
    site: &OrganizationId,
) -> Result<Option<SiteFacts>, Trouble> {
    let chain = directory.chain(site).await?;
    if chain.is_empty() {
        return Ok(None);
    }
    let organizations: Vec<_> = chain.iter().map(|organization| organization.id.clone()).collect();
    let appointments = appointments(store, directory, &organizations).await?;
    Ok(Some(SiteFacts {
        administrators: administrators(&chain, appointments),
        chain,
    }))
}

/// The directory's appointments and ours (D4).
pub(super) async fn appointments(
    store: &Store,
    directory: &impl Directory,
    organizations: &[OrganizationId],
) -> Result<Vec<Appointment>, Trouble> {
    let mut appointments = directory.appointments(organizations).await?;
    let removed = store.removed_administrators(organizations).await?;
    // Whoever was removed here is none, whatever the directory has kept, unless it names them anew.
    appointments.retain(|appointment| {
        !removed.iter().any(|removed| {
            removed.account_id == appointment.account.id.as_str()
                && removed.organization_id == appointment.organization_id.as_str()
                && removed.removed_ms >= milliseconds(appointment.since)
        })
    });
    let ours = store.appointments(organizations).await?;
    let mut accounts = HashMap::new();
    for (position, row) in ours.into_iter().enumerate() {
        let (Ok(id), Ok(organization_id)) = (AccountId::new(row.account_id), OrganizationId::new(row.organization_id))
        else {
            continue;
        };
        if !accounts.contains_key(&id) {
            accounts.insert(id.clone(), directory.account(&id).await?);
        }
        // A DA whose account is gone from the directory is none any more.
        if let Some(Some(account)) = accounts.get(&id) {
            appointments.push(Appointment {
                account: account.clone(),
                organization_id,
                since: moment(row.appointed_ms),
                position: i64::try_from(position).unwrap_or(i64::MAX),
                undeliverable: false,
            });
        }
    }
    let addresses: Vec<_> = appointments
        .iter()
        .filter_map(|appointment| appointment.account.deliverable_email())
        .collect();
    let suppressed = store.suppressed(&addresses).await?;
    for appointment in &mut appointments {
        let address = appointment.account.deliverable_email();
        appointment.undeliverable = address.is_some_and(|address| suppressed.contains(&address));
    }
    Ok(appointments)
}
