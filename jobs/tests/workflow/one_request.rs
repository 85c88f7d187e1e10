//! Two requests of one account for one company that were verified at the same moment, neither seeing the other (D18).

use enrolld_jobs::{
    event::{Event, Present},
    registration::{FieldErrorCode, Registration, State, StateName},
    values::RegistrationId,
};

use crate::road::{Road, da, good};

/// Verified, and not routed yet.
fn verified(id: &str, present: &Present) -> Road {
    let mut road = Road::submitted();
    road.registration.id = RegistrationId::new(id).expect("an id");
    road.verify(present);
    assert_eq!(road.state(), StateName::Routing);
    road
}

/// The facts, with this request of the account open besides.
fn beside(present: &Present, other: &Registration) -> Present {
    Present {
        open_requests: vec![other.clone()],
        ..present.clone()
    }
}

#[test]
fn d18_whoever_is_routed_first_takes_the_place_of_the_other() {
    for administrators in [vec![], vec![da("boss", "root")]] {
        let present = good(administrators);
        let (mut one, other) = (verified("reg-1", &present), verified("reg-2", &present));
        let step = one.registration.step;
        let decision = one.does(&Event::Route { step }, &beside(&present, &other.registration));
        assert_ne!(one.state(), StateName::Routing);
        let [superseded] = &decision.supersedes[..] else {
            panic!("the other stays open: {decision:?}");
        };
        assert_eq!(superseded.registration.id, other.registration.id);
        assert_eq!(superseded.registration.state, State::Withdrawn);
        assert_eq!(superseded.registration.version, other.registration.version + 1);
    }
}

#[test]
fn d18_a_request_that_is_routed_late_is_refused_while_the_other_is_with_a_da() {
    let present = good(vec![da("boss", "root")]);
    let mut one = verified("reg-1", &present);
    let mut other = Road::awaiting_da(&present);
    other.registration.id = RegistrationId::new("reg-2").expect("an id");
    let step = one.registration.step;
    let decision = one.does(&Event::Route { step }, &beside(&present, &other.registration));
    assert!(decision.supersedes.is_empty());
    let State::NeedsCorrection { errors } = &one.registration.state else {
        panic!("{:?}", one.state());
    };
    let codes: Vec<_> = errors.iter().map(|error| error.code).collect();
    assert_eq!(codes, [FieldErrorCode::AlreadyRequested]);
}
