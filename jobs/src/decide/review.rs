//! The agent's part: appoint, route, reject, ask; and the applicant's answer (R44, R45, R62–R65, D10).

use super::{
    Case, Decided, access,
    applying::{back_to_correction, errors, note_applicant},
    email,
    routing::{ask, to_review_with},
};
use crate::{
    cloud_event::ReviewDecision,
    da_routing::first_reachable,
    directory::SiteFacts,
    effect::{MailKind, Recipient},
    event::Chosen,
    manual_review,
    refusal::{Reason, Refusal},
    registration::{Registration, ReviewClock, ReviewReason, Site, State},
    values::OrganizationId,
};

/// An agent decided on a case, which may be waiting for the applicant's answer.
pub(super) fn decided(case: &Case<'_>, decision: &ReviewDecision, reason: Option<&String>, open: &Open) -> Decided {
    match decision {
        ReviewDecision::Appoint { organization_id } => appointed(case, organization_id, reason),
        ReviewDecision::Route { organization_id } => routed(case, organization_id, reason),
        ReviewDecision::Reject => case
            .change()
            .detail("decision", "reject")
            .because(reason)
            .to(State::Rejected {
                reason: reason.cloned(),
            })
            .mail(MailKind::Rejected, Recipient::Applicant)
            .decided(),
        ReviewDecision::Ask { question } => case
            .change()
            .detail("decision", "ask")
            .because(reason)
            .to(State::AwaitingInformation {
                reason: open.reason,
                question: question.clone(),
                asked_at: case.now,
                clock: open.clock,
            })
            .mail(MailKind::Question, Recipient::Applicant)
            .decided(),
    }
}

/// What an open case is about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Open {
    pub(super) reason: ReviewReason,
    pub(super) clock: ReviewClock,
}

/// The applicant becomes DA of the organization that the agent chose; first they prove their address, if they have not yet.
fn appointed(case: &Case<'_>, organization: &OrganizationId, reason: Option<&String>) -> Decided {
    let Some(present) = &case.facts.present else {
        return Decided::NeedsPresentFacts;
    };
    let chosen = match chosen(case, organization) {
        Ok(chosen) => chosen,
        Err(decided) => return *decided,
    };
    let errors = errors(case, present);
    if !errors.is_empty() {
        return back_to_correction(case, present, errors);
    }
    let mut change = case.change().detail("decision", "appoint").because(reason);
    note_applicant(&mut change.registration, present);
    change.registration.selected = Some(organization.clone());
    change.registration.assessed = true;
    let address = change
        .registration
        .account
        .as_ref()
        .and_then(|account| account.email.as_ref());
    let is_proved = change
        .registration
        .verified_email
        .as_ref()
        .is_some_and(|proved| Some(&proved.address) == address);
    if is_proved {
        access::complete(change, chosen, organization.clone())
    } else {
        email::send_link(case, change.detail("organization_id", organization.as_str()))
    }
}

/// The request goes to the DAs of the organization that the agent chose; it counts as the site from now on (D3, D20).
fn routed(case: &Case<'_>, organization: &OrganizationId, reason: Option<&String>) -> Decided {
    let chosen = match chosen(case, organization) {
        Ok(chosen) => chosen,
        Err(decided) => return *decided,
    };
    let Some(da) = first_reachable(&chosen.administrators, &case.registration.account_id).cloned() else {
        let refusal = Refusal::new(Reason::NotAllowed, "no_reachable_da");
        return Decided::Refusal(refusal.with("organization_id", organization.as_str()));
    };
    let mut change = case.change().detail("decision", "route").because(reason);
    count_as_site(&mut change.registration, organization, chosen);
    ask(change.detail("organization_id", organization.as_str()), da).decided()
}

/// From now on the organization that an agent chose counts as the site (D3, D20).
pub(super) fn count_as_site(registration: &mut Registration, organization: &OrganizationId, chosen: &SiteFacts) {
    registration.routed_to = Some(organization.clone());
    registration.site = Some(Site {
        organization_id: organization.clone(),
        chain: chosen.chain.clone(),
    });
    registration.administrators.clone_from(&chosen.administrators);
}

/// The organization that the agent chose, with its DAs.
fn chosen<'a>(case: &Case<'a>, organization: &OrganizationId) -> Result<&'a SiteFacts, Box<Decided>> {
    match &case.facts.chosen {
        None => Err(Box::new(Decided::NeedsOrganization(organization.clone()))),
        Some(Chosen::Unknown) => {
            let refusal = Refusal::new(Reason::InvalidData, "organization_unknown");
            Err(Box::new(Decided::Refusal(
                refusal.with("organization_id", organization.as_str()),
            )))
        }
        Some(Chosen::Site(site)) => Ok(site),
    }
}

/// The applicant has answered: the agent's clock goes on.
pub(super) fn answered(case: &Case<'_>, answer: &str, open: &Open) -> Decided {
    let clock = manual_review::resumed(&open.clock, case.registration.since, case.now);
    to_review_with(case.change().detail("answer", answer), open.reason, clock).decided()
}
