//! Carries out what DAs do with the access of others: the shell around [`delegate`] (R58, D16).

use enrolld_jobs::{
    delegation::{CompanyAdministrator, DelegationFacts, Held, Request, delegate},
    directory::AccountStatus,
    ports::Directory as _,
    trace::Trace,
    values::{Access, OrganizationId, Role},
};
use uuid::Uuid;

use super::{DECIDE_TRIES, Executor, Handled, Trouble, facts, in_time};
use crate::store::{
    entities::grant,
    error::StoreError,
    transition::{Guard, InboxWrite, Verdict},
};

impl Executor {
    /// Decides on `request` and commits what follows. When somebody else changed who is DA or holds access in the tree meanwhile, it
    /// is decided again on what is there then.
    ///
    /// # Errors
    /// When it cannot be carried out now, or the database refuses it.
    pub async fn delegate(&self, request: &Request, inbox: &InboxWrite, trace: Trace) -> Result<Handled, Trouble> {
        for _ in 0..DECIDE_TRIES {
            let now = self.now();
            let (facts, tree) = in_time(self.delegation_facts(request)).await?;
            let effects = match delegate(request, &facts) {
                Ok(effects) => effects,
                Err(refusal) => return Ok(Handled::Refused(refusal)),
            };
            let mut transition = self.0.delegation(request, &effects, tree, inbox, trace, now);
            let queued = self.0.dispatch.admit(&mut transition);
            match self.0.store.commit(transition).await? {
                Verdict::Applied => {
                    self.0.dispatch.send(queued);
                    self.0.committed.notify_one();
                    tracing::info!(
                        account = %request.account_id,
                        organization = %request.organization_id,
                        by = %request.by,
                        event = request.event,
                        "access changed by a DA"
                    );
                    return Ok(Handled::Done);
                }
                Verdict::Stale(Guard::Tree) => {}
                Verdict::Stale(guard) => return Ok(Handled::Dropped(guard)),
            }
        }
        Err(Trouble::Contention(format!("access of account {}", request.account_id)))
    }

    /// Gathers what the request rests on. The tree's epoch is read first, as in [`facts::gather`].
    async fn delegation_facts(&self, request: &Request) -> Result<(DelegationFacts, Option<facts::Tree>), Trouble> {
        let parts = &self.0;
        let (site, tree) = facts::gather_chosen(&parts.store, &parts.directory, &request.organization_id).await?;
        let Some(site) = site else {
            return Ok((DelegationFacts::default(), None));
        };
        let account = parts.directory.account(&request.account_id).await?;
        let below = parts.directory.below(&request.organization_id).await?;
        let above: Vec<OrganizationId> = site
            .chain
            .iter()
            .map(|organization| organization.id.clone())
            .filter(|id| *id != request.organization_id)
            .collect();
        let held = parts.store.held(&request.account_id, &below).await?;
        let held_above = parts.store.held(&request.account_id, &above).await?;
        let company = match site.chain.first() {
            Some(root) => parts.directory.below(&root.id).await?,
            None => Vec::new(),
        };
        let appointments = facts::appointments(&parts.store, &parts.directory, &company).await?;
        let is_administrator_below = appointments.iter().any(|appointment| {
            appointment.account.id == request.account_id && below.contains(&appointment.organization_id)
        });
        let company = appointments
            .into_iter()
            .map(|appointment| CompanyAdministrator {
                is_active: appointment.account.status == AccountStatus::Active,
                account_id: appointment.account.id,
                organization_id: appointment.organization_id,
            })
            .collect();
        let has_accepted = parts
            .store
            .has_accepted_terms(&request.account_id, &request.organization_id)
            .await?;
        let facts = DelegationFacts {
            account,
            site: Some(site),
            held: read(held)?,
            held_above: read(held_above)?,
            is_administrator_below,
            company,
            has_accepted,
        };
        Ok((facts, tree))
    }
}

fn read(rows: Vec<grant::Model>) -> Result<Vec<Held>, StoreError> {
    rows.into_iter()
        .map(|row| {
            let unreadable = |what: String| StoreError::unreadable(format_args!("grant {}", row.id), what);
            Ok(Held {
                grant_id: Uuid::parse_str(&row.id).map_err(|error| unreadable(error.to_string()))?,
                organization_id: OrganizationId::new(row.organization_id.clone())
                    .map_err(|error| unreadable(error.to_string()))?,
                access: access_named(&row.access).ok_or_else(|| unreadable(format!("no access {:?}", row.access)))?,
            })
        })
        .collect()
}

/// The access of this name, as grants are kept.
pub(super) fn access_named(name: &str) -> Option<Access> {
    if name == Access::DelegatedAdministrator.as_str() {
        return Some(Access::DelegatedAdministrator);
    }
    Role::ALL
        .into_iter()
        .find(|role| role.as_str() == name)
        .map(Access::Role)
}
