//! Who decides, and the applicant's part in it (R29–R36, R41–R44).

use super::{
    Case, Change, Decided,
    applying::{note_site, only_request},
    email,
};
use crate::{
    da_routing::first_reachable,
    directory::Administrator,
    effect::{Effect, LinkPurpose, MailKind, Recipient},
    event::Present,
    job::JobKind,
    refusal::{Reason, Refusal},
    registration::{Asked, ReviewClock, ReviewReason, State},
    values::OrganizationId,
};

/// The organizations and DAs have been looked up (R29, D2, D18).
pub(super) fn routed(case: &Case<'_>, present: &Present) -> Decided {
    let mut change = case.change();
    note_site(&mut change.registration, present);
    let change = match only_request(change, present) {
        Ok(change) => change,
        Err(refused) => return refused.decided(),
    };
    let registration = &change.registration;
    if registration.administrators.is_empty() {
        return change.to(State::AwaitingOrganization).decided();
    }
    match first_reachable(&registration.administrators, &registration.account_id) {
        Some(_) => change.to(State::AwaitingConfirmation).decided(),
        None => without_reachable_da(change).decided(),
    }
}

/// *Confirm* was pressed: only now is anything sent to a DA (R34).
pub(super) fn confirmed(case: &Case<'_>, present: &Present) -> Decided {
    let mut change = case.change();
    note_site(&mut change.registration, present);
    let Some(da) = first_reachable(&change.registration.administrators, &change.registration.account_id).cloned()
    else {
        if change.registration.administrators.is_empty() {
            // The DA who was shown is none any more.
            return change
                .to(State::Routing)
                .effect(Effect::Run(JobKind::DaRouting))
                .decided();
        }
        return without_reachable_da(change).decided();
    };
    ask(change, da).decided()
}

/// The first time that a DA is asked: the request to them (R31, R32), a notice to the others (R4).
pub(super) fn ask(change: Change<'_>, da: Administrator) -> Change<'_> {
    let asked = da.account_id.clone();
    let others: Vec<_> = change
        .registration
        .administrators
        .iter()
        .map(|other| other.account_id.clone())
        .filter(|id| *id != asked && *id != change.registration.account_id)
        .collect();
    let change = asked_next(change, Vec::new(), da);
    others.into_iter().fold(change, |change, id| {
        change.mail_about(&asked, MailKind::AccessRequestNotice, Recipient::Account(id))
    })
}

/// The next DA is asked, after others who did not answer; they may still decide (D1).
pub(super) fn ask_next<'a>(change: Change<'a>, asked: &[Asked], da: Administrator) -> Change<'a> {
    asked_next(change, asked.to_vec(), da)
}

/// `da` is asked, after those of `asked`, with a link to decide by.
fn asked_next(mut change: Change<'_>, mut asked: Vec<Asked>, da: Administrator) -> Change<'_> {
    let id = da.account_id.clone();
    // Another wait, perhaps in the same state.
    change.registration.notices = 0;
    let link = change.case.rules.decisions_by_link.then(|| change.next_effect_id());
    if link.is_some() {
        let purpose = LinkPurpose::Decision(id.clone());
        change = change.effect(Effect::IssueLink {
            purpose,
            valid_until: None,
        });
    }
    asked.push(Asked {
        administrator: da,
        at: change.case.now,
        link,
    });
    change
        .detail("da_account_id", id.as_str())
        .to(State::AwaitingDa { asked })
        .mail_about(&id, MailKind::AccessRequest, Recipient::Account(id.clone()))
}

/// There are DAs, but none can be reached: to an agent at once (D2).
pub(super) fn without_reachable_da(change: Change<'_>) -> Change<'_> {
    to_review(change, ReviewReason::NoReachableDa).mail(MailKind::WithAgent, Recipient::Applicant)
}

/// An agent takes over (R62, D10).
pub(super) fn to_review(change: Change<'_>, reason: ReviewReason) -> Change<'_> {
    let clock = ReviewClock {
        started: change.case.now,
        notices: 0,
    };
    to_review_with(change, reason, clock)
}

/// As [`to_review`], with a clock that has run before.
pub(super) fn to_review_with(change: Change<'_>, reason: ReviewReason, clock: ReviewClock) -> Change<'_> {
    change
        .detail("review_reason", reason.as_str())
        .to(State::InReview { reason, clock })
        .mail(MailKind::ReviewCase, Recipient::Agents)
}

/// An organization was chosen, or none (R41, R44).
pub(super) fn organization_selected(case: &Case<'_>, choice: Option<&OrganizationId>) -> Decided {
    let mut change = case.change();
    let Some(organization) = choice else {
        change.registration.selected = None;
        change.registration.assessed = false;
        return to_review(change, ReviewReason::NoneOfTheAbove).decided();
    };
    let chain = case.registration.site.as_ref().map_or(&[][..], |site| &site.chain);
    if !chain.iter().any(|offered| offered.id == *organization) {
        let offered: Vec<_> = chain.iter().map(|o| o.id.as_str()).collect();
        let refusal = Refusal::new(Reason::InvalidData, "organization_not_offered").with("offered", offered);
        return Decided::Refusal(refusal);
    }
    // What an agent settled is their own choice (D9); another is assessed as any.
    change.registration.assessed &= case.registration.selected.as_ref() == Some(organization);
    change.registration.selected = Some(organization.clone());
    let change = change.detail("organization_id", organization.as_str());
    if let State::AwaitingEmail { .. } = case.registration.state {
        // Another choice does not change what the link proves: it stays valid, and nobody can have mail sent by choosing.
        return change.decided();
    }
    email::send_link(case, change)
}
