//! One open request of an account for a company (D18).

use enrolld_jobs::{
    decide::{Decided, Decision},
    event::{Event, Present},
    registration::{FieldErrorCode, Registration, State, StateName},
    values::RegistrationId,
    view::RegistrationSummary,
};

use crate::road::{
    Road, acts, company, da, good, good_but, mails, numbers, organization, question, reviewed, route_to, selected,
};

fn named(id: &str) -> Road {
    let mut road = Road::submitted();
    road.registration.id = RegistrationId::new(id).expect("an id");
    road
}

/// Facts with these open requests of the account.
fn beside(administrators: Vec<enrolld_jobs::directory::Administrator>, others: &[&Road]) -> Present {
    good_but(administrators, |present| {
        present.open_requests = others.iter().map(|road| road.registration.clone()).collect();
    })
}

/// Ids and versions that a decision rests on.
fn rests_on(decision: &Decision) -> Vec<(&str, u64)> {
    decision
        .rests_on
        .iter()
        .map(|(id, version)| (id.as_str(), *version))
        .collect()
}

fn superseded(decision: &Decision) -> Vec<&Registration> {
    decision.supersedes.iter().map(|old| &old.registration).collect()
}

#[test]
fn d18_a_newer_request_takes_the_place_of_one_that_waits_for_its_applicant() {
    let none = good(vec![]);
    let boss = good(vec![da("boss", "root")]);
    let mut routing = Road::submitted();
    routing.verify(&none);
    let mut corrected = Road::awaiting_email();
    let uncovered = good_but(vec![], |present| present.applicant.covered = false);
    corrected.does(&corrected.link_used(), &uncovered);
    for older in [
        routing,
        Road::routed(&boss),
        Road::routed(&none),
        Road::awaiting_email(),
        corrected,
    ] {
        let from = older.state();
        let mut newer = named("reg-2");
        let decision = newer.verify(&beside(vec![], &[&older]));
        assert_eq!(newer.state(), StateName::Routing, "{from:?}");
        let [old] = &decision.supersedes[..] else {
            panic!("{from:?} stays");
        };
        assert_eq!(old.registration.id, older.registration.id);
        assert_eq!(old.registration.version, older.registration.version + 1);
        assert_eq!(old.registration.state, State::Withdrawn);
        assert_eq!(old.registration.deadline, None);
        assert_eq!(old.registration.superseded_by, Some(newer.registration.id.clone()));
        assert_eq!(old.entry.event, "registration.superseded");
        assert_eq!(old.entry.detail["superseded_by"], "reg-2");
        assert_eq!(old.entry.actor, "enrolld");
        assert_eq!(old.effects, [], "no mail tells of it");
        assert_eq!(rests_on(&decision), [], "its own version guards what is replaced");
        let view = RegistrationSummary::new(&old.registration);
        assert_eq!(view.title, "A newer registration took its place");
        assert!(view.message.contains("reg-2"), "{}", view.message);
    }
}

#[test]
fn d18_a_request_in_other_hands_stands_and_the_newer_is_corrected() {
    let none = good(vec![]);
    let mut asked = Road::in_review();
    asked.does(&question(), &none);
    let waiting = Road::awaiting_da(&good(vec![da("boss", "root")]));
    for older in [waiting, Road::in_review(), asked, Road::granted(1)] {
        let mut newer = named("reg-2");
        let decision = newer.verify(&beside(vec![], &[&older]));
        assert_eq!(
            newer.field_errors(),
            [FieldErrorCode::AlreadyRequested],
            "{:?}",
            older.state()
        );
        assert_eq!(decision.entry.detail["already_requested"], "reg-1");
        assert_eq!(superseded(&decision), [] as [&Registration; 0]);
        assert!(acts(&decision).is_empty(), "it is no failed attempt");
        assert_eq!(mails(&decision), []);
    }
}

#[test]
fn d18_what_has_not_been_verified_is_not_known_to_be_for_the_same_company() {
    let verifying = Road::submitted();
    let mut unverified = named("reg-3");
    unverified.verify(&good_but(vec![], |present| present.applicant.covered = false));
    let mut newer = named("reg-2");
    let decision = newer.verify(&beside(vec![], &[&verifying, &unverified]));
    assert_eq!(newer.state(), StateName::Routing);
    assert_eq!(superseded(&decision), [] as [&Registration; 0]);
    // Should one of them be verified meanwhile, this is decided again.
    assert_eq!(rests_on(&decision), [("reg-1", 1), ("reg-3", 2)]);
}

