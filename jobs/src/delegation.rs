//! What DAs do with the access of others, besides deciding on requests (R58, R59, D3, D4, D15, D16).
//!
//! [`delegate`] is to the events `delegation.*` what [`decide`](mod@crate::decide) is to those of a registration: pure, effects as
//! data. What it rests on is who is DA and holds access in the tree, so its effects are written only if that has not changed meanwhile.

use crate::{
    cloud_event::UpstreamEvent,
    directory::{Account, AccountStatus, SiteFacts},
    effect::{Delegation, DelegationChange, Effect, Mail, MailKind, Recipient},
    refusal::{Reason, Refusal},
    values::{Access, AccountId, OrganizationId, Role},
};
use uuid::Uuid;

/// What was asked for, and by whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The account concerned.
    pub account_id: AccountId,
    /// Where.
    pub organization_id: OrganizationId,
    /// Who does it: a DA, or the account itself.
    pub by: AccountId,
    /// What.
    pub action: Action,
    /// The event's type.
    pub event: &'static str,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The DA accepts the terms (D15).
    AcceptTerms,
    /// A DA's change of somebody's access.
    Change(DelegationChange),
}

/// What is known when a request is decided on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DelegationFacts {
    /// The profile of the account concerned.
    pub account: Option<Account>,
    /// The organization's chain and the DAs who cover it; `None` when there is no such organization.
    pub site: Option<SiteFacts>,
    /// What the account holds at the organization or below it.
    pub held: Vec<Held>,
    /// What the account holds at organizations above it.
    pub held_above: Vec<Held>,
    /// Whether the account is DA of the organization or of one below it.
    pub is_administrator_below: bool,
    /// Every DA of the company, that is, of the whole tree (D4, D16).
    pub company: Vec<CompanyAdministrator>,
    /// Whether the account has accepted the terms for the organization already.
    pub has_accepted: bool,
}

/// Access that an account holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The grant.
    pub grant_id: Uuid,
    /// Where.
    pub organization_id: OrganizationId,
    /// What.
    pub access: Access,
}

/// A DA of a company (D16).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompanyAdministrator {
    /// Who.
    pub account_id: AccountId,
    /// Appointed for this organization.
    pub organization_id: OrganizationId,
    /// Whether they can act: one whose account is not active is no successor.
    pub is_active: bool,
}

impl Request {
    /// The request of an upstream event about the account `subject`; `None` for events that are not about delegation.
    pub fn from_upstream(subject: &AccountId, event: &UpstreamEvent) -> Option<Self> {
        let change = |by: &AccountId, organization_id: &OrganizationId, change| {
            Some(Self {
                account_id: subject.clone(),
                organization_id: organization_id.clone(),
                by: by.clone(),
                action: Action::Change(change),
                event: event.type_name(),
            })
        };
        match event {
            UpstreamEvent::DelegationTermsAccepted(data) => Some(Self {
                account_id: subject.clone(),
                organization_id: data.organization_id.clone(),
                by: subject.clone(),
                action: Action::AcceptTerms,
                event: event.type_name(),
            }),
            UpstreamEvent::DelegationAdministratorAdded(data) => {
                change(&data.by, &data.organization_id, DelegationChange::AdministratorAdded)
            }
            UpstreamEvent::DelegationAdministratorRemoved(data) => {
                change(&data.by, &data.organization_id, DelegationChange::AdministratorRemoved)
            }
            UpstreamEvent::DelegationUserAssociated(data) => {
                change(&data.by, &data.organization_id, DelegationChange::UserAssociated)
            }
            UpstreamEvent::DelegationUserDisassociated(data) => {
                change(&data.by, &data.organization_id, DelegationChange::UserDisassociated)
            }
            UpstreamEvent::DelegationRoleAssigned(data) => change(
                &data.by,
                &data.organization_id,
                DelegationChange::RoleAssigned(data.role),
            ),
            UpstreamEvent::DelegationRoleRemoved(data) => change(
                &data.by,
                &data.organization_id,
                DelegationChange::RoleRemoved(data.role),
            ),
            UpstreamEvent::RegistrationSubmitted(_)
            | UpstreamEvent::RegistrationResubmitted(_)
            | UpstreamEvent::RegistrationConfirmed(_)
            | UpstreamEvent::RegistrationOrganizationSelected(_)
            | UpstreamEvent::RegistrationVerificationResendRequested(_)
            | UpstreamEvent::RegistrationEmailVerified(_)
            | UpstreamEvent::RegistrationDaDecided(_)
            | UpstreamEvent::RegistrationReviewDecided(_)
            | UpstreamEvent::RegistrationInformationProvided(_)
            | UpstreamEvent::RegistrationWithdrawn(_)
            | UpstreamEvent::MailBounced(_) => None,
        }
    }
}

