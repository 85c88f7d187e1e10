//! What DAs do with the access of others, drawn at random and checked against the world (R58, D3, D4, D16).

use chrono::{DateTime, Utc};
use enrolld_jobs::{
    delegation::{Action, Request, delegate},
    effect::{DelegationChange, Effect, MailKind, Recipient, event_effect_id},
    values::Role,
};
use proptest::{prelude::*, sample::select};

use super::{shared::Seen, world::World};
use crate::road::{account_id, organization_id};

/// A request as it is drawn.
#[derive(Debug, Clone)]
pub(super) struct DrawnRequest {
    by: &'static str,
    account: &'static str,
    organization: &'static str,
    /// `None`: the terms are accepted.
    change: Option<DelegationChange>,
}

pub(super) fn drawn_request() -> impl Strategy<Value = DrawnRequest> {
    let role = || {
        select(vec![
            Role::CustomerAdministrator,
            Role::CustomerUser,
            Role::ApiDeveloper,
        ])
    };
    let change = prop_oneof![
        1 => Just(None),
        3 => Just(Some(DelegationChange::AdministratorAdded)),
        4 => Just(Some(DelegationChange::AdministratorRemoved)),
        1 => Just(Some(DelegationChange::UserAssociated)),
        2 => Just(Some(DelegationChange::UserDisassociated)),
        1 => role().prop_map(|role| Some(DelegationChange::RoleAssigned(role))),
        1 => role().prop_map(|role| Some(DelegationChange::RoleRemoved(role))),
    ];
    let who = || select(vec!["boss", "boss", "newbie", "rival", "nobody"]);
    let organization = select(vec!["root", "root", "site", "other", "nowhere"]);
    (who(), who(), organization, change).prop_map(|(by, account, organization, change)| DrawnRequest {
        by,
        account,
        organization,
        change,
    })
}

impl DrawnRequest {
    fn request(&self) -> Request {
        let account = account_id(self.account);
        let by = match self.change {
            Some(_) => account_id(self.by),
            None => account.clone(),
        };
        Request {
            account_id: account,
            organization_id: organization_id(self.organization),
            by,
            action: self.change.map_or(Action::AcceptTerms, Action::Change),
            event: "delegation",
        }
    }

    /// Decides on it, checks what it comes to, and carries it out.
    pub(super) fn happens(&self, world: &mut World, now: DateTime<Utc>, seen: &mut Seen) -> Vec<Effect> {
        let request = self.request();
        let facts = world.delegation_facts(&request);
        let effects = match delegate(&request, &facts) {
            Ok(effects) => effects,
            Err(refusal) => {
                assert!(!refusal.code().is_empty());
                if refusal.code() == "last_administrator" {
                    seen.note("last administrator");
                }
                return Vec::new();
            }
        };
        seen.note("delegated");
        let (account, organization) = (&request.account_id, &request.organization_id);
        if let Some(change) = self.change {
            assert!(world.covers(&request.by, organization), "D3, D4: {request:?}");
            let gives = matches!(
                change,
                DelegationChange::AdministratorAdded
                    | DelegationChange::UserAssociated
                    | DelegationChange::RoleAssigned(_)
            );
            assert!(!gives || request.by != request.account_id, "D3: {request:?}");
            let told = |effect: &&Effect| {
                matches!(effect, Effect::Mail(mail)
                    if mail.kind == MailKind::DelegationChanged && mail.to == Recipient::Account(account.clone()))
            };
            assert_eq!(effects.iter().filter(told).count(), 1, "{request:?}");
        }
        let active_before = world.active_administrators(organization);
        let seq = world.next_seq();
        world.carry_out_delegation(&effects, |index| event_effect_id(seq, index), now);
        match self.change {
            None => {}
            Some(DelegationChange::AdministratorAdded) => assert!(world.is_appointed(account, organization)),
            Some(DelegationChange::AdministratorRemoved) => {
                assert!(!world.is_appointed(account, organization));
                // D16: who cannot act is no successor, so somebody active is left in any case.
                assert!(
                    world.active_administrators(organization) > 0,
                    "D16: {active_before} before"
                );
            }
            Some(DelegationChange::UserDisassociated) => assert!(!world.holds_below(account, organization)),
            Some(DelegationChange::UserAssociated) => assert!(world.holds_below(account, organization)),
            Some(DelegationChange::RoleAssigned(role)) => assert!(world.holds_role(account, organization, role)),
            Some(DelegationChange::RoleRemoved(role)) => assert!(!world.holds_role(account, organization, role)),
        }
        effects
    }
}