#[test]
fn d18_whichever_is_verified_later_takes_the_place_of_the_other() {
    for (first, second) in [("reg-1", "reg-2"), ("reg-2", "reg-1")] {
        let (mut first, mut second) = (named(first), named(second));
        let decision = first.verify(&beside(vec![], &[&second]));
        assert_eq!(rests_on(&decision), [(second.registration.id.as_str(), 1)]);
        let decision = second.verify(&beside(vec![], &[&first]));
        assert_eq!(superseded(&decision)[0].id, first.registration.id);
        assert_eq!(second.state(), StateName::Routing);
    }
}

#[test]
fn d18_of_three_requests_one_is_left() {
    let (mut first, mut second, mut third) = (named("reg-1"), named("reg-2"), named("reg-3"));
    first.verify(&beside(vec![], &[&second, &third]));
    let decision = second.verify(&beside(vec![], &[&first, &third]));
    assert_eq!(rests_on(&decision), [("reg-3", 1)]);
    let decision = third.verify(&beside(vec![], &[&second]));
    assert_eq!(superseded(&decision)[0].id, second.registration.id);
    // Two that are idle at once, as before this rule: both give way.
    let decision = named("reg-4").verify(&beside(vec![], &[&second, &third]));
    assert_eq!(superseded(&decision).len(), 2);
    // One of them in other hands: it stands, and nothing is withdrawn for nothing.
    let held = Road::in_review();
    let decision = named("reg-4").verify(&beside(vec![], &[&second, &held]));
    assert_eq!(superseded(&decision), [] as [&Registration; 0]);
    assert_eq!(decision.registration.state.name(), StateName::NeedsCorrection);
}

#[test]
fn d18_a_request_for_another_company_is_left_alone() {
    let mut elsewhere = named("reg-1");
    elsewhere.companies = vec![company("other", vec![da("chief", "other")])];
    let none = good(vec![]);
    elsewhere.verify(&none);
    elsewhere.route(&none);
    elsewhere.does(&Event::OrganizationSelected(None), &none);
    elsewhere.does(&route_to("other"), &none);
    let mut moved = named("reg-3");
    moved.verify(&good_but(vec![], |present| {
        present.site.as_mut().expect("a site").chain = vec![organization("third", None)];
    }));
    let mut newer = named("reg-2");
    let decision = newer.verify(&beside(vec![], &[&elsewhere, &moved]));
    assert_eq!(newer.state(), StateName::Routing);
    assert_eq!(superseded(&decision), [] as [&Registration; 0]);
    let versions = [&elsewhere, &moved].map(|road| (road.registration.id.as_str(), road.registration.version));
    assert_eq!(rests_on(&decision), versions);
}

#[test]
fn d18_another_site_of_the_company_is_the_same_company() {
    let older = Road::awaiting_email();
    let mut newer = named("reg-2");
    let mut present = beside(vec![], &[&older]);
    present.site.as_mut().expect("a site").chain[1] = organization("branch", Some("root"));
    let decision = newer.verify(&present);
    assert_eq!(superseded(&decision)[0].id, older.registration.id);
}

#[test]
fn d18_once_the_older_has_ended_the_newer_goes_on() {
    let held = Road::in_review();
    let mut newer = named("reg-2");
    newer.verify(&beside(vec![], &[&held]));
    assert_eq!(newer.field_errors(), [FieldErrorCode::AlreadyRequested]);
    newer.does(&Event::Resubmitted(numbers("93988396", "FOC1436Y3XK")), &good(vec![]));
    newer.verify(&good(vec![]));
    assert_eq!(newer.state(), StateName::Routing);
}

#[test]
fn d18_only_an_idle_request_can_be_superseded() {
    let by = RegistrationId::new("reg-2").expect("an id");
    let event = Event::Superseded { by };
    let none = good(vec![]);
    let mut asked = Road::in_review();
    asked.does(&question(), &none);
    let mut rejected = Road::in_review();
    rejected.does(&reviewed(enrolld_jobs::cloud_event::ReviewDecision::Reject), &none);
    let waiting = Road::awaiting_da(&good(vec![da("boss", "root")]));
    for road in [
        Road::submitted(),
        waiting,
        Road::in_review(),
        asked,
        Road::granted(1),
        Road::granted(0),
        rejected,
    ] {
        assert_eq!(road.decide(&event, &none), Decided::Ignored, "{:?}", road.state());
    }
}

#[test]
fn d18_a_withdrawal_of_ones_own_says_nothing_of_another() {
    let mut road = Road::routed(&good(vec![]));
    road.does(&selected("root"), &good(vec![]));
    road.does(&Event::GIVEN_UP, &good(vec![]));
    assert_eq!(road.registration.superseded_by, None);
    let view = RegistrationSummary::new(&road.registration);
    assert_eq!(view.title, "You have withdrawn your registration");
}
