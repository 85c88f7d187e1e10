//! A world of two companies, in which what is decided comes true.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use enrolld_jobs::{
    da_routing::{Appointment, administrators},
    decide::Decision,
    delegation::{CompanyAdministrator, DelegationFacts, Held, Request},
    directory::{Account, AccountStatus, ApplicantFacts, Contract, Organization, SiteFacts},
    effect::{Effect, effect_id},
    event::Present,
    registration::Registration,
    values::{Access, AccountId, EmailAddress, OrganizationId, Role},
};
use proptest::{prelude::*, sample::select};
use uuid::Uuid;

use crate::road::{account, account_id, good, organization, organization_id, start};

/// A tree with a site, and an organization of another company, shared by the registrations of two people: what they do changes the
/// other's facts.
pub(super) struct World {
    organizations: BTreeMap<OrganizationId, Organization>,
    profiles: BTreeMap<AccountId, Account>,
    appointments: Vec<Appointment>,
    grants: BTreeMap<Uuid, Grant>,
    accepted: BTreeSet<(AccountId, OrganizationId)>,
    suppressed: Vec<EmailAddress>,
    contract_active: bool,
    /// Raised whenever somebody becomes DA or gets access, or is and does so no more.
    pub(super) epoch: u64,
    seq: i64,
}

/// Access that was granted.
struct Grant {
    account_id: AccountId,
    organization_id: OrganizationId,
    access: Access,
    end: Option<End>,
}

/// How a grant ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// With its registration.
    Rejected,
    /// By a DA.
    Delegated,
}

impl World {
    pub(super) fn new(first_da: Option<&str>) -> Self {
        let organizations = [
            organization("root", None),
            organization("site", Some("root")),
            organization("other", None),
        ];
        let profiles = ["newbie", "rival", "boss"].map(|id| (account_id(id), account(id)));
        let appointments = first_da.map(|of| appointment(&profiles[2].1, of, start(), 0));
        Self {
            organizations: organizations.into_iter().map(|o| (o.id.clone(), o)).collect(),
            profiles: profiles.into_iter().collect(),
            appointments: appointments.into_iter().collect(),
            grants: BTreeMap::new(),
            accepted: BTreeSet::new(),
            suppressed: Vec::new(),
            contract_active: true,
            epoch: 0,
            seq: 0,
        }
    }

    /// The facts as they are, for one who has contract 93988396 for `site`.
    pub(super) fn present(&self, registration: &Registration, open_requests: Vec<Registration>) -> Present {
        let account = self.profiles.get(&registration.account_id).cloned();
        let contract = (registration.contract_number.as_str() == "93988396").then(|| Contract {
            status: if self.contract_active { "active" } else { "ended" }.to_owned(),
            ..good(vec![]).applicant.contract.expect("a contract")
        });
        let site = registration
            .routed_to
            .clone()
            .unwrap_or_else(|| organization_id("site"));
        let site = self.site_facts(&site);
        let address = account.as_ref().and_then(Account::deliverable_email);
        Present {
            holds_access: site
                .chain
                .iter()
                .any(|o| self.held(&registration.account_id, &o.id).next().is_some()),
            failed_attempts: 0,
            undeliverable: address.is_some_and(|address| self.suppressed.contains(&address)),
            open_requests,
            applicant: ApplicantFacts {
                account,
                covered: contract.is_some() && registration.serial_number.as_str() == "FOC1436Y3XK",
                contract,
            },
            site: Some(site),
        }
    }

    /// The facts of every tree, down to its lowest organization.
    pub(super) fn companies(&self) -> Vec<SiteFacts> {
        ["site", "other"]
            .map(|id| self.site_facts(&organization_id(id)))
            .to_vec()
    }

