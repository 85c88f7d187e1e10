//! From the first event to a verified request, and out again (R7–R28, R19).

use chrono::{DateTime, Utc};
use serde_json::Map;

use super::{Case, Change, Decided, Decision, TimelineEntry, decide};
use crate::{
    effect::{Effect, MailKind, Recipient},
    event::{EnteredNumbers, Event, Present},
    job::JobKind,
    refusal::{Reason, Refusal},
    registration::{Applicant, FieldError, FieldErrorCode, Registration, Site, State},
    values::{AccountId, RegistrationId},
    verification::verify,
};

/// Decides on an event for an id that has no registration: `submitted` begins one, everything else is refused.
pub fn submit(id: &RegistrationId, event: &Event, now: DateTime<Utc>) -> Decided {
    let Event::Submitted { account_id, numbers } = event else {
        return Decided::Refusal(
            Refusal::new(Reason::UnknownRegistration, "unknown_registration").with("registration", id.as_str()),
        );
    };
    let registration = new_registration(id, account_id, numbers, now);
    let state = registration.state.name();
    Decided::Decision(Box::new(Decision {
        registration,
        effects: vec![Effect::Run(JobKind::Verification)],
        entry: TimelineEntry::new(now, event, account_id.to_string(), Map::new(), state),
        rests_on_tree: false,
        supersedes: Vec::new(),
        rests_on: Vec::new(),
    }))
}

fn new_registration(
    id: &RegistrationId,
    account_id: &AccountId,
    numbers: &EnteredNumbers,
    now: DateTime<Utc>,
) -> Registration {
    Registration {
        id: id.clone(),
        account_id: account_id.clone(),
        version: 1,
        step: 1,
        created_at: now,
        since: now,
        account: None,
        contract_number: numbers.contract.clone(),
        serial_number: numbers.serial.clone(),
        site: None,
        administrators: Vec::new(),
        selected: None,
        verification_mails: Vec::new(),
        verified_email: None,
        routed_to: None,
        assessed: false,
        notices: 0,
        deadline: None,
        dead_jobs: Vec::new(),
        superseded_by: None,
        state: State::Verifying,
        unknown: serde_json::Map::new(),
    }
}

/// Another try (R23, R28, R43): voids link, choice and confirmation.
pub(super) fn resubmitted(case: &Case<'_>, numbers: &EnteredNumbers) -> Decided {
    let mut change = case.change();
    let registration = &mut change.registration;
    registration.contract_number = numbers.contract.clone();
    registration.serial_number = numbers.serial.clone();
    registration.account = None;
    registration.site = None;
    registration.administrators = Vec::new();
    registration.selected = None;
    registration.verified_email = None;
    registration.routed_to = None;
    registration.assessed = false;
    change
        .to(State::Verifying)
        .effect(Effect::Run(JobKind::Verification))
        .decided()
}

/// The applicant gives up (R19).
pub(super) fn withdrawn(case: &Case<'_>, reason: Option<&String>) -> Decided {
    case.change().because(reason).to(State::Withdrawn).decided()
}

/// Verification has been carried out on the present facts (R22, R27).
pub(super) fn verified(case: &Case<'_>, present: &Present) -> Decided {
    let errors = errors(case, present);
    let mut change = case.change();
    note_applicant(&mut change.registration, present);
    if !errors.is_empty() {
        let failed = Effect::NoteFailedAttempt(case.registration.account_id.clone());
        return to_correction(change, errors).effect(failed).decided();
    }
    note_site(&mut change.registration, present);
    match only_request(change, present) {
        Ok(change) => change
            .to(State::Routing)
            .effect(Effect::Run(JobKind::DaRouting))
            .decided(),
        Err(refused) => refused.decided(),
    }
}