/// Decides on a request: what follows from it, or why not. Checked in the contract's order: what it is about, who may, and
/// whether it fits what is there.
///
/// # Errors
/// The refusal.
pub fn delegate(request: &Request, facts: &DelegationFacts) -> Result<Vec<Effect>, Refusal> {
    let Some(site) = &facts.site else {
        return Err(Refusal::new(Reason::InvalidData, "organization_unknown")
            .with("organization_id", request.organization_id.as_str()));
    };
    let change = match request.action {
        Action::AcceptTerms => return terms_accepted(request, facts),
        Action::Change(change) => change,
    };
    entitled(request, site, change)?;
    let grant = |access| Effect::Grant {
        account_id: request.account_id.clone(),
        organization_id: request.organization_id.clone(),
        access,
    };
    let effects = match change {
        DelegationChange::AdministratorAdded => administrator_added(request, facts, site)?,
        DelegationChange::AdministratorRemoved => administrator_removed(request, facts)?,
        DelegationChange::UserAssociated => {
            usable(request, facts)?;
            if holds_any(facts) || facts.is_administrator_below || is_covering(request, site) {
                return Err(not_allowed(request, "already_associated"));
            }
            // Every access has a role (R3); this is the plainest.
            vec![grant(Access::Role(Role::CustomerUser))]
        }
        DelegationChange::UserDisassociated => disassociated(request, facts)?,
        DelegationChange::RoleAssigned(role) => {
            usable(request, facts)?;
            let mut held = held_here(request, facts).chain(&facts.held_above);
            let comes_with_duty = role == Role::CustomerAdministrator && is_covering(request, site);
            if comes_with_duty || held.any(|held| held.access == Access::Role(role)) {
                return Err(not_allowed(request, "already_assigned"));
            }
            vec![grant(Access::Role(role))]
        }
        DelegationChange::RoleRemoved(role) => role_removed(request, facts, role)?,
    };
    let delegation = Delegation {
        organization_id: request.organization_id.clone(),
        change: Some(change),
    };
    let mut effects = effects;
    effects.push(mail(
        request,
        MailKind::DelegationChanged,
        &request.account_id,
        delegation.clone(),
    ));
    if change == DelegationChange::AdministratorAdded {
        effects.push(mail(request, MailKind::DaTerms, &request.account_id, delegation));
    }
    Ok(effects)
}

fn mail(request: &Request, kind: MailKind, to: &AccountId, delegation: Delegation) -> Effect {
    Effect::Mail(Mail {
        about: Some(request.by.clone()),
        delegation: Some(delegation),
        ..Mail::new(kind, Recipient::Account(to.clone()))
    })
}

fn not_allowed(request: &Request, code: &str) -> Refusal {
    Refusal::new(Reason::NotAllowed, code)
        .with("account_id", request.account_id.as_str())
        .with("organization_id", request.organization_id.as_str())
}

/// Only a DA who covers the organization, and nobody gives access to themselves (R58, D3). Who leaves needs nobody else.
fn entitled(request: &Request, site: &SiteFacts, change: DelegationChange) -> Result<(), Refusal> {
    let covers = site.administrators.iter().any(|da| da.account_id == request.by);
    if !covers {
        return Err(Refusal::new(Reason::NotEntitled, "not_a_delegated_administrator").with("by", request.by.as_str()));
    }
    let gives = match change {
        DelegationChange::AdministratorAdded | DelegationChange::UserAssociated | DelegationChange::RoleAssigned(_) => {
            true
        }
        DelegationChange::AdministratorRemoved
        | DelegationChange::UserDisassociated
        | DelegationChange::RoleRemoved(_) => false,
    };
    if gives && request.by == request.account_id {
        return Err(Refusal::new(Reason::NotEntitled, "own_access").with("by", request.by.as_str()));
    }
    Ok(())
}

/// Access is given only to an account that is there and in use (R7).
fn usable(request: &Request, facts: &DelegationFacts) -> Result<(), Refusal> {
    match &facts.account {
        None => {
            Err(Refusal::new(Reason::InvalidData, "account_unknown").with("account_id", request.account_id.as_str()))
        }
        Some(account) if account.status == AccountStatus::Active => Ok(()),
        Some(_) => Err(not_allowed(request, "account_inactive")),
    }
}

fn held_here<'a>(request: &'a Request, facts: &'a DelegationFacts) -> impl Iterator<Item = &'a Held> {
    facts
        .held
        .iter()
        .filter(|held| held.organization_id == request.organization_id)
}

fn holds_any(facts: &DelegationFacts) -> bool {
    !(facts.held.is_empty() && facts.held_above.is_empty())
}

/// Whether the account is DA of the organization or above it. Those of the directory have no grants: they hold their access, Customer
/// Administrator included, already (R59, D20).
fn is_covering(request: &Request, site: &SiteFacts) -> bool {
    site.administrators.iter().any(|da| da.account_id == request.account_id)
}

