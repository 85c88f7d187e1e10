//! Access is brought to every target, and what happens when that takes long or fails (R38, R39, R40, R60, D11).

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Case, Change, Decided, timers};
use crate::{
    cloud_event::ReviewDecision,
    effect::{Alert, AlertCode, Effect, MailKind, Recipient, sync_id},
    event::Synced,
    job::JobKind,
    manual_review,
    refusal::{Reason, Refusal},
    registration::{Granted, PendingSync, ProvisioningCase, Registration, ReviewClock, ReviewReason, State},
    rules::Rules,
    values::AccountId,
};

/// Access was granted: it is set up at every target, or there at once without any (contract, section 5). The grants are among the
/// change's effects already.
pub(super) fn begin(change: Change<'_>, granted: Granted, by: Option<AccountId>) -> Change<'_> {
    let grants = change.grant_ids();
    let pending: Vec<_> = grants
        .iter()
        .flat_map(|grant_id| {
            change.case.rules.targets.iter().map(|target| PendingSync {
                grant_id: *grant_id,
                target: target.clone(),
                refused: false,
            })
        })
        .collect();
    if pending.is_empty() {
        return active(change, granted, by);
    }
    change.to(State::Provisioning {
        granted,
        by,
        grants,
        pending,
        case: None,
    })
}

/// Access is everywhere: the registration is complete, and its applicant is told: of what a DA granted (R37), or by the three mails of
/// a new DA (R66, R67, R68, R69).
fn active(change: Change<'_>, granted: Granted, by: Option<AccountId>) -> Change<'_> {
    let appointed = granted.appointed;
    let change = change.to(State::Active { granted });
    match by {
        Some(da) => change.mail_about(&da, MailKind::AccessApproved, Recipient::Applicant),
        None if appointed => change
            .mail(MailKind::Welcome, Recipient::Applicant)
            .mail(MailKind::CustomerAdministrator, Recipient::Applicant)
            .mail(MailKind::DaTerms, Recipient::Applicant),
        None => change,
    }
}

/// A target has confirmed a grant, or refuses it for good (D11); or has it no more, since a DA has taken it back (R58).
pub(super) fn synced(case: &Case<'_>, grant_id: Uuid, target: &str, outcome: &Synced) -> Decided {
    let State::Provisioning {
        granted,
        by,
        grants,
        pending,
        case: open,
    } = &case.registration.state
    else {
        return Decided::Ignored;
    };
    let is_meant = |sync: &PendingSync| sync.grant_id == grant_id && sync.target == target;
    if !pending.iter().any(is_meant) {
        return Decided::Ignored;
    }
    let mut change = case.change().detail("target", target);
    let (mut grants, mut pending) = (grants.clone(), pending.clone());
    match outcome {
        Synced::Confirmed => {
            pending.retain(|sync| !is_meant(sync));
            // Its job may have been dead, and has succeeded (D22).
            let job = sync_id(grant_id, target);
            change.registration.dead_jobs.retain(|dead| *dead != job);
        }
        Synced::Refused { status } => {
            let status = *status;
            change = change.detail("status", status);
            if pending.iter().any(|sync| is_meant(sync) && !sync.refused) {
                change = change.effect(Effect::Alert(refusal_alert(case, grant_id, target, status)));
            }
            pending
                .iter_mut()
                .filter(|sync| is_meant(sync))
                .for_each(|sync| sync.refused = true);
        }
        Synced::TakenBack { by } => {
            // Whatever other targets still have of it goes as well; nobody waits for that.
            grants.retain(|grant| *grant != grant_id);
            pending.retain(|sync| sync.grant_id != grant_id);
            if grants.is_empty() {
                let denied = State::Denied {
                    by: by.clone(),
                    reason: None,
                };
                return change
                    .to(denied)
                    .mail_about(by, MailKind::AccessDenied, Recipient::Applicant)
                    .decided();
            }
        }
    }
    if pending.is_empty() {
        return active(change, granted.clone(), by.clone()).decided();
    }
    let is_refused = pending.iter().any(|sync| sync.refused);
    let (next, is_new) = next_case(case, *open, is_refused);
    let state = State::Provisioning {
        granted: granted.clone(),
        by: by.clone(),
        grants,
        pending,
        case: next,
    };
    match next {
        // Another case is another wait; progress is not.
        Some(opened) if is_new => change
            .detail("review_reason", opened.reason.as_str())
            .to(state)
            .mail(MailKind::ReviewCase, Recipient::Agents)
            .decided(),
        _ if next.is_none() && open.is_some() => change.to(state).decided(),
        _ => {
            change.registration.state = state;
            change.decided()
        }
    }
}

/// The case that is open once something is refused or not: a refusal opens one at once; when what was refused is there after all,
/// it closes by itself, unless access is overdue. Whether it is another than before.
fn next_case(case: &Case<'_>, open: Option<ProvisioningCase>, is_refused: bool) -> (Option<ProvisioningCase>, bool) {
    let reason = open.map(|open| open.reason);
    match (is_refused, reason) {
        (true, Some(ReviewReason::ProvisioningFailed)) => (open, false),
        (true, _) => (Some(opened(case, ReviewReason::ProvisioningFailed)), true),
        (false, Some(ReviewReason::ProvisioningFailed)) if is_overdue(case) => {
            (Some(opened(case, ReviewReason::ProvisioningOverdue)), true)
        }
        (false, Some(ReviewReason::ProvisioningFailed)) => (None, false),
        (false, _) => (open, false),
    }
}

/// A case that begins now.
const fn opened(case: &Case<'_>, reason: ReviewReason) -> ProvisioningCase {
    ProvisioningCase {
        reason,
        clock: ReviewClock {
            started: case.now,
            notices: 0,
        },
    }
}

/// The applicant has been told that access is overdue, whatever becomes of the case (R40).
const TOLD: u32 = 1;

fn overdue_at(registration: &Registration, rules: &Rules) -> DateTime<Utc> {
    registration.since + rules.provisioning_within
}

fn is_overdue(case: &Case<'_>) -> bool {
    timers::is_up(overdue_at(case.registration, case.rules), case.now)
}

/// When something is due next: the applicant is told once that access is overdue, though a target may have refused before, and agents
/// have their clock for the case (D10, D11).
pub(super) fn next(registration: &Registration, open: Option<&ProvisioningCase>, rules: &Rules) -> DateTime<Utc> {
    let overdue = overdue_at(registration, rules);
    match open.map(|open| manual_review::next(&open.clock, rules)) {
        None => overdue,
        Some(review) if registration.notices < TOLD => review.min(overdue),
        Some(review) => review,
    }
}

/// The time is up: access is overdue (R40), or the agents' time for the case is (D10).
pub(super) fn late(case: &Case<'_>) -> Decided {
    let State::Provisioning {
        granted,
        by,
        grants,
        pending,
        case: open,
    } = &case.registration.state
    else {
        return Decided::Ignored;
    };
    let with = |case| State::Provisioning {
        granted: granted.clone(),
        by: by.clone(),
        grants: grants.clone(),
        pending: pending.clone(),
        case: Some(case),
    };
    let mut change = case.change();
    if is_overdue(case) && change.registration.notices < TOLD {
        change.registration.notices = TOLD;
        change = change.mail(MailKind::ProvisioningOverdue, Recipient::Applicant);
    }
    let Some(open) = open else {
        let overdue = opened(case, ReviewReason::ProvisioningOverdue);
        return change
            .detail("review_reason", overdue.reason.as_str())
            .to(with(overdue))
            .mail(MailKind::ReviewCase, Recipient::Agents)
            .decided();
    };
    if timers::is_up(manual_review::next(&open.clock, case.rules), case.now) {
        let (reminded, clock) = timers::agent_reminded(change, &open.clock);
        change = reminded;
        change.registration.state = with(ProvisioningCase { clock, ..*open });
    }
    change.decided()
}

/// An agent decided on access that is not there: they may reject, which takes back what was granted; anything else must wait (D11).
pub(super) fn review_decided(case: &Case<'_>, decision: &ReviewDecision, reason: Option<&String>) -> Decided {
    match decision {
        ReviewDecision::Reject => case.with_present_facts(|case, _| rejected(case, reason)),
        ReviewDecision::Appoint { .. } | ReviewDecision::Route { .. } | ReviewDecision::Ask { .. } => {
            let refusal = Refusal::new(Reason::NotAllowed, "only_reject");
            Decided::Refusal(refusal.with("state", case.registration.state.name().as_str()))
        }
    }
}

fn rejected(case: &Case<'_>, reason: Option<&String>) -> Decided {
    let State::Provisioning { granted, grants, .. } = &case.registration.state else {
        return Decided::Ignored;
    };
    let change = case.change().resting_on_tree().detail("decision", "reject");
    let mut change = change.because(reason);
    if granted.appointed {
        let account_id = case.registration.account_id.clone();
        change = change
            .effect(Effect::EndAppointment {
                account_id: account_id.clone(),
                organization_id: granted.organization_id.clone(),
            })
            .effect(Effect::RecheckDa(account_id));
    }
    for grant_id in grants {
        change = change.effect(Effect::EndGrant { grant_id: *grant_id });
    }
    change
        .to(State::Rejected {
            reason: reason.cloned(),
        })
        .mail(MailKind::Rejected, Recipient::Applicant)
        .decided()
}

/// The job that asked the target is dead (D22): agents have the case, and ops have what must be mended. Told once: whoever queues the
/// job again looks at it.
fn refusal_alert(case: &Case<'_>, grant_id: Uuid, target: &str, status: u16) -> Alert {
    Alert {
        code: AlertCode::JobDead,
        group: format!("{}/{target}", JobKind::ProvisioningSync.as_str()),
        message: format!(
            "target {target} refuses access of registration {} with {status}",
            case.registration.id
        ),
        job: Some(sync_id(grant_id, target)),
        account_id: None,
        organization_id: None,
    }
}
