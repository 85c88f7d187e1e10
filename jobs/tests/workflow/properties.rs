//! What holds whatever happens, in whatever order, on whatever facts.

mod delegating;
mod drawn;
mod facts;
mod invariants;
mod kept;
mod shared;
mod world;

use std::collections::BTreeSet;

use chrono::{Duration, TimeDelta};
use enrolld_jobs::{
    cloud_event::UpstreamEvent,
    decide::{Decided, Decision, allowed_in},
    event::{Event, Present},
    registration::StateName,
    sla::{Step, steps},
    view::TimelineLine,
};
use proptest::{prelude::*, sample::select};

use self::{
    drawn::{drawn_or_superseded, wait},
    facts::any_facts,
    invariants::check,
    shared::{Seen, Shared, happening},
    world::world_change,
};
use crate::road::{Road, company, da, rules_with};

/// What `event` comes to, checked against every invariant; `None` if nothing changes.
fn judged(road: &Road, event: &Event, present: &Present) -> Option<Decision> {
    let before = &road.registration;
    let from = before.state.name();
    let is_aside = matches!(event, Event::Aside(_));
    let upstream = UpstreamEvent::TYPES.contains(&event.name()) && !is_aside;
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
            assert!(
                !from.is_final() || is_aside,
                "{event:?} changed the final state {from:?}"
            );
            assert!(!upstream || listed, "{event:?} is taken in {from:?} and not listed");
            check(before, event, present, &decision, road);
            Some(*decision)
        }
    }
}

/// As [`judged`], and made. The line of the timeline, if it changed anything.
fn step(road: &mut Road, event: &Event, present: &Present) -> Option<TimelineLine> {
    let decision = judged(road, event, present)?;
    road.registration = decision.registration;
    Some(TimelineLine::from(&decision.entry))
}

/// A registration that an agent may send to another company, with so many provisioning targets.
fn traveller(targets: usize) -> Road {
    Road {
        companies: vec![company("other", vec![da("chief", "other"), da("boss", "other")])],
        rules: rules_with(targets),
        ..Road::submitted()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_on_whatever_facts_the_invariants_hold(
        targets in 0..3usize,
        happenings in prop::collection::vec((drawn_or_superseded(), any_facts(), wait()), 1..60),
    ) {
        let mut road = traveller(targets);
        for (drawn, present, seconds) in happenings {
            road.after(Duration::seconds(seconds));
            let event = drawn.event(&road.registration);
            step(&mut road, &event, &present);
        }
    }

    /// What the steps took is what the whole took: no time is counted twice, and none is lost.
    #[test]
    fn the_steps_of_a_timeline_account_for_all_of_its_time(
        targets in 0..3usize,
        happenings in prop::collection::vec((drawn_or_superseded(), any_facts(), wait()), 1..60),
    ) {
        let mut road = traveller(targets);
        let begun = road.now;
        let mut detail = serde_json::Map::new();
        detail.insert("to".to_owned(), "verifying".into());
        let submitted = TimelineLine {
            at: begun,
            event: "registration.submitted".to_owned(),
            actor: "newbie".to_owned(),
            detail,
        };
        let mut history = vec![submitted];
        for (drawn, present, seconds) in happenings {
            road.after(Duration::seconds(seconds));
            let event = drawn.event(&road.registration);
            history.extend(step(&mut road, &event, &present));
        }
        let (whole, stays): (Vec<_>, Vec<_>) =
            steps(&history).into_iter().partition(|left| matches!(left.step, Step::Whole(_)));
        let stayed: TimeDelta = stays.iter().map(|left| left.took).sum();
        for left in &stays {
            prop_assert!(left.took >= TimeDelta::zero() && left.at - begun >= left.took, "{left:?}");
        }
        if road.state().is_final() {
            prop_assert_eq!(whole.len(), 1);
            prop_assert_eq!(whole[0].step, Step::Whole(road.state()));
            prop_assert_eq!(whole[0].took, stayed);
        } else {
            prop_assert_eq!(whole, vec![]);
            prop_assert!(stayed <= road.now - begun);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// Several registrations of two people, and what DAs do besides, on one directory: see [`Shared`] for what is checked.
    #[test]
    fn d5_d16_d18_on_honest_facts_the_registrations_of_one_world_agree(
        targets in 0..3usize,
        first_da in select(vec![None, None, None, Some("site"), Some("root")]),
        happenings in prop::collection::vec((happening(), world_change(), wait()), 1..80),
    ) {
        let mut shared = Shared::new(targets, first_da);
        for (happening, change, seconds) in happenings {
            shared.pass(Duration::seconds(seconds), &change);
            shared.happens(&happening);
        }
    }
}

/// The properties above say something only if roads drawn like this reach their ends.
#[test]
fn drawn_roads_reach_every_state_of_this_release() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let happenings = prop::collection::vec((drawn_or_superseded(), any_facts(), wait()), 60);
    let mut reached = BTreeSet::new();
    for number in 0..400 {
        let mut road = traveller(number % 3);
        for (drawn, present, seconds) in happenings.new_tree(&mut runner).expect("a case").current() {
            road.after(Duration::seconds(seconds));
            let event = drawn.event(&road.registration);
            step(&mut road, &event, &present);
            reached.insert(road.state().as_str());
        }
        if reached.len() == StateName::ALL.len() {
            break;
        }
    }
    let expected: BTreeSet<_> = StateName::ALL.iter().map(|state| state.as_str()).collect();
    assert_eq!(reached, expected);
}

/// So does the world that is shared: access is given and taken, requests are superseded, and decisions come too late.
#[test]
fn a_shared_world_sees_whatever_its_properties_speak_of() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let happenings = prop::collection::vec((happening(), world_change(), wait()), 80);
    let mut seen = Seen::default();
    for number in 0..300 {
        let first_da = [None, Some("site"), Some("root")][number % 3];
        let mut shared = Shared::new(number % 2, first_da);
        for (happening, change, seconds) in happenings.new_tree(&mut runner).expect("a case").current() {
            shared.pass(Duration::seconds(seconds), &change);
            shared.happens(&happening);
        }
        seen.add(&shared.seen);
        if seen.is_full() {
            return;
        }
    }
    panic!("not everything is tried: {seen:?}");
}