fn is_appointed(request: &Request, facts: &DelegationFacts) -> bool {
    facts
        .company
        .iter()
        .any(|da| da.account_id == request.account_id && da.organization_id == request.organization_id)
}

fn terms_accepted(request: &Request, facts: &DelegationFacts) -> Result<Vec<Effect>, Refusal> {
    if !is_appointed(request, facts) {
        return Err(Refusal::new(Reason::NotEntitled, "not_a_delegated_administrator")
            .with("account_id", request.account_id.as_str()));
    }
    if facts.has_accepted {
        return Err(not_allowed(request, "already_accepted"));
    }
    Ok(vec![Effect::AcceptTerms {
        account_id: request.account_id.clone(),
        organization_id: request.organization_id.clone(),
    }])
}

/// Another DA (R58), who is Customer Administrator as any (R59, D20).
fn administrator_added(request: &Request, facts: &DelegationFacts, site: &SiteFacts) -> Result<Vec<Effect>, Refusal> {
    usable(request, facts)?;
    if is_covering(request, site) {
        return Err(not_allowed(request, "already_administrator"));
    }
    let administrator = Access::Role(Role::CustomerAdministrator);
    let holds = held_here(request, facts).any(|held| held.access == administrator);
    let mut accesses = vec![Access::DelegatedAdministrator];
    if !holds {
        accesses.insert(0, administrator);
    }
    let mut effects = vec![Effect::Appoint {
        account_id: request.account_id.clone(),
        organization_id: request.organization_id.clone(),
    }];
    effects.extend(accesses.into_iter().map(|access| Effect::Grant {
        account_id: request.account_id.clone(),
        organization_id: request.organization_id.clone(),
        access,
    }));
    Ok(effects)
}

/// A DA leaves, and with the duty goes what came with it (R59). The last one of a company stays (D16).
fn administrator_removed(request: &Request, facts: &DelegationFacts) -> Result<Vec<Effect>, Refusal> {
    if !is_appointed(request, facts) {
        return Err(not_allowed(request, "not_administrator"));
    }
    let is_ended = |da: &&CompanyAdministrator| {
        da.account_id == request.account_id && da.organization_id == request.organization_id
    };
    let mut left: Vec<&AccountId> = facts
        .company
        .iter()
        .filter(|da| da.is_active && !is_ended(da))
        .map(|da| &da.account_id)
        .collect();
    left.sort();
    left.dedup();
    if left.is_empty() {
        return Err(not_allowed(request, "last_administrator"));
    }
    let mut effects = vec![
        Effect::EndAppointment {
            account_id: request.account_id.clone(),
            organization_id: request.organization_id.clone(),
        },
        Effect::RecheckDa(request.account_id.clone()),
    ];
    effects.extend(
        held_here(request, facts)
            .filter(|held| match held.access {
                Access::DelegatedAdministrator | Access::Role(Role::CustomerAdministrator) => true,
                Access::Role(
                    Role::CustomerUser | Role::PartnerAdministrator | Role::PartnerUser | Role::ApiDeveloper,
                ) => false,
            })
            .map(|held| Effect::EndGrant {
                grant_id: held.grant_id,
            }),
    );
    if let [only] = left[..] {
        let company = facts.site.as_ref().and_then(|site| site.chain.first());
        let organization_id = company.map_or_else(|| request.organization_id.clone(), |root| root.id.clone());
        effects.push(mail(
            request,
            MailKind::SecondDaAdvised,
            only,
            Delegation {
                organization_id,
                change: None,
            },
        ));
    }
    Ok(effects)
}

/// A user leaves: all that they hold at the organization and below ends. A DA is removed as such first (D16).
fn disassociated(request: &Request, facts: &DelegationFacts) -> Result<Vec<Effect>, Refusal> {
    if facts.is_administrator_below {
        return Err(not_allowed(request, "is_administrator"));
    }
    if facts.held.is_empty() {
        return Err(not_allowed(request, "not_associated"));
    }
    let ends = facts.held.iter().map(|held| Effect::EndGrant {
        grant_id: held.grant_id,
    });
    Ok(ends.collect())
}

fn role_removed(request: &Request, facts: &DelegationFacts, role: Role) -> Result<Vec<Effect>, Refusal> {
    if role == Role::CustomerAdministrator && is_appointed(request, facts) {
        return Err(not_allowed(request, "is_administrator"));
    }
    let held: Vec<_> = held_here(request, facts)
        .filter(|held| held.access == Access::Role(role))
        .map(|held| Effect::EndGrant {
            grant_id: held.grant_id,
        })
        .collect();
    if held.is_empty() {
        return Err(not_allowed(request, "not_assigned"));
    }
    Ok(held)
}