    /// What a request of a DA rests on.
    pub(super) fn delegation_facts(&self, request: &Request) -> DelegationFacts {
        let id = &request.organization_id;
        if !self.organizations.contains_key(id) {
            return DelegationFacts::default();
        }
        let site = self.site_facts(id);
        let account = &request.account_id;
        let held_at = |ids: Vec<OrganizationId>| -> Vec<Held> {
            let held = ids
                .iter()
                .flat_map(|id| self.held(account, id))
                .map(|(id, grant)| Held {
                    grant_id: *id,
                    organization_id: grant.organization_id.clone(),
                    access: grant.access,
                });
            held.collect()
        };
        let above = site.chain.iter().map(|o| o.id.clone()).filter(|o| o != id).collect();
        let company = self.below(&site.chain[0].id);
        let appointments = self.current_appointments();
        DelegationFacts {
            account: self.profiles.get(account).cloned(),
            held: held_at(self.below(id)),
            held_above: held_at(above),
            is_administrator_below: self.below(id).iter().any(|o| self.is_appointed(account, o)),
            company: appointments
                .into_iter()
                .filter(|appointment| company.contains(&appointment.organization_id))
                .map(|appointment| CompanyAdministrator {
                    is_active: appointment.account.status == AccountStatus::Active,
                    account_id: appointment.account.id,
                    organization_id: appointment.organization_id,
                })
                .collect(),
            has_accepted: self.accepted.contains(&(account.clone(), id.clone())),
            site: Some(site),
        }
    }

    /// From the root of the tree down to the organization.
    fn chain(&self, id: &OrganizationId) -> Vec<Organization> {
        let up = std::iter::successors(self.organizations.get(id), |o| {
            self.organizations.get(o.parent_id.as_ref()?)
        });
        let mut chain: Vec<_> = up.cloned().collect();
        chain.reverse();
        chain
    }

    /// The organization and all below it.
    fn below(&self, id: &OrganizationId) -> Vec<OrganizationId> {
        let is_below = |other: &&OrganizationId| self.chain(other).iter().any(|o| o.id == *id);
        self.organizations.keys().filter(is_below).cloned().collect()
    }

    fn site_facts(&self, id: &OrganizationId) -> SiteFacts {
        let chain = self.chain(id);
        SiteFacts {
            administrators: administrators(&chain, self.current_appointments()),
            chain,
        }
    }

    /// Appointments with their accounts as they are now.
    fn current_appointments(&self) -> Vec<Appointment> {
        let now = |appointment: &Appointment| {
            let account = self.profiles[&appointment.account.id].clone();
            let address = account.deliverable_email();
            Appointment {
                undeliverable: address.is_some_and(|address| self.suppressed.contains(&address)),
                account,
                ..appointment.clone()
            }
        };
        self.appointments.iter().map(now).collect()
    }