/// One account has one open request for a company (D18): the change takes the place of the others, or else, as `Err`, asks for a
/// correction. It is looked at twice, when a request is verified and when it is routed: of two that were verified at the same
/// moment, neither seeing the other, at least one sees it then.
pub(super) fn only_request<'a>(mut change: Change<'a>, present: &Present) -> Result<Change<'a>, Box<Change<'a>>> {
    let (held, idle): (Vec<_>, Vec<_>) = same_company(&change.registration, present)
        .into_iter()
        .partition(|other| is_with_others(&other.state));
    if let Some(held) = held.first() {
        let change = change.detail("already_requested", held.id.as_str());
        let refused = to_correction(change, vec![FieldErrorCode::AlreadyRequested.into()]);
        return Err(Box::new(refused));
    }
    for other in idle {
        let superseded = supersede(&change.case, other);
        change.supersedes.extend(superseded);
    }
    // Each of them may be verified at the same moment, and then it is the one that this request takes the place of.
    let is_replaced = |other: &&Registration| change.supersedes.iter().any(|old| old.registration.id == other.id);
    let others = present.open_requests.iter().filter(|other| !is_replaced(other));
    change.rests_on = others.map(|other| (other.id.clone(), other.version)).collect();
    Ok(change)
}

/// The account's other open requests for the same company, as far as they have been verified (D18).
fn same_company<'a>(registration: &Registration, present: &'a Present) -> Vec<&'a Registration> {
    let company = registration.company();
    present
        .open_requests
        .iter()
        .filter(|other| company.is_some() && other.company() == company)
        .collect()
}

/// Whether a request is in other hands than its applicant's: then a newer one must not end it (D18). An agent's question does not
/// take a case away from the agent.
const fn is_with_others(state: &State) -> bool {
    match state {
        State::AwaitingDa { .. }
        | State::InReview { .. }
        | State::AwaitingInformation { .. }
        | State::Provisioning { .. } => true,
        State::Verifying
        | State::NeedsCorrection { .. }
        | State::Routing
        | State::AwaitingConfirmation
        | State::AwaitingOrganization
        | State::AwaitingEmail { .. }
        | State::Active { .. }
        | State::Denied { .. }
        | State::Rejected { .. }
        | State::Withdrawn
        | State::Expired => false,
    }
}

/// What becomes of an older request that a newer one takes the place of; `None` if nothing does.
fn supersede(case: &Case<'_>, other: &Registration) -> Option<Decision> {
    let event = Event::Superseded {
        by: case.registration.id.clone(),
    };
    match decide(other, &event, case.facts, case.now, case.rules) {
        Decided::Decision(decision) => Some(*decision),
        Decided::Refusal(_) | Decided::Ignored | Decided::NeedsPresentFacts | Decided::NeedsOrganization(_) => None,
    }
}

/// A newer request of the account takes the place of this one (D18).
pub(super) fn superseded(case: &Case<'_>, by: &RegistrationId) -> Decided {
    let mut change = case.change().detail("superseded_by", by.as_str());
    change.registration.superseded_by = Some(by.clone());
    change.to(State::Withdrawn).decided()
}

/// Verification once more, before access is given (D21): everything that is wrong on the present facts.
pub(super) fn errors(case: &Case<'_>, present: &Present) -> Vec<FieldError> {
    verify(
        case.registration,
        present,
        &case.rules.personal_domains,
        case.now.date_naive(),
    )
}

/// Verification once more has failed (D21): the applicant is told, and corrects.
pub(super) fn back_to_correction(case: &Case<'_>, present: &Present, errors: Vec<FieldError>) -> Decided {
    let mut change = case.change();
    note_applicant(&mut change.registration, present);
    to_correction(change, errors)
        .mail(MailKind::CorrectionNeeded, Recipient::Applicant)
        .decided()
}

pub(super) fn to_correction(change: Change<'_>, errors: Vec<FieldError>) -> Change<'_> {
    let codes = serde_json::to_value(errors.iter().map(|e| e.code).collect::<Vec<_>>()).unwrap_or_default();
    change
        .detail("field_errors", codes)
        .to(State::NeedsCorrection { errors })
}

/// Keeps what the profile shows (R22).
pub(super) fn note_applicant(registration: &mut Registration, present: &Present) {
    registration.account = present.applicant.account.as_ref().map(|account| Applicant {
        name: account.name.clone(),
        email: account.deliverable_email(),
        locale: account.language(),
    });
}

/// Keeps where the contract belongs, and who its DAs are.
pub(super) fn note_site(registration: &mut Registration, present: &Present) {
    registration.site = present.site.as_ref().and_then(|site| {
        Some(Site {
            organization_id: site.chain.last()?.id.clone(),
            chain: site.chain.clone(),
        })
    });
    registration.administrators = present
        .site
        .as_ref()
        .map(|site| site.administrators.clone())
        .unwrap_or_default();
}
