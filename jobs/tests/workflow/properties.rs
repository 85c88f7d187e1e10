//! What holds whatever happens, in whatever order, on whatever facts.

mod drawn;
mod world;

use std::collections::BTreeSet;

use chrono::Duration;
use enrolld_jobs::{
    cloud_event::{ReviewDecision, UpstreamEvent},
    decide::{Decided, Decision, allowed_in},
    effect::{Effect, LinkPurpose, MailKind, effect_id},
    event::{Event, Present},
    job::JobKind,
    registration::{Registration, State, StateName},
    values::RegistrationId,
    verification::verify,
    view::{RegistrationChanged, RegistrationView},
};
use proptest::prelude::*;

use self::{
    drawn::{any_facts, drawn, wait},
    world::{World, world_change},
};
use crate::road::{Road, account_id, company, da, start, wakes};

/// Checks one decision against every invariant, and makes it.
fn step(road: &mut Road, event: &Event, present: &Present) -> Option<Decision> {
    let before = road.registration.clone();
    let from = before.state.name();
    let upstream = UpstreamEvent::TYPES.contains(&event.name());
    let listed = allowed_in(&before.state).contains(&event.name());
    match road.decide(event, present) {
        Decided::NeedsPresentFacts => panic!("{event:?} in {from:?} asks for facts that it was given"),
        Decided::NeedsOrganization(_) => panic!("{event:?} in {from:?} asks for an organization that it was told of"),
        Decided::Ignored => {
            assert!(
                !upstream,
                "{event:?} in {from:?}: nothing of upstream is silently ignored"
            );
            None
        }
        Decided::Refusal(refusal) => {
            assert!(upstream, "{event:?} in {from:?}: a job's answer is not refused");
            assert!(
                !listed || refusal.code() != "wrong_state",
                "{event:?} in {from:?}: listed as allowed"
            );
            assert!(!refusal.code().is_empty());
            None
        }
        Decided::Decision(decision) => {
            if let Event::TimeIsUp { step } = event {
                assert_eq!(*step, before.step, "D23");
                assert!(
                    before.deadline.is_some_and(|at| at <= road.now),
                    "a timer before its time"
                );
            }
            assert!(!from.is_final(), "{event:?} changed the final state {from:?}");
            assert!(!upstream || listed, "{event:?} is taken in {from:?} and not listed");
            check_change(&before, event, present, &decision, road);
            check_timer(&before, event, &decision, road);
            road.registration = decision.registration.clone();
            Some(*decision)
        }
    }
}

fn check_change(before: &Registration, event: &Event, present: &Present, decision: &Decision, road: &Road) {
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

    let mailed = |kind| {
        decision
            .effects
            .iter()
            .any(|e| matches!(e, Effect::Mail(mail) if mail.kind == kind))
    };
    if mailed(MailKind::AccessRequest) || mailed(MailKind::AccessRequestNotice) {
        let by_agent = matches!(
            event,
            Event::ReviewDecided {
                decision: ReviewDecision::Route { .. },
                ..
            }
        );
        let confirmed = *event == Event::Confirmed || mailed(MailKind::Rerouted) || from == StateName::AwaitingDa;
        assert!(confirmed || by_agent, "{change}: R34");
    }
    assert!(
        !mailed(MailKind::AccessRequestReminder) || (from, to) == (StateName::AwaitingDa, StateName::AwaitingDa),
        "{change}"
    );

    // Somebody or something holds every wait.
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
            assert!(mailed(MailKind::Verification), "{change}: no mail");
        }
        State::AwaitingDa { asked } => {
            let now_asked = &asked.last().expect("somebody is asked").administrator;
            assert!(
                now_asked.reachable && now_asked.account_id != after.account_id,
                "{change}"
            );
            let whom = if after.step == before.step {
                mailed(MailKind::AccessRequestReminder)
            } else {
                mailed(MailKind::AccessRequest)
            };
            assert!(whom, "{change}: nobody was asked");
            assert!(asked.len() <= road.rules.max_das, "{change}: D1");
            let different: BTreeSet<_> = asked.iter().map(|asked| &asked.administrator.account_id).collect();
            assert_eq!(different.len(), asked.len(), "{change}: asked twice");
        }
        State::InReview { .. } if after.step != before.step => {
            assert!(mailed(MailKind::ReviewCase), "{change}: no agent was told")
        }
        _ => {}
    }

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

/// A registration that an agent may send to another company.
fn traveller() -> Road {
    Road {
        companies: vec![company("other", vec![da("chief", "other"), da("boss", "other")])],
        ..Road::submitted()
    }
}

/// The two people's registrations, both submitted.
fn two_roads() -> [Road; 2] {
    let mut rival = Road::submitted();
    rival.registration.account_id = account_id("rival");
    rival.registration.id = RegistrationId::new("reg-2").expect("an id");
    [Road::submitted(), rival]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_on_whatever_facts_the_invariants_hold(
        happenings in prop::collection::vec((drawn(), any_facts(), wait()), 1..60),
    ) {
        let mut road = traveller();
        for (drawn, present, seconds) in happenings {
            road.after(Duration::seconds(seconds));
            let event = drawn.event(&road.registration);
            step(&mut road, &event, &present);
        }
    }

    #[test]
    fn d5_on_honest_facts_no_organization_gets_two_founding_das(
        with_da in prop::bool::weighted(0.2),
        happenings in prop::collection::vec((0..2usize, drawn(), world_change(), wait()), 1..80),
    ) {
        let mut world = World::new(with_da);
        let mut roads = two_roads();
        let mut now = start();
        for (who, drawn, change, seconds) in happenings {
            now += Duration::seconds(seconds);
            world.changes(&change);
            let road = &mut roads[who];
            road.now = now;
            road.companies = world.companies();
            let present = world.present(&road.registration);
            let event = drawn.event(&road.registration);
            if let Some(decision) = step(road, &event, &present) {
                world.carry_out(&decision, now);
            }
        }
    }
}

/// The properties above say something only if roads drawn like this reach their ends.
#[test]
fn drawn_roads_reach_every_state_of_this_release() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let happenings = prop::collection::vec((drawn(), any_facts(), wait()), 60);
    let mut reached = BTreeSet::new();
    for _ in 0..400 {
        let mut road = traveller();
        for (drawn, present, seconds) in happenings.new_tree(&mut runner).expect("a case").current() {
            road.after(Duration::seconds(seconds));
            let event = drawn.event(&road.registration);
            step(&mut road, &event, &present);
            reached.insert(road.state().as_str());
        }
    }
    let later = ["provisioning"];
    let expected: BTreeSet<_> = StateName::ALL
        .iter()
        .map(|state| state.as_str())
        .filter(|s| !later.contains(s))
        .collect();
    assert_eq!(reached, expected);
}
