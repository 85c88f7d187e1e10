//! Gathers the present facts about a registration: the directory's, and our own appointments and grants.

use std::collections::HashMap;

use enrolld_jobs::{
    da_routing::{Appointment, administrators},
    directory::SiteFacts,
    event::Present,
    ports::{Directory, Unavailable},
    registration::Registration,
    values::{AccountId, ContractNumber, OrganizationId, SerialNumber},
};

use super::Trouble;
use crate::store::{Store, moment};

/// The tree that gathered facts belong to, and the epoch under which they hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// The root.
    pub root: OrganizationId,
    /// The epoch.
    pub epoch: i64,
}

/// What was gathered.
#[derive(Debug, Clone)]
pub struct Gathered {
    /// The facts.
    pub present: Present,
    /// Their tree; none without a site.
    pub tree: Option<Tree>,
}

/// Gathers the facts. The epoch is read before anything that it vouches for, so that a change in between is noticed when the
/// decision is committed.
///
/// # Errors
/// When the directory or the database cannot be asked now.
pub async fn gather(
    store: &Store,
    directory: &impl Directory,
    registration: &Registration,
) -> Result<Gathered, Trouble> {
    let contract = ContractNumber::new(registration.contract_number.as_str()).ok();
    let serial = SerialNumber::new(registration.serial_number.as_str()).ok();
    let account = &registration.account_id;
    let before = directory.applicant(account, contract.as_ref(), serial.as_ref()).await?;
    let known = registration.site.as_ref().map(|site| site.organization_id.clone());
    let site_of = |contract: Option<OrganizationId>| contract.or_else(|| known.clone());
    let root = match site_of(before.contract.map(|c| c.organization_id)) {
        Some(site) => directory.chain(&site).await?.into_iter().next().map(|root| root.id),
        None => None,
    };
    let tree = match root {
        Some(root) => Some(Tree {
            epoch: store.tree_epoch(&root).await?,
            root,
        }),
        None => None,
    };
    let applicant = directory.applicant(account, contract.as_ref(), serial.as_ref()).await?;
    let chain = match site_of(applicant.contract.as_ref().map(|c| c.organization_id.clone())) {
        Some(site) => directory.chain(&site).await?,
        None => Vec::new(),
    };
    if chain.first().map(|root| &root.id) != tree.as_ref().map(|tree| &tree.root) {
        let message = "the contract moved to another company while it was being looked up".to_owned();
        return Err(Unavailable {
            service: "directory",
            message,
        }
        .into());
    }
    let organizations: Vec<_> = chain.iter().map(|organization| organization.id.clone()).collect();
    let holds_access = !organizations.is_empty() && store.holds_access(account, &organizations).await?;
    let site = if chain.is_empty() {
        None
    } else {
        let appointments = appointments(store, directory, &organizations).await?;
        Some(SiteFacts {
            administrators: administrators(&chain, appointments),
            chain,
        })
    };
    Ok(Gathered {
        present: Present {
            applicant,
            site,
            holds_access,
        },
        tree,
    })
}

/// The directory's appointments and ours (D4).
async fn appointments(
    store: &Store,
    directory: &impl Directory,
    organizations: &[OrganizationId],
) -> Result<Vec<Appointment>, Trouble> {
    let mut appointments = directory.appointments(organizations).await?;
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
            });
        }
    }
    Ok(appointments)
}
