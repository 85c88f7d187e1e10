//! A world of two companies, in which what is decided comes true.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use enrolld_jobs::{
    da_routing::{Appointment, administrators},
    decide::Decision,
    directory::{Account, AccountStatus, ApplicantFacts, Contract, Organization, SiteFacts},
    effect::Effect,
    event::Present,
    registration::Registration,
    values::{AccountId, OrganizationId},
};
use proptest::{prelude::*, sample::select};

use crate::road::{account, account_id, good, organization, organization_id, start};

/// A tree with a site, and an organization of another company, shared by the registrations of two people: what they do changes the other's facts.
pub(super) struct World {
    organizations: BTreeMap<OrganizationId, Organization>,
    profiles: BTreeMap<AccountId, Account>,
    appointments: Vec<Appointment>,
    access: BTreeSet<(AccountId, OrganizationId)>,
    contract_active: bool,
}

impl World {
    pub(super) fn new(with_da: bool) -> Self {
        let organizations = [
            organization("root", None),
            organization("site", Some("root")),
            organization("other", None),
        ];
        let profiles = ["newbie", "rival", "boss"].map(|id| (account_id(id), account(id)));
        let appointments = with_da.then(|| appointment(&profiles[2].1, "site", start(), 0));
        Self {
            organizations: organizations.into_iter().map(|o| (o.id.clone(), o)).collect(),
            profiles: profiles.into_iter().collect(),
            appointments: appointments.into_iter().collect(),
            access: BTreeSet::new(),
            contract_active: true,
        }
    }

    /// The facts as they are, for one who has contract 93988396 for `site`.
    pub(super) fn present(&self, registration: &Registration) -> Present {
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
        let holds = |o: &Organization| self.access.contains(&(registration.account_id.clone(), o.id.clone()));
        Present {
            holds_access: site.chain.iter().any(holds),
            failed_attempts: 0,
            undeliverable: false,
            open_requests: Vec::new(),
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

    fn site_facts(&self, id: &OrganizationId) -> SiteFacts {
        let up = std::iter::successors(self.organizations.get(id), |o| {
            self.organizations.get(o.parent_id.as_ref()?)
        });
        let mut chain: Vec<_> = up.cloned().collect();
        chain.reverse();
        SiteFacts {
            administrators: administrators(&chain, self.current_appointments()),
            chain,
        }
    }

    /// Appointments with their accounts as they are now.
    fn current_appointments(&self) -> Vec<Appointment> {
        let now = |appointment: &Appointment| Appointment {
            account: self.profiles[&appointment.account.id].clone(),
            ..appointment.clone()
        };
        self.appointments.iter().map(now).collect()
    }

    /// Carries out what a decision wants; the first DA of an organization must be the only one to become it so.
    pub(super) fn carry_out(&mut self, decision: &Decision, at: DateTime<Utc>) {
        for effect in &decision.effects {
            match effect {
                Effect::Appoint {
                    account_id,
                    organization_id,
                } => {
                    assert!(
                        self.site_facts(organization_id).administrators.is_empty(),
                        "D5: {organization_id} had a DA already"
                    );
                    let position = i64::try_from(self.appointments.len()).expect("few");
                    let account = &self.profiles[account_id];
                    self.appointments
                        .push(appointment(account, organization_id.as_str(), at, position));
                }
                Effect::Grant {
                    account_id,
                    organization_id,
                    ..
                } => {
                    self.access.insert((account_id.clone(), organization_id.clone()));
                }
                Effect::EndAppointment {
                    account_id,
                    organization_id,
                } => self.appointments.retain(|appointment| {
                    appointment.account.id != *account_id || appointment.organization_id != *organization_id
                }),
                Effect::EndGrant { .. }
                | Effect::AcceptTerms { .. }
                | Effect::RecheckDa(_)
                | Effect::Suppress(_)
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
