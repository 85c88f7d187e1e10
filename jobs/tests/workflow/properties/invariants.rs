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
    registration::{Registration, State, StateName},
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
    } else {
        assert_ne!(to, StateName::Active, "{change}: active without access");
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
        _ => {}
    }
}

/// Every open wait ends by itself, and no timer outlives its wait.
fn check_timer(before: &Registration, event: &Event, decision: &Decision, road: &Road) {
    let after = &decision.registration;
    let change = format!("{event:?} led from {:?} to {:?}", before.state, after.state);
    let wakes = wakes(decision);
    // A job or nothing at all is waited for; a dead job is D22's.
    let has_no_timer = after.state.name().is_final()
        || matches!(
            after.state,
            State::Verifying | State::Routing | State::Provisioning { .. }
        );
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
