//! What is checked of every decision.

use std::collections::BTreeSet;

use enrolld_jobs::{
    cloud_event::ReviewDecision,
    da_routing::may_decide,
    decide::Decision,
    effect::{Effect, LinkPurpose, MailKind, effect_id},
    event::{Event, Present},
    job::JobKind,
    manual_review::is_asked_for,
    registration::{Registration, ReviewReason, State, StateName},
    verification::verify,
    view::{RegistrationChanged, RegistrationView},
};

use crate::road::{Road, wakes};

fn mailed(decision: &Decision, kind: MailKind) -> bool {
    let is_it = |effect: &Effect| matches!(effect, Effect::Mail(mail) if mail.kind == kind);
    decision.effects.iter().any(is_it)
}

/// Checks what `event` came to against every invariant.
pub(super) fn check(before: &Registration, event: &Event, present: &Present, decision: &Decision, road: &Road) {
    check_change(before, event, decision);
    check_others(before, event, present, decision);
    if let Event::Aside(_) = event
        && decision.registration.step == before.step
    {
        check_aside(before, decision);
        return;
    }
    check_access(before, event, present, decision, road);
    check_mails(before, event, decision);
    check_wait(before, event, decision, road);
    check_timer(before, event, decision, road);
}

fn check_change(before: &Registration, event: &Event, decision: &Decision) {
    let after = &decision.registration;
    let (from, to) = (before.state.name(), after.state.name());
    let change = format!("{event:?} led from {from:?} to {to:?}");
    assert_eq!(after.version, before.version + 1, "{change}");
    assert!(after.step == before.step || after.step == before.step + 1, "{change}");
    assert!(
        from == to || after.step > before.step,
        "{change}: another wait is another step"
    );
    assert_eq!(
        (&after.id, &after.account_id, after.created_at),
        (&before.id, &before.account_id, before.created_at)
    );
    assert_eq!(decision.entry.detail["to"], to.as_str());

    // It can be shown, and stored.
    let view = serde_json::to_value(RegistrationView::new(after, vec![])).expect("a view");
    assert_eq!(view["state"], to.as_str());
    serde_json::to_string(&RegistrationChanged::new(after)).expect("a change");
    let stored = serde_json::to_value(after).expect("a row");
    assert_eq!(
        &serde_json::from_value::<Registration>(stored).expect("a registration"),
        after
    );
}

/// What is recorded beside the road leaves it as it is, in final states too (D22).
fn check_aside(before: &Registration, decision: &Decision) {
    let after = Registration {
        version: before.version,
        dead_jobs: before.dead_jobs.clone(),
        ..decision.registration.clone()
    };
    assert_eq!(&after, before);
    for effect in &decision.effects {
        assert!(
            matches!(effect, Effect::Alert(_) | Effect::Suppress(_) | Effect::RecheckDa(_)),
            "{effect:?}"
        );
    }
}

/// Of the account's other open requests for the company none is left beside one that was verified or routed, save those in other
/// hands, which stand (D18).
fn check_others(before: &Registration, event: &Event, present: &Present, decision: &Decision) {
    let after = &decision.registration;
    let is_looked_at = matches!(event, Event::Verify { .. } | Event::Route { .. });
    if !is_looked_at || after.state.name() == StateName::NeedsCorrection {
        assert!(decision.supersedes.is_empty() && decision.rests_on.is_empty());
        return;
    }
    for other in &present.open_requests {
        let replaced = decision.supersedes.iter().find(|old| old.registration.id == other.id);
        let is_rested_on = decision.rests_on.contains(&(other.id.clone(), other.version));
        assert_ne!(replaced.is_some(), is_rested_on, "each is guarded by its version");
        let is_same = after.company().is_some() && other.company() == after.company();
        assert_eq!(replaced.is_some(), is_same, "D18");
        if let Some(old) = replaced {
            assert_eq!(old.registration.state, State::Withdrawn);
            assert_eq!(old.registration.version, other.version + 1);
            assert_eq!(old.registration.superseded_by.as_ref(), Some(&before.id));
        }
    }
}

