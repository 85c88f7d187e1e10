//! The verification link, and what follows when it is used (R51–R57, D5, D7–D9, D21).

use uuid::Uuid;

use super::{
    Case, Change, Decided, access,
    applying::{back_to_correction, errors, note_applicant, note_site},
    routing::to_review,
};
use crate::{
    directory::{Account, SiteFacts},
    effect::{Effect, LinkPurpose, MailKind, Recipient},
    email_verification::{may_resend, still_counting, within_daily_limit},
    event::{Chosen, Present},
    job::JobKind,
    manual_review,
    refusal::{Reason, Refusal},
    registration::{FieldErrorCode, Link, Registration, ReviewReason, State, VerifiedEmail},
    values::{EmailAddress, OrganizationId},
};

/// Sends the first verification mail (R51), or another after *Back*.
pub(super) fn send_link(case: &Case<'_>, change: Change<'_>) -> Decided {
    if let Err(refusal) = within_daily_limit(&case.registration.verification_mails, case.now, case.rules) {
        return Decided::Refusal(refusal);
    }
    match change
        .registration
        .account
        .as_ref()
        .and_then(|account| account.email.clone())
    {
        Some(address) => wait_for(change, address).decided(),
        // Verification lets nobody through without an address; whoever has lost it since corrects the profile.
        None => change
            .to(State::NeedsCorrection {
                errors: vec![FieldErrorCode::EmailMissing.into()],
            })
            .decided(),
    }
}

/// *Resend verification* (R53, D8): a new link; the old one is void.
///
/// It goes to the address that the profile has by now (R51, D21), or to the same again where there is none any more: what is wrong
/// with a profile is told when the link is used.
pub(super) fn resend_requested(case: &Case<'_>, link: &Link) -> Decided {
    if let Err(refusal) = may_resend(&case.registration.verification_mails, case.now, case.rules) {
        return Decided::Refusal(refusal);
    }
    case.with_present_facts(|case, present| {
        let mut change = case.change();
        let address = present.applicant.account.as_ref().and_then(Account::deliverable_email);
        if address.is_some() {
            note_applicant(&mut change.registration, present);
        }
        wait_for(change, address.unwrap_or_else(|| link.address.clone())).decided()
    })
}

/// Issues a link to `address` and waits for it to be used; an earlier link is void, since the state knows only one.
fn wait_for(mut change: Change<'_>, address: EmailAddress) -> Change<'_> {
    let now = change.case.now;
    let valid_until = now + change.case.rules.link_valid_for;
    let mut mails = still_counting(&change.registration.verification_mails, now);
    mails.push(now);
    change.registration.verification_mails = mails;
    let link = Link {
        id: change.next_effect_id(),
        address,
        valid_until,
    };
    change
        .effect(Effect::IssueLink {
            purpose: LinkPurpose::EmailVerification,
            valid_until: Some(valid_until),
        })
        .to(State::AwaitingEmail { link })
        .mail(MailKind::Verification, Recipient::Applicant)
}

/// The refusal of a token that is not the one waited for. A used one says so (D7).
pub(super) fn refused_token(registration: &Registration, used: Option<Uuid>) -> Refusal {
    let code = match (used, &registration.verified_email) {
        (None, _) => "unknown_token",
        (Some(link), Some(verified)) if verified.link == link => "used_token",
        (Some(_), _) => "replaced_token",
    };
    Refusal::new(Reason::NotAllowed, code)
}

/// A link was used (R54–R57).
pub(super) fn verified(case: &Case<'_>, link: &Link, used: Option<Uuid>) -> Decided {
    if used != Some(link.id) {
        return Decided::Refusal(refused_token(case.registration, used));
    }
    if link.valid_until <= case.now {
        return Decided::Refusal(Refusal::new(Reason::NotAllowed, "expired_token"));
    }
    let Some(present) = &case.facts.present else {
        return Decided::NeedsPresentFacts;
    };
    let errors = errors(case, present);
    if !errors.is_empty() {
        return back_to_correction(case, present, errors);
    }
    let mut change = case.change();
    note_applicant(&mut change.registration, present);
    match &change
        .registration
        .account
        .as_ref()
        .and_then(|account| account.email.clone())
    {
        Some(address) if *address != link.address => address_changed(change, address.clone()),
        Some(_) | None => {
            change.registration.verified_email = Some(VerifiedEmail {
                address: link.address.clone(),
                link: link.id,
                at: case.now,
            });
            completed(case, change, present)
        }
    }
}

/// The profile has another address by now: the link proved the wrong one (D21).
fn address_changed(change: Change<'_>, address: EmailAddress) -> Decided {
    wait_for(change.detail("code", "address_changed"), address).decided()
}

/// The applicant has provided everything. Where an agent chose the organization, it need not be one of the contract's.
fn completed(case: &Case<'_>, mut change: Change<'_>, present: &Present) -> Decided {
    note_site(&mut change.registration, present);
    let selected = case.registration.selected.clone();
    if let (true, Some(organization)) = (case.registration.assessed, &selected) {
        return match &case.facts.chosen {
            None => Decided::NeedsOrganization(organization.clone()),
            Some(Chosen::Site(site)) => access::complete(change, site, organization.clone()),
            // It is gone from the directory: an agent has to choose again.
            Some(Chosen::Unknown) => to_review(change, ReviewReason::AdditionalAssessment).decided(),
        };
    }
    match still_offered(present, selected) {
        Some((site, organization)) if !manual_review::is_asked_for(present, site, &organization, case.rules) => {
            access::complete(change, site, organization)
        }
        Some((site, organization)) => match access::overtaken(change, site, &organization) {
            Ok(decided) => *decided,
            Err(change) => to_review(*change, ReviewReason::AdditionalAssessment).decided(),
        },
        None => {
            // The contract belongs elsewhere by now: the choice was made among the wrong organizations.
            change.registration.selected = None;
            change
                .to(State::Routing)
                .effect(Effect::Run(JobKind::DaRouting))
                .decided()
        }
    }
}

fn still_offered(present: &Present, selected: Option<OrganizationId>) -> Option<(&SiteFacts, OrganizationId)> {
    let site = present.site.as_ref()?;
    let organization = selected?;
    site.chain
        .iter()
        .any(|o| o.id == organization)
        .then_some((site, organization))
}
