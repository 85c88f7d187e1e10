//! Job `da_routing`: who decides on a request (R29–R32, D2, D4)?

use chrono::{DateTime, Utc};

use crate::{
    directory::{Account, AccountStatus, Administrator, Organization},
    values::{AccountId, OrganizationId},
};

/// An appointment as DA, from the directory or made here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appointment {
    /// Who.
    pub account: Account,
    /// Of what.
    pub organization_id: OrganizationId,
    /// Since when: orders the list of DAs (D4). For the directory's, when it was first imported.
    pub since: DateTime<Utc>,
    /// Orders those of one import.
    pub position: i64,
    /// Whether mail to the account's address comes back (D2).
    pub undeliverable: bool,
}

/// The DAs of a request: those appointed for an organization of the site's `chain`, in order of appointment (D4). Who is
/// appointed more than once stands at the place of the earliest, for the highest of the organizations: they cover all below it.
pub fn administrators(chain: &[Organization], mut appointments: Vec<Appointment>) -> Vec<Administrator> {
    appointments.sort_by(|a, b| (a.since, a.position, &a.account.id).cmp(&(b.since, b.position, &b.account.id)));
    let mut found: Vec<(usize, Appointment)> = Vec::new();
    for appointment in appointments {
        let Some(level) = chain.iter().position(|o| o.id == appointment.organization_id) else {
            continue;
        };
        match found
            .iter_mut()
            .find(|(_, earlier)| earlier.account.id == appointment.account.id)
        {
            Some((highest, _)) => *highest = level.min(*highest),
            None => found.push((level, appointment)),
        }
    }
    found
        .into_iter()
        .map(|(level, appointment)| administrator(appointment, &chain[level]))
        .collect()
}

fn administrator(appointment: Appointment, organization: &Organization) -> Administrator {
    let account = appointment.account;
    let email = account.deliverable_email();
    Administrator {
        reachable: account.status == AccountStatus::Active && email.is_some() && !appointment.undeliverable,
        account_id: account.id,
        organization_id: organization.id.clone(),
        name: account.name,
        email,
        address: organization.address.clone(),
    }
}

/// The DA to be asked: the first who can be reached, and who is not the applicant (R32, D2, D3).
pub fn first_reachable<'a>(administrators: &'a [Administrator], applicant: &AccountId) -> Option<&'a Administrator> {
    administrators
        .iter()
        .find(|da| da.reachable && da.account_id != *applicant)
}

/// Whether `account` may decide on a request of `applicant` for a site with these DAs (D3).
pub fn may_decide(account: &AccountId, administrators: &[Administrator], applicant: &AccountId) -> bool {
    account != applicant && administrators.iter().any(|da| da.account_id == *account)
}