/// Nobody gets access who should not (R51, D3, D9, D21).
fn check_access(before: &Registration, event: &Event, present: &Present, decision: &Decision, road: &Road) {
    let after = &decision.registration;
    let (from, to) = (before.state.name(), after.state.name());
    let change = format!("{event:?} led from {from:?} to {to:?}");
    let gives_access = |effect: &Effect| matches!(effect, Effect::Appoint { .. } | Effect::Grant { .. });
    let today = road.now.date_naive();
    if decision.effects.iter().any(gives_access) {
        assert!(
            verify(before, present, &road.rules.personal_domains, today).is_empty(),
            "{change}: D21"
        );
        assert!(
            matches!(after.state, State::Provisioning { .. } | State::Active { .. }),
            "{change}"
        );
        assert!(decision.rests_on_tree, "{change}");
        check_grants(decision, road);
    } else if let State::Provisioning { grants, pending, .. } = &before.state {
        // Only what was granted is set up, and it is active when nothing is pending any more.
        let is_confirmed = pending.len() == 1 && matches!(event, Event::Synced { .. });
        assert!(to != StateName::Active || is_confirmed, "{change}: active too early");
        if to == StateName::Rejected {
            for grant_id in grants {
                let ends = Effect::EndGrant { grant_id: *grant_id };
                assert!(decision.effects.contains(&ends), "{change}: D11");
            }
        }
    } else {
        let has_access = matches!(after.state, State::Provisioning { .. } | State::Active { .. });
        assert!(!has_access, "{change}: access without a grant");
    }

    for effect in &decision.effects {
        if let Effect::Appoint { organization_id, .. } = effect {
            assert!(after.verified_email.is_some(), "{change}: R51");
            assert_eq!(after.selected.as_ref(), Some(organization_id), "{change}");
            let site = present.site.as_ref();
            let is_doubtful = site.is_some_and(|site| is_asked_for(present, site, organization_id, &road.rules));
            assert!(after.assessed || !is_doubtful, "{change}: D9");
        }
    }
    if let Event::DaDecided { by, .. } = event {
        let administrators = present.site.as_ref().map_or(&[][..], |site| &site.administrators);
        assert!(may_decide(by, administrators, &before.account_id), "{change}: D3");
    }
}

/// What is granted is to be confirmed by every target, or is there at once without any (D11).
fn check_grants(decision: &Decision, road: &Road) {
    let after = &decision.registration;
    let ids = decision.effects.iter().enumerate().filter_map(|(index, effect)| {
        let is_grant = matches!(effect, Effect::Grant { .. });
        is_grant.then(|| effect_id(&after.id, after.version, index))
    });
    let ids: Vec<_> = ids.collect();
    let targets = &road.rules.targets;
    match &after.state {
        State::Provisioning {
            grants, pending, case, ..
        } => {
            assert_eq!((grants, *case), (&ids, None));
            let expected: BTreeSet<_> = ids
                .iter()
                .flat_map(|id| targets.iter().map(move |target| (*id, target.as_str())))
                .collect();
            let pending: BTreeSet<_> = pending
                .iter()
                .map(|sync| (sync.grant_id, sync.target.as_str()))
                .collect();
            assert_eq!(pending, expected);
        }
        _ => assert!(targets.is_empty()),
    }
}

/// Nothing is sent to a DA before *Confirm*, save D5 and what an agent routes (R34).
fn check_mails(before: &Registration, event: &Event, decision: &Decision) {
    let after = &decision.registration;
    let (from, to) = (before.state.name(), after.state.name());
    let change = format!("{event:?} led from {from:?} to {to:?}");
    if mailed(decision, MailKind::AccessRequest) || mailed(decision, MailKind::AccessRequestNotice) {
        let by_agent = matches!(
            event,
            Event::ReviewDecided {
                decision: ReviewDecision::Route { .. },
                ..
            }
        );
        let confirmed =
            *event == Event::Confirmed || mailed(decision, MailKind::Rerouted) || from == StateName::AwaitingDa;
        assert!(confirmed || by_agent, "{change}: R34");
    }
    for kind in [
        MailKind::Welcome,
        MailKind::CustomerAdministrator,
        MailKind::DaTerms,
        MailKind::AccessApproved,
    ] {
        assert!(
            !mailed(decision, kind) || to == StateName::Active,
            "{change}: told too early"
        );
    }
    let is_told_before = before.state.name() == StateName::Provisioning && before.notices > 0;
    assert!(
        !(is_told_before && mailed(decision, MailKind::ProvisioningOverdue)),
        "{change}: told twice"
    );
    assert!(
        !mailed(decision, MailKind::AccessRequestReminder)
            || (from, to) == (StateName::AwaitingDa, StateName::AwaitingDa),
        "{change}"
    );
}