    /// What the account holds at just this organization.
    fn held<'a>(
        &'a self,
        account: &'a AccountId,
        id: &'a OrganizationId,
    ) -> impl Iterator<Item = (&'a Uuid, &'a Grant)> {
        self.grants.iter().filter(move |(_, grant)| {
            grant.end.is_none() && grant.account_id == *account && grant.organization_id == *id
        })
    }

    pub(super) fn is_open(&self, grant: Uuid) -> bool {
        self.grants.get(&grant).is_some_and(|grant| grant.end.is_none())
    }

    pub(super) fn is_open_or_ended_by_da(&self, grant: Uuid) -> bool {
        let grant = self.grants.get(&grant);
        grant.is_some_and(|grant| grant.end.is_none() || grant.end == Some(End::Delegated))
    }

    pub(super) fn is_appointed(&self, account: &AccountId, of: &OrganizationId) -> bool {
        let mut appointments = self.appointments.iter();
        appointments.any(|appointment| appointment.account.id == *account && appointment.organization_id == *of)
    }

    pub(super) fn covers(&self, account: &AccountId, id: &OrganizationId) -> bool {
        self.chain(id).iter().any(|o| self.is_appointed(account, &o.id))
    }

    pub(super) fn holds_below(&self, account: &AccountId, id: &OrganizationId) -> bool {
        let below = self.below(id);
        below.iter().any(|id| self.held(account, id).next().is_some())
    }

    pub(super) fn holds_role(&self, account: &AccountId, id: &OrganizationId, role: Role) -> bool {
        self.held(account, id)
            .any(|(_, grant)| grant.access == Access::Role(role))
    }

    /// How many appointments in the company of the organization are of people who can act.
    pub(super) fn active_administrators(&self, id: &OrganizationId) -> usize {
        let company = self.below(&self.chain(id)[0].id);
        self.current_appointments()
            .iter()
            .filter(|appointment| company.contains(&appointment.organization_id))
            .filter(|appointment| appointment.account.status == AccountStatus::Active)
            .count()
    }

    pub(super) fn next_seq(&mut self) -> i64 {
        self.seq += 1;
        self.seq
    }

    /// Carries out what a decision wants; the first DA of an organization must be the only one to become it so.
    pub(super) fn carry_out(&mut self, decision: &Decision, at: DateTime<Utc>) {
        for effect in &decision.effects {
            if let Effect::Appoint { organization_id, .. } = effect {
                let das = self.site_facts(organization_id).administrators;
                assert!(das.is_empty(), "D5: {organization_id} had a DA already");
            }
        }
        let registration = &decision.registration;
        let id = |index| effect_id(&registration.id, registration.version, index);
        self.carry_out_effects(&decision.effects, id, at, End::Rejected);
    }

    /// Carries out what a DA wants.
    pub(super) fn carry_out_delegation(&mut self, effects: &[Effect], id: impl Fn(usize) -> Uuid, at: DateTime<Utc>) {
        self.carry_out_effects(effects, id, at, End::Delegated);
    }

    fn carry_out_effects(&mut self, effects: &[Effect], id: impl Fn(usize) -> Uuid, at: DateTime<Utc>, end: End) {
        for (index, effect) in effects.iter().enumerate() {
            match effect {
                Effect::Appoint {
                    account_id,
                    organization_id,
                } => {
                    assert!(!self.is_appointed(account_id, organization_id), "appointed twice");
                    let position = i64::try_from(self.appointments.len()).expect("few");
                    let account = &self.profiles[account_id];
                    self.appointments
                        .push(appointment(account, organization_id.as_str(), at, position));
                    self.epoch += 1;
                }
                Effect::Grant {
                    account_id,
                    organization_id,
                    access,
                } => {
                    let grant = Grant {
                        account_id: account_id.clone(),
                        organization_id: organization_id.clone(),
                        access: *access,
                        end: None,
                    };
                    assert!(
                        self.grants.insert(id(index), grant).is_none(),
                        "every granting has a new id"
                    );
                    self.epoch += 1;
                }
                Effect::EndAppointment {
                    account_id,
                    organization_id,
                } => {
                    self.appointments.retain(|appointment| {
                        appointment.account.id != *account_id || appointment.organization_id != *organization_id
                    });
                    // Whoever becomes DA anew accepts the terms anew.
                    self.accepted.remove(&(account_id.clone(), organization_id.clone()));
                    self.epoch += 1;
                }
                Effect::EndGrant { grant_id } => {
                    let grant = self.grants.get_mut(grant_id).expect("only what was granted ends");
                    grant.end.get_or_insert(end);
                    self.epoch += 1;
                }
                Effect::AcceptTerms {
                    account_id,
                    organization_id,
                } => {
                    let key = (account_id.clone(), organization_id.clone());
                    assert!(self.accepted.insert(key), "D15: accepted twice");
                }
                Effect::Suppress(address) => self.suppressed.push(address.clone()),
                Effect::RecheckDa(_)
                | Effect::Alert(_)
                | Effect::Run(_)
                | Effect::Wake { .. }
                | Effect::NoteFailedAttempt(_)
                | Effect::Mail(_)
                | Effect::IssueLink { .. } => {}
            }
        }
    }

    pub(super) fn changes(&mut self, change: &WorldChange) {
        match change {
            WorldChange::None => {}
            WorldChange::Contract(active) => self.contract_active = *active,
            WorldChange::Email(id, email) => {
                self.profiles.get_mut(&account_id(id)).expect("a profile").email = Some((*email).to_owned());
            }
            WorldChange::Status(id, status) => {
                self.profiles.get_mut(&account_id(id)).expect("a profile").status = *status;
            }
        }
    }
}
fn appointment(account: &Account, of: &str, since: DateTime<Utc>, position: i64) -> Appointment {
    Appointment {
        account: account.clone(),
        organization_id: organization_id(of),
        since,
        position,
        undeliverable: false,
    }
}

#[derive(Debug, Clone)]
pub(super) enum WorldChange {
    None,
    Contract(bool),
    Email(&'static str, &'static str),
    Status(&'static str, AccountStatus),
}

pub(super) fn world_change() -> impl Strategy<Value = WorldChange> {
    let who = || select(vec!["newbie", "rival", "boss"]);
    prop_oneof![
        20 => Just(WorldChange::None),
        1 => prop::bool::weighted(0.8).prop_map(WorldChange::Contract),
        1 => (who(), select(vec!["a@acme.example", "b@acme.example", "c@yahoo.de"]))
            .prop_map(|(id, email)| WorldChange::Email(id, email)),
        1 => (who(), select(vec![AccountStatus::Active, AccountStatus::Active, AccountStatus::Inactive]))
            .prop_map(|(id, status)| WorldChange::Status(id, status)),
    ]
}
