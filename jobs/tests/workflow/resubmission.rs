//! Another try, giving up, and what holds for every change.

use chrono::Duration;
use enrolld_jobs::{
    decide::{Decided, submit},
    effect::{Effect, effect_id},
    event::Event,
    job::JobKind,
    refusal::Reason,
    registration::{FieldErrorCode, StateName},
    values::RegistrationId,
};

use crate::road::{Road, da, good, good_but, numbers, organization_id, selected, start};

#[test]
fn r28_another_combination_may_be_tried_until_one_validates() {
    let wrong = good_but(vec![], |present| present.applicant.covered = false);
    let mut road = Road::submitted();
    road.verify(&wrong);
    assert_eq!(road.field_errors(), [FieldErrorCode::SerialNotCovered]);
    let decision = road.does(&Event::Resubmitted(numbers("93988396", "foc2")), &wrong);
    assert_eq!(decision.effects, [Effect::Run(JobKind::Verification)]);
    assert_eq!(road.registration.serial_number.as_str(), "FOC2");
    road.verify(&good(vec![]));
    assert_eq!(road.state(), StateName::Routing);
}

#[test]
fn r23_a_corrected_profile_is_read_anew() {
    let mut present = good_but(vec![da("boss", "root")], |present| {
        let profile = present.applicant.account.as_mut().unwrap();
        profile.email = Some("newbie@gmail.com".to_owned());
    });
    let mut road = Road::submitted();
    road.verify(&present);
    assert_eq!(road.field_errors(), [FieldErrorCode::EmailPersonalDomain]);
    // The address is refused; later on the name is wrong, which only the applicant sees.
    for (name, email) in [("Newby", "newbie@acme.example"), ("New Bie", "bie@acme.example")] {
        let profile = present.applicant.account.as_mut().unwrap();
        (profile.name, profile.email) = (name.to_owned(), Some(email.to_owned()));
        road.does(&Event::Resubmitted(numbers("93988396", "FOC1436Y3XK")), &present);
        assert_eq!(road.registration.account, None, "nothing of before is kept");
        road.verify(&present);
        let account = road.registration.account.clone().expect("the profile");
        let address = account.email.expect("an address");
        assert_eq!((account.name.as_str(), address.expose()), (name, email));
        road.route(&present);
        assert_eq!(road.state(), StateName::AwaitingConfirmation);
    }
}

#[test]
fn r43_back_voids_link_choice_and_confirmation() {
    let present = good(vec![]);
    let mut road = Road::awaiting_email();
    let old = road.link_used();
    road.does(&Event::Resubmitted(numbers("93988396", "FOC1436Y3XK")), &present);
    let registration = &road.registration;
    assert_eq!((&registration.selected, &registration.verified_email), (&None, &None));
    assert!(registration.administrators.is_empty() && registration.site.is_none());
    assert_eq!(road.refused(&old, &present).code(), "replaced_token");
    road.verify(&present);
    road.route(&present);
    assert_eq!(road.state(), StateName::AwaitingOrganization);
    road.after(Duration::minutes(1)).does(&selected("site"), &present);
    assert_eq!(road.registration.selected, Some(organization_id("site")));
}

#[test]
fn r43_back_from_confirmation_asks_again() {
    let present = good(vec![da("boss", "root")]);
    let mut road = Road::routed(&present);
    road.does(&Event::Resubmitted(numbers("1", "ABC")), &present);
    assert_eq!(road.refused(&Event::Confirmed, &present).code(), "wrong_state");
}

#[test]
fn r19_the_applicant_may_give_up_until_it_has_ended() {
    let present = good(vec![da("boss", "root")]);
    let waiting = Road::awaiting_da(&present);
    for mut road in [
        Road::submitted(),
        Road::routed(&present),
        waiting,
        Road::awaiting_email(),
    ] {
        let decision = road.does(&Event::GIVEN_UP, &present);
        assert_eq!(road.state(), StateName::Withdrawn);
        assert_eq!(decision.effects, []);
        let again = road.refused(&Event::GIVEN_UP, &present);
        assert_eq!((again.reason, again.code()), (Reason::NotAllowed, "wrong_state"));
    }
}

#[test]
fn r19_who_gave_up_for_the_applicant_and_why_is_recorded() {
    let present = good(vec![da("boss", "root")]);
    let mut road = Road::awaiting_da(&present);
    let by_phone = Event::Withdrawn {
        by: Some("ann".to_owned()),
        reason: Some("asked by phone".to_owned()),
    };
    let entry = road.does(&by_phone, &present).entry;
    assert_eq!((entry.actor.as_str(), entry.event), ("ann", "registration.withdrawn"));
    assert_eq!(entry.detail["reason"], "asked by phone");

    let mut road = Road::awaiting_da(&present);
    let entry = road.does(&Event::GIVEN_UP, &present).entry;
    assert_eq!(entry.actor, "newbie");
    assert!(!entry.detail.contains_key("reason"));
}

#[test]
fn an_unknown_registration_is_refused() {
    let id = RegistrationId::new("reg-9").unwrap();
    let Decided::Refusal(refusal) = submit(&id, &Event::Confirmed, start()) else {
        panic!("taken");
    };
    assert_eq!(refusal.reason, Reason::UnknownRegistration);
    assert_eq!(refusal.code(), "unknown_registration");
}

#[test]
fn deciding_again_gives_the_same_effects_under_the_same_ids() {
    let present = good(vec![]);
    let mut road = Road::routed(&present);
    let once = road.decide(&selected("root"), &present);
    assert_eq!(once, road.decide(&selected("root"), &present));
    road.does(&selected("root"), &present);
    // The link's id is that of the effect that makes it.
    let registration = &road.registration;
    assert_eq!(road.link(), effect_id(&registration.id, registration.version, 0));
    // Never to change: ids made by an earlier release stay idempotency keys.
    let id = RegistrationId::new("reg-1").unwrap();
    assert_eq!(effect_id(&id, 4, 0).to_string(), "cd76fcbe-abba-59b7-bdc9-d0d581643450");
}
