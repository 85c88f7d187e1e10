//! What happens when nobody does anything: reminders, time-outs, expiry, escalation (D1, D2, D10, D12).
//!
//! A registration has one timer at a time, for [`Registration::deadline`](crate::registration::Registration::deadline). When it
//! goes off, what is due follows from the state and the time; then the next is set.

use chrono::{DateTime, SubsecRound as _, Utc};

use super::{
    Case, Change, Decided,
    applying::note_site,
    provisioning,
    routing::{ask_next, to_review},
};
use crate::{
    applicant_idle, da_response_timeout,
    effect::{MailKind, Recipient},
    event::Present,
    job::JobKind,
    manual_review,
    registration::{Asked, Registration, ReviewClock, ReviewReason, State},
    rules::Rules,
};

/// The timer that the registration's state asks for: the job that it wakes, and when, in whole milliseconds as the clock is read
/// and the timer kept. A deadline within the millisecond would find the timer too early.
pub(super) fn timer(registration: &Registration, rules: &Rules) -> Option<(JobKind, DateTime<Utc>)> {
    exact_timer(registration, rules).map(|(job, at)| (job, at.trunc_subsecs(3)))
}

/// Whether the moment has come, as the clock is read.
pub(super) fn is_up(at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    at.trunc_subsecs(3) <= now
}

fn exact_timer(registration: &Registration, rules: &Rules) -> Option<(JobKind, DateTime<Utc>)> {
    match &registration.state {
        State::NeedsCorrection { .. }
        | State::AwaitingConfirmation
        | State::AwaitingOrganization
        | State::AwaitingEmail { .. } => {
            let due = applicant_idle::next(registration.notices, rules);
            Some((JobKind::ApplicantIdle, registration.since + due.after()))
        }
        State::AwaitingDa { asked } => {
            let due = da_response_timeout::next(registration.notices, rules);
            let asked_at = asked.last().map_or(registration.since, |asked| asked.at);
            Some((JobKind::DaResponseTimeout, asked_at + due.after()))
        }
        State::InReview { clock, .. } => Some((JobKind::ManualReview, manual_review::next(clock, rules))),
        State::AwaitingInformation { asked_at, .. } => Some((JobKind::ManualReview, *asked_at + rules.answer_within)),
        State::Provisioning { case: open, .. } => {
            let at = provisioning::next(registration, open.as_ref(), rules);
            Some((JobKind::ManualReview, at))
        }
        State::Verifying
        | State::Routing
        | State::Active { .. }
        | State::Denied { .. }
        | State::Rejected { .. }
        | State::Withdrawn
        | State::Expired => None,
    }
}

/// The applicant has done nothing (D12).
pub(super) fn applicant_idle(case: &Case<'_>) -> Decided {
    let elapsed = (case.now - case.registration.since).to_std().unwrap_or_default();
    match applicant_idle::due(elapsed, case.registration.notices, case.rules) {
        applicant_idle::Due::Reminder(_) => {
            let mut change = case.change();
            change.registration.notices += 1;
            change.mail(MailKind::IdleReminder, Recipient::Applicant).decided()
        }
        applicant_idle::Due::Expiry(_) => expired(case),
    }
}

/// The applicant's time is up (D10, D12).
pub(super) fn expired(case: &Case<'_>) -> Decided {
    let change = case.change().to(State::Expired);
    change.mail(MailKind::Expired, Recipient::Applicant).decided()
}

/// The DA who is asked has not answered (D1). A reminder rests on no facts: many may be due at once.
pub(super) fn da_silent(case: &Case<'_>, asked: &[Asked]) -> Decided {
    let Some(last) = asked.last() else {
        return Decided::Ignored;
    };
    let elapsed = (case.now - last.at).to_std().unwrap_or_default();
    match da_response_timeout::due(elapsed, case.registration.notices, case.rules) {
        da_response_timeout::Due::Reminder(_) => {
            let mut change = case.change();
            change.registration.notices =
                da_response_timeout::sent_by(elapsed, change.registration.notices, case.rules);
            let da = last.administrator.account_id.clone();
            change
                .mail_about(&da, MailKind::AccessRequestReminder, Recipient::Account(da.clone()))
                .decided()
        }
        da_response_timeout::Due::Timeout(_) => {
            case.with_present_facts(|case, present| moved_on(case.change(), asked, present))
        }
    }
}

/// Is the DA who is asked still one, and can they be reached (D2)? If not, the request moves on at once.
pub(super) fn rechecked(case: &Case<'_>, asked: &[Asked], present: &Present) -> Decided {
    let administrators = present.site.as_ref().map_or(&[][..], |site| &site.administrators);
    let is_reachable = asked.last().is_some_and(|last| {
        administrators
            .iter()
            .any(|da| da.reachable && da.account_id == last.administrator.account_id)
    });
    if is_reachable {
        return Decided::Ignored;
    }
    moved_on(case.change().detail("code", "da_unreachable"), asked, present)
}

/// To the first reachable DA of the present list who has not been asked, as long as not too many have; then to an agent (D1).
/// Never back to the applicant.
fn moved_on(mut change: Change<'_>, asked: &[Asked], present: &Present) -> Decided {
    note_site(&mut change.registration, present);
    let next = change
        .registration
        .administrators
        .iter()
        .filter(|da| da.reachable && da.account_id != change.registration.account_id)
        .find(|da| {
            !asked
                .iter()
                .any(|asked| asked.administrator.account_id == da.account_id)
        })
        .cloned();
    match next {
        Some(da) if asked.len() < change.case.rules.max_das => ask_next(change, asked, da).decided(),
        Some(_) | None => to_review(change, ReviewReason::DaUnresponsive)
            .mail(MailKind::WithAgent, Recipient::Applicant)
            .decided(),
    }
}

/// The agent has not decided (R64, D10).
pub(super) fn agent_silent(case: &Case<'_>, reason: ReviewReason, clock: &ReviewClock) -> Decided {
    let (mut change, clock) = agent_reminded(case.change(), clock);
    change.registration.state = State::InReview { reason, clock };
    change.decided()
}

/// What is due of an agent's case: the applicant's status mail, the escalation; and the clock afterwards.
pub(super) fn agent_reminded<'a>(mut change: Change<'a>, clock: &ReviewClock) -> (Change<'a>, ReviewClock) {
    let due = manual_review::due_by(clock, change.case.now, change.case.rules);
    if clock.notices < manual_review::UPDATE {
        change = change.mail(MailKind::ReviewUpdate, Recipient::Applicant);
    }
    if due > clock.notices.max(manual_review::UPDATE) {
        change = change.mail(MailKind::ReviewOverdue, Recipient::Supervisor);
    }
    let notices = due.max(clock.notices);
    (change, ReviewClock { notices, ..*clock })
}