/// Somebody or something holds every wait.
fn check_wait(before: &Registration, event: &Event, decision: &Decision, road: &Road) {
    let after = &decision.registration;
    let (from, to) = (before.state.name(), after.state.name());
    let change = format!("{event:?} led from {from:?} to {to:?}");
    let runs = |kind| decision.effects.contains(&Effect::Run(kind));
    assert_eq!(to == StateName::Verifying, runs(JobKind::Verification), "{change}");
    assert_eq!(to == StateName::Routing, runs(JobKind::DaRouting), "{change}");
    match &after.state {
        State::NeedsCorrection { errors } => assert!(!errors.is_empty(), "{change}"),
        State::AwaitingConfirmation => assert!(after.delegated_administrator().is_some(), "{change}"),
        State::AwaitingEmail { link } if after.step != before.step => {
            let made = |(index, effect): (usize, &Effect)| match effect {
                Effect::IssueLink { purpose, valid_until } => {
                    effect_id(&after.id, after.version, index) == link.id
                        && *purpose == LinkPurpose::EmailVerification
                        && *valid_until == Some(link.valid_until)
                }
                _ => false,
            };
            assert!(decision.effects.iter().enumerate().any(made), "{change}: no link");
            assert!(mailed(decision, MailKind::Verification), "{change}: no mail");
        }
        State::AwaitingDa { asked } => {
            let now_asked = &asked.last().expect("somebody is asked").administrator;
            assert!(
                now_asked.reachable && now_asked.account_id != after.account_id,
                "{change}"
            );
            let whom = if after.step == before.step {
                mailed(decision, MailKind::AccessRequestReminder)
            } else {
                mailed(decision, MailKind::AccessRequest)
            };
            assert!(whom, "{change}: nobody was asked");
            assert!(asked.len() <= road.rules.max_das, "{change}: D1");
            let different: BTreeSet<_> = asked.iter().map(|asked| &asked.administrator.account_id).collect();
            assert_eq!(different.len(), asked.len(), "{change}: asked twice");
        }
        State::InReview { .. } if after.step != before.step => {
            assert!(mailed(decision, MailKind::ReviewCase), "{change}: no agent was told");
        }
        State::Provisioning { pending, case, .. } => {
            assert!(!pending.is_empty(), "{change}: nothing is awaited");
            let reason = case.map(|case| case.reason);
            let is_failed = reason == Some(ReviewReason::ProvisioningFailed);
            assert_eq!(is_failed, pending.iter().any(|sync| sync.refused), "{change}: D11");
            let was = before.review_reason();
            assert!(
                reason.is_none() || reason == was || mailed(decision, MailKind::ReviewCase),
                "{change}: no agent was told"
            );
        }
        _ => {}
    }
}

/// Every open wait ends by itself, and no timer outlives its wait.
fn check_timer(before: &Registration, event: &Event, decision: &Decision, road: &Road) {
    let after = &decision.registration;
    let change = format!("{event:?} led from {:?} to {:?}", before.state, after.state);
    let wakes = wakes(decision);
    // A job is waited for, or nothing at all; a job that is dead is the agents' (D22).
    let has_no_timer = after.state.name().is_final() || matches!(after.state, State::Verifying | State::Routing);
    let Some(deadline) = after.deadline else {
        assert!(has_no_timer, "{change}: stuck");
        assert_eq!(wakes, [], "{change}: a timer for nothing");
        return;
    };
    assert!(!has_no_timer, "{change}: a timer is left");
    let is_set_anew = (before.step, before.deadline) != (after.step, after.deadline);
    let times: Vec<_> = wakes.iter().map(|(_, at)| *at).collect();
    assert_eq!(times, if is_set_anew { vec![deadline] } else { vec![] }, "{change}");
    // It lies ahead, unless it was up before and has not gone off yet; an agent's clock may have been up when they asked.
    let is_late =
        before.deadline.is_some_and(|deadline| deadline <= road.now) && before.state.name() == after.state.name();
    let is_resumed = matches!(event, Event::InformationProvided { .. });
    let is_timer = matches!(event, Event::TimeIsUp { .. });
    assert!(
        deadline > road.now || is_resumed || (is_late && !is_timer),
        "{change}: {deadline} is not after {}",
        road.now
    );
}
