//! What holds whatever happens, in whatever order, on whatever facts.

mod drawn;
mod invariants;
mod world;

use std::collections::BTreeSet;

use chrono::Duration;
use enrolld_jobs::{
    cloud_event::UpstreamEvent,
    decide::{Decided, Decision, allowed_in},
    event::{Event, Present},
    registration::StateName,
    values::RegistrationId,
};
use proptest::prelude::*;

use self::{
    drawn::{any_facts, drawn, wait},
    invariants::check,
    world::{World, world_change},
};
use crate::road::{Road, account_id, company, da, start};

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
            check(&before, event, present, &decision, road);
            road.registration = decision.registration.clone();
            Some(*decision)
        }
    }
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
