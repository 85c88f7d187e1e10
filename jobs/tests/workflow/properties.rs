//! What holds whatever happens, in whatever order, on whatever facts.

mod drawn;
mod world;

use std::collections::BTreeSet;

use chrono::Duration;
use enrolld_jobs::{
    cloud_event::UpstreamEvent,
    decide::{Decided, Decision, allowed},
    effect::{Effect, MailKind, effect_id},
    event::{Event, Present},
    job::JobKind,
    registration::{Registration, State, StateName},
    values::RegistrationId,
    verification::verify,
    view::{RegistrationChanged, RegistrationView},
};
use proptest::prelude::*;

use self::{
    drawn::{any_facts, drawn},
    world::{World, world_change},
};
use crate::road::{Road, account_id, start};

/// Checks one decision against every invariant, and makes it.
fn step(road: &mut Road, event: &Event, present: &Present) -> Option<Decision> {
    let before = road.registration.clone();
    let from = before.state.name();
    let upstream = UpstreamEvent::TYPES.contains(&event.name());
    let listed = allowed(from).contains(&event.name());
    match road.decide(event, present) {
        Decided::NeedsPresentFacts => panic!("{event:?} in {from:?} asks for facts that it was given"),
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
            assert!(!from.is_final(), "{event:?} changed the final state {from:?}");
            assert!(!upstream || listed, "{event:?} is taken in {from:?} and not listed");
            check_change(&before, event, present, &decision, road);
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
        let confirmed = *event == Event::Confirmed || mailed(MailKind::Rerouted);
        assert!(confirmed, "{change}: R34");
    }

    // Somebody or something holds every wait.
    let runs = |kind| decision.effects.contains(&Effect::Run(kind));
    assert_eq!(to == StateName::Verifying, runs(JobKind::Verification), "{change}");
    assert_eq!(to == StateName::Routing, runs(JobKind::DaRouting), "{change}");
    match &after.state {
        State::NeedsCorrection { errors } => assert!(!errors.is_empty(), "{change}"),
        State::AwaitingConfirmation => assert!(after.delegated_administrator().is_some(), "{change}"),
        State::AwaitingEmail { link } if after.step != before.step => {
            let made = |(index, effect): (usize, &Effect)| match effect {
                Effect::IssueLink { address, valid_until } => {
                    effect_id(&after.id, after.version, index) == link.id
                        && *address == link.address
                        && *valid_until == link.valid_until
                }
                _ => false,
            };
            assert!(decision.effects.iter().enumerate().any(made), "{change}: no link");
            assert!(mailed(MailKind::Verification), "{change}: no mail");
        }
        State::AwaitingDa { asked } => {
            let asked = &asked.last().expect("somebody is asked").administrator;
            assert!(asked.reachable && asked.account_id != after.account_id, "{change}");
            assert!(mailed(MailKind::AccessRequest), "{change}: nobody was asked");
        }
        State::InReview { .. } => assert!(mailed(MailKind::ReviewCase), "{change}: no agent was told"),
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
        happenings in prop::collection::vec((drawn(), any_facts(), 0..4_000i64), 1..60),
    ) {
        let mut road = Road::submitted();
        for (drawn, present, seconds) in happenings {
            road.after(Duration::seconds(seconds));
            let event = drawn.event(&road.registration);
            step(&mut road, &event, &present);
        }
    }

    #[test]
    fn d5_on_honest_facts_no_organization_gets_two_founding_das(
        with_da in prop::bool::weighted(0.2),
        happenings in prop::collection::vec((0..2usize, drawn(), world_change(), 0..4_000i64), 1..80),
    ) {
        let mut world = World::new(with_da);
        let mut roads = two_roads();
        let mut now = start();
        for (who, drawn, change, seconds) in happenings {
            now += Duration::seconds(seconds);
            world.changes(&change);
            let road = &mut roads[who];
            road.now = now;
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
    let happenings = prop::collection::vec((drawn(), any_facts(), 0..4_000i64), 60);
    let mut reached = BTreeSet::new();
    for _ in 0..400 {
        let mut road = Road::submitted();
        for (drawn, present, seconds) in happenings.new_tree(&mut runner).expect("a case").current() {
            road.after(Duration::seconds(seconds));
            let event = drawn.event(&road.registration);
            step(&mut road, &event, &present);
            reached.insert(road.state().as_str());
        }
    }
    let later = ["awaiting_information", "provisioning", "rejected", "expired"];
    let expected: BTreeSet<_> = StateName::ALL
        .iter()
        .map(|state| state.as_str())
        .filter(|s| !later.contains(s))
        .collect();
    assert_eq!(reached, expected);
}
